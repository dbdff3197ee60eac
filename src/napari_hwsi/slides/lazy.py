"""Levels as arrays whose pixels are decoded when they are looked at."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np

from .backend import RGB
from .cache import tile_cache
from .window import paste_inside

CHUNK = 1024
_WORKER = "hwsi-decode"
Pixels = tuple[RGB, bool]
"""(h, w, 3), and whether all of it could be read."""


class LazyLevel:
    """A level as napari and dask take it: (Y, X, 3) uint8, sliced like an array, decoded chunk by chunk.

    Chunks are whole tiles of the file, 512 to 1024 px a side where tiles allow; those that a slice
    meets are decoded in threads and kept in the tile cache. ``extent``, (Y, X), is what of the
    shape holds pixels; beyond it is background.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(
        self,
        read: Callable[[int, int, int, int], Pixels],
        extent: tuple[int, int],
        shape: tuple[int, int],
        tile: tuple[int, int],
        background: tuple[int, int, int],
    ) -> None:
        """Decode by ``read(y0, y1, x0, x1)``, called for what lies within ``extent``; from any thread."""
        self._read, self.extent, self._background = read, extent, background
        self.shape = (*shape, 3)
        self._side = (_chunk_side(tile[0]), _chunk_side(tile[1]))
        self.chunks = (_cut(shape[0], self._side[0]), _cut(shape[1], self._side[1]), (3,))
        self._key = object()  # of this level's chunks in the cache

    @property
    def size(self) -> int:
        """Numbers in the array."""
        return self.shape[0] * self.shape[1] * 3

    nbytes = size

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyLevel{self.shape}"

    def __deepcopy__(self, memo: Any) -> LazyLevel:
        """A copied layer shows the same file."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[:], dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return pixels as numpy would: integers, slices and an ellipsis."""
        keys = _full_key(key)
        (y0, y1, rows), (x0, x1, columns) = (
            _range(k, n) for k, n in zip(keys[:2], self.shape[:2], strict=True)
        )
        return self.window(y0, y1, x0, x1)[rows, columns, keys[2]]

    def window(self, y0: int, y1: int, x0: int, x1: int) -> RGB:
        """Return pixels [y0, y1) x [x0, x1) of the array, decoding what is not kept in threads."""
        out = np.empty((max(y1 - y0, 0), max(x1 - x0, 0), 3), np.uint8)
        height, width = self._side
        places = list(product(range(y0 // height, -(-y1 // height)), range(x0 // width, -(-x1 // width))))
        if not out.size:
            return out

        def fill(place: tuple[int, int]) -> None:
            top, left = place[0] * height, place[1] * width
            chunk = self._chunk(top, left)
            a, b = max(top, y0), min(top + height, y1, self.shape[0])
            c, d = max(left, x0), min(left + width, x1, self.shape[1])
            out[a - y0 : b - y0, c - x0 : d - x0] = chunk[a - top : b - top, c - left : d - left]

        if len(places) == 1 or threading.current_thread().name.startswith(_WORKER):
            for place in places:  # a worker that waited for workers could wait for ever
                fill(place)
        else:
            list(_threads().map(fill, places))
        return out

    def _chunk(self, top: int, left: int) -> RGB:
        """Return a chunk; one that could not be read whole is read again the next time."""
        complete = True

        def inside(y0: int, y1: int, x0: int, x1: int) -> RGB:
            nonlocal complete
            pixels, complete = self._read(y0, y1, x0, x1)
            return pixels

        def decode() -> RGB:
            size = (min(self._side[0], self.shape[0] - top), min(self._side[1], self.shape[1] - left))
            return paste_inside(self.extent, (top, left), size, self._background, inside)

        return tile_cache().get((self._key, top, left), decode, keep=lambda: complete)


def coarser(level: LazyLevel, shape: tuple[int, int], background: tuple[int, int, int]) -> LazyLevel:
    """Return the level averaged over 4 x 4 pixels, in an array of ``shape``.

    A last row or column that does not fill four is repeated to do so.
    """

    def read(y0: int, y1: int, x0: int, x1: int) -> Pixels:
        bottom, right = min(4 * y1, level.extent[0]), min(4 * x1, level.extent[1])
        fine = level.window(4 * y0, bottom, 4 * x0, right)
        missing = (4 * y1 - bottom, 4 * x1 - right)
        if any(missing):
            fine = np.pad(fine, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
        sums = fine.reshape(y1 - y0, 4, x1 - x0, 4, 3).sum((1, 3), dtype=np.uint16)
        return ((sums + 8) // 16).astype(np.uint8), True

    extent = (-(-level.extent[0] // 4), -(-level.extent[1] // 4))
    return LazyLevel(read, extent, shape, (CHUNK, CHUNK), background)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(16, (os.cpu_count() or 1)), thread_name_prefix=_WORKER)


def _chunk_side(tile: int) -> int:
    return CHUNK // tile * tile if tile <= CHUNK else CHUNK


def _cut(length: int, side: int) -> tuple[int, ...]:
    edges = [*range(0, length, side), length]
    return tuple(b - a for a, b in pairwise(edges))


def _full_key(key: Any) -> tuple[Any, Any, Any]:
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(k is Ellipsis for k in keys):
        at = next(i for i, k in enumerate(keys) if k is Ellipsis)
        keys[at : at + 1] = [slice(None)] * (4 - len(keys))
    keys += [slice(None)] * (3 - len(keys))
    if len(keys) != 3:
        raise IndexError(f"A level has 3 axes (y, x, colour), not {len(keys)}.")
    return keys[0], keys[1], keys[2]


def _range(key: Any, length: int) -> tuple[int, int, Any]:
    """Return the pixels [start, stop) that a key needs, and the key within them."""
    if isinstance(key, slice):
        start, stop, step = key.indices(length)
        if step < 0:
            raise IndexError("A level is sliced forwards only.")
        return start, max(stop, start), slice(None, None, step)
    index = int(key)
    if not -length <= index < length:
        raise IndexError(f"{index} is outside an axis of {length} pixels.")
    index %= length
    return index, index + 1, 0
