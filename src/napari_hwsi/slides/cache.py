"""Decoded pixels kept in memory, up to a bound for the whole process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from ..errors import InputError
from .backend import RGB

DEFAULT_BYTES = 256 << 20


class TileCache:
    """The most recently used tiles, at most ``limit`` bytes of them. Any thread may use it.

    Threads that ask for the same tile at once decode it once.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._tiles: OrderedDict[Hashable, RGB] = OrderedDict()
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, threading.Lock] = {}

    @property
    def nbytes(self) -> int:
        """Bytes that are kept now."""
        return self._bytes

    def get(self, key: Hashable, decode: Callable[[], RGB], keep: Callable[[], bool] | None = None) -> RGB:
        """Return the tile of ``key``, decoded by ``decode`` where it is not kept; do not write to it.

        ``keep``, asked after decoding, says whether the tile is worth keeping.
        """
        tile = self._kept(key)
        if tile is not None:
            return tile
        with self._lock:
            turn = self._under_way.setdefault(key, threading.Lock())
        try:
            with turn:
                tile = self._kept(key)
                if tile is None:
                    tile = decode()
                    if keep is None or keep():
                        self._keep(key, tile)
                return tile
        finally:
            with self._lock:
                self._under_way.pop(key, None)

    def resize(self, limit: int) -> None:
        """Keep at most ``limit`` bytes from now on."""
        with self._lock:
            self._limit = limit
            self._shrink()

    def _kept(self, key: Hashable) -> RGB | None:
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def _keep(self, key: Hashable, tile: RGB) -> None:
        tile.flags.writeable = False
        with self._lock:
            if key not in self._tiles and tile.nbytes <= self._limit:
                self._tiles[key] = tile
                self._bytes += tile.nbytes
                self._shrink()

    def _shrink(self) -> None:
        while self._bytes > self._limit:
            self._bytes -= self._tiles.popitem(last=False)[1].nbytes


_CACHE = TileCache()


def tile_cache() -> TileCache:
    """Return the cache that all open slides share."""
    return _CACHE


def set_cache_size(n_bytes: int) -> None:
    """Keep at most ``n_bytes`` of decoded pixels for all open slides (256 MiB at first)."""
    if n_bytes < 0:
        raise InputError(f"A cache holds no fewer than 0 bytes, not {n_bytes}.")
    _CACHE.resize(n_bytes)
