"""Levels as arrays whose pixels are decoded when they are looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backend import RGB
from .cache import tile_cache
from .reader import hatched
from .resample import area_resample
from .window import paste_inside

CHUNK = 1024
Pixels = tuple[RGB, NDArray[np.bool_] | None]
"""(h, w, 3), and which of it could be read, (h, w), None where all could."""


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
        depth: int = 0,
    ) -> None:
        """Decode by ``read(y0, y1, x0, x1)``, called from any thread for what lies within ``extent``.

        depth: 0 for a level of the file, one more than the level it is averaged from for others.
        """
        self._read, self.extent, self._background, self.depth = read, extent, background, depth
        self.shape = (*shape, 3)
        self.side = (_chunk_side(tile[0]), _chunk_side(tile[1]))
        self.chunks = (_cut(shape[0], self.side[0]), _cut(shape[1], self.side[1]), (3,))
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
        return self.marked(y0, y1, x0, x1)[0]

    def unkept(self, y0: int, y1: int, x0: int, x1: int) -> Pixels:
        """Return pixels within the extent to be averaged; those of the file are not kept for it."""
        return self.marked(y0, y1, x0, x1) if self.depth else self._read(y0, y1, x0, x1)

    def marked(self, y0: int, y1: int, x0: int, x1: int) -> Pixels:
        """Return :meth:`window` and which of it could be read."""
        out = np.empty((max(y1 - y0, 0), max(x1 - x0, 0), 3), np.uint8)
        readable = np.ones(out.shape[:2], bool)
        height, width = self.side
        places = list(product(range(y0 // height, -(-y1 // height)), range(x0 // width, -(-x1 // width))))
        if not out.size:
            return out, None

        def fill(place: tuple[int, int]) -> None:
            top, left = place[0] * height, place[1] * width
            chunk, whole = self._chunk(top, left)
            a, b = max(top, y0), min(top + height, y1, self.shape[0])
            c, d = max(left, x0), min(left + width, x1, self.shape[1])
            out[a - y0 : b - y0, c - x0 : d - x0] = chunk[a - top : b - top, c - left : d - left]
            if whole is not None:
                readable[a - y0 : b - y0, c - x0 : d - x0] = whole[a - top : b - top, c - left : d - left]

        if len(places) == 1:
            fill(places[0])
        else:
            list(_threads(self.depth).map(fill, places))
        return out, None if readable.all() else readable

    def _chunk(self, top: int, left: int) -> Pixels:
        """Return a chunk; one that could not be read whole is read again the next time."""
        size = (min(self.side[0], self.shape[0] - top), min(self.side[1], self.shape[1] - left))
        readable: NDArray[np.bool_] | None = None

        def inside(y0: int, y1: int, x0: int, x1: int) -> RGB:
            nonlocal readable
            pixels, readable = self._read(y0, y1, x0, x1)
            return pixels

        def decode() -> RGB:
            return paste_inside(self.extent, (top, left), size, self._background, inside)

        pixels = tile_cache().get((self._key, top, left), decode, keep=lambda: readable is None)
        if readable is None:
            return pixels, None
        missing = (size[0] - len(readable), size[1] - readable.shape[1])
        return pixels, np.pad(readable, ((0, missing[0]), (0, missing[1])), constant_values=True)


def coarser(level: LazyLevel, shape: tuple[int, int], background: tuple[int, int, int]) -> LazyLevel:
    """Return the level averaged over 4 x 4 pixels, in an array of ``shape``.

    A last row or column that does not fill four is repeated to do so. A mean of what could not be
    read is hatched.
    """

    def band(y0: int, y1: int, x0: int, x1: int) -> Pixels:
        bottom, right = min(4 * y1, level.extent[0]), min(4 * x1, level.extent[1])
        fine, readable = level.unkept(4 * y0, bottom, 4 * x0, right)
        missing = ((0, 4 * y1 - bottom), (0, 4 * x1 - right))
        fine = np.pad(fine, (*missing, (0, 0)), mode="edge") if np.any(missing) else fine
        means = area_resample(fine, (y1 - y0, x1 - x0), (4.0, 4.0))
        if readable is None:
            return means, None
        fours = np.pad(readable, missing, mode="edge").reshape(y1 - y0, 4, x1 - x0, 4)
        whole: NDArray[np.bool_] = np.logical_and.reduce(fours, axis=(1, 3))
        return np.where(whole[..., None], means, hatched((y0, x0), whole.shape)), whole

    def read(y0: int, y1: int, x0: int, x1: int) -> Pixels:
        step = level.side[0] // 4  # a row of chunks is held at a time, not the whole of what is averaged
        edges = [y0, *range((y0 // step + 1) * step, y1, step), y1]
        bands = [band(top, end, x0, x1) for top, end in pairwise(edges)]
        pixels = np.concatenate([pixels for pixels, _ in bands])
        if all(whole is None for _, whole in bands):
            return pixels, None
        return pixels, np.concatenate(
            [np.ones(means.shape[:2], bool) if whole is None else whole for means, whole in bands]
        )

    extent = (-(-level.extent[0] // 4), -(-level.extent[1] // 4))
    return LazyLevel(read, extent, shape, (CHUNK, CHUNK), background, level.depth + 1)


@cache
def _threads(depth: int) -> ThreadPoolExecutor:
    """Return the workers of one depth: those of another wait for finer ones only, so never in a circle."""
    return ThreadPoolExecutor(min(16, (os.cpu_count() or 1)), thread_name_prefix="hwsi-decode")


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
