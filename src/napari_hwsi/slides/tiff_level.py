"""One level of a TIFF file, read and decoded tile by tile."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from ..errors import SlideError
from .backend import RGB
from .cache import tile_cache
from .tiff_page import require_plausible_size, require_rgb_model, safe_decode, where_pieces_lie

_LARGEST_TILE_PX = 1 << 26
_MOST_DIRECTORIES = 1 << 15
_TAG_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


class CutOffError(SlideError):
    """A TIFF file that ends too early."""


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF file; raises SlideError, whatever a damaged header makes the parser raise."""
    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        raise SlideError("not a TIFF file, or a damaged one") from error
    except Exception as error:
        raise SlideError(f"damaged: {type(error).__name__}: {error}") from error
    try:
        _check_directories(file)
    except SlideError:
        file.close()
        raise
    return file


def _check_directories(file: tifffile.TiffFile) -> None:
    """Refuse a chain of directories that never ends, which the parser would follow, or is cut off."""
    kind, handle = file.tiff, file.filehandle
    seen: set[int] = set()
    try:
        place = file.pages.first.offset
    except (IndexError, tifffile.TiffFileError) as error:
        raise SlideError("a TIFF file without an image") from error
    if file.is_ndpi:
        return  # whose places have bits elsewhere
    while place:
        if place in seen or len(seen) > _MOST_DIRECTORIES:
            raise SlideError("damaged: its directories do not end")
        seen.add(place)
        try:
            handle.seek(place)
            (count,) = struct.unpack(kind.tagnoformat, handle.read(kind.tagnosize))
            tags = handle.read(min(count * kind.tagsize, handle.size))  # a count may be any number
            (place,) = struct.unpack(kind.offsetformat, handle.read(kind.offsetsize))
            ends = [_end_of_value(kind, entry) for (entry,) in struct.iter_unpack(f"{kind.tagsize}s", tags)]
        except (OSError, ValueError, OverflowError, struct.error) as error:
            raise CutOffError("cut off: it ends within its directories. Copy it again") from error
        if max(ends, default=0) > handle.size:
            raise CutOffError("cut off: it ends before what its directories point at. Copy it again")


def _end_of_value(kind: Any, entry: bytes) -> int:
    """Return where the value of a tag ends in the file, 0 where it stands in the tag itself."""
    _, dtype, count, value = struct.unpack(kind.tagheaderformat, entry)
    size = count * _TAG_BYTES.get(dtype, 0)
    if size <= kind.tagoffsetthreshold:
        return 0
    (place,) = struct.unpack(kind.offsetformat, value[: kind.offsetsize])
    return int(place + size)


class SharedFile:
    """A file that several threads read pieces of; opened anew after the system took it away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._closed = False

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes at ``offset``; raises SlideError where they are not to be had."""
        with self._lock:
            if self._closed:
                raise SlideError(f"{self.path} is closed. Open it again to read it.")
            try:
                if self._file is None:
                    self._file = self.path.open("rb", buffering=0)
                self._file.seek(offset)
                data = self._file.read(count)
            except (OSError, OverflowError) as error:
                self._let_go()
                raise SlideError(
                    f"{self.path} cannot be read: {getattr(error, 'strerror', None) or error}."
                ) from error
            if len(data) != count:
                self._let_go()
                raise SlideError(f"{self.path} ends too early: it is cut off.")
            return data

    def close(self) -> None:
        """Close the file; reading afterwards is a SlideError."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class TiffLevel:
    """An 8-bit RGB image of a TIFF file in tiles or strips, of any codec that tifffile knows.

    shape: (Y, X); tile_shape: (Y, X) of a tile, or of a strip.
    """

    def __init__(self, file: SharedFile, page: Any, background: tuple[int, int, int]) -> None:
        """Take the layout from ``page``; raises SlideError where it does not hold together."""
        self._file, self._background = file, background
        self._key = object()  # of this level's tiles in the cache
        try:
            self._take_layout(page)
        except SlideError:
            raise
        except Exception as error:  # a damaged tag can make the parser raise anything
            raise SlideError(f"damaged: {type(error).__name__}: {error}") from error

    def _take_layout(self, page: Any) -> None:
        if page.dtype != np.uint8 or page.samplesperpixel < 3:
            raise SlideError(f"not an 8-bit RGB image ({page.samplesperpixel} x {page.dtype} a pixel)")
        require_rgb_model(page)
        self._planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        self.shape: tuple[int, int] = (int(page.imagelength), int(page.imagewidth))
        rows, columns = page.chunks[:2]
        self.tile_shape: tuple[int, int] = (int(rows), int(columns))
        if min(*self.shape, *self.tile_shape) < 1:
            raise SlideError(f"a level of {self.shape} px in tiles of {self.tile_shape} px")
        if self.tile_shape[0] * self.tile_shape[1] > _LARGEST_TILE_PX:
            raise SlideError(f"tiles of {self.tile_shape[0]} x {self.tile_shape[1]} px are too large")
        self._across = -(-self.shape[1] // self.tile_shape[1])
        self._plane = -(-self.shape[0] // self.tile_shape[0]) * self._across
        self._offsets, self._counts = where_pieces_lie(page)
        stored = min(len(self._offsets), len(self._counts))
        if stored < self._plane * (3 if self._planar else 1):
            raise SlideError(f"{stored} tiles, too few for {self.shape} px")
        require_plausible_size(page, self.shape, self.tile_shape, self._counts)
        self._tables, self._header = page.jpegtables, page.jpegheader
        self._decode = safe_decode(page)

    def read(self, y0: int, y1: int, x0: int, x1: int) -> RGB:
        """Return pixels [y0, y1) x [x0, x1), all on the level; each tile that they meet is decoded once.

        Tiles that are used in part are kept in the tile cache for the neighbours to come.
        """
        out = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        th, tw = self.tile_shape
        for row, column in product(range(y0 // th, -(-y1 // th)), range(x0 // tw, -(-x1 // tw))):
            top, left = row * th, column * tw
            bottom, right = min(top + th, self.shape[0]), min(left + tw, self.shape[1])
            a, b, c, d = max(top, y0), min(bottom, y1), max(left, x0), min(right, x1)
            whole = (a, b, c, d) == (top, bottom, left, right)
            tile = self.tile(row, column) if whole else self._kept(row, column)
            out[a - y0 : b - y0, c - x0 : d - x0] = tile[a - top : b - top, c - left : d - left]
        return out

    def tile(self, row: int, column: int) -> RGB:
        """Decode a tile, (h, w, 3), at least what of it is on the level; raises SlideError where damaged."""
        index = row * self._across + column
        if self._planar:
            planes = [self._segment(index + p * self._plane) for p in range(3)]
            if any(plane is None for plane in planes):
                return self._empty()
            return np.stack([plane[..., 0] for plane in planes if plane is not None], -1)
        pixels = self._segment(index)
        return self._empty() if pixels is None else pixels[..., :3]

    @property
    def leaves_out_tiles(self) -> bool:
        """Whether the file stores nothing for some tiles."""
        return not self._counts.all()

    def missing_tiles(self, file_size: int) -> int:
        """Return how many tiles the file is too short for: it is cut off."""
        n = min(len(self._offsets), len(self._counts))
        offsets, counts = self._offsets[:n], self._counts[:n]
        return int(np.count_nonzero((counts > 0) & (offsets > file_size - counts)))

    def stored(self) -> Iterator[tuple[int, int]]:
        """Yield (row, column) of the tiles that hold something, the middle of the level first."""
        filled = np.flatnonzero(self._counts[: self._plane])
        for index in filled[np.argsort(np.abs(filled - self._plane // 2), kind="stable")]:
            yield divmod(int(index), self._across)

    def _kept(self, row: int, column: int) -> RGB:
        return tile_cache().get((self._key, row, column), lambda: self.tile(row, column))

    def _segment(self, index: int) -> np.ndarray | None:
        """Return (h, w, samples) of a segment, None where the file stores nothing for it."""
        count = int(self._counts[index])
        if not count:
            return None
        if count > 4 * _LARGEST_TILE_PX:
            raise SlideError(f"{self._file.path} is damaged: a tile of {count} bytes.")
        data = self._file.read(int(self._offsets[index]), count)
        try:
            decoded = self._decode(data, index, jpegtables=self._tables, jpegheader=self._header)[0]
        except Exception as error:  # a codec may raise anything on a damaged tile
            raise SlideError(f"{self._file.path}: tile {index} is damaged ({error}).") from error
        pixels = np.asarray(decoded)[0]
        if pixels.dtype != np.uint8:
            raise SlideError(f"{self._file.path}: tile {index} holds {pixels.dtype}, not 8 bits.")
        return pixels

    def _empty(self) -> RGB:
        out = np.empty((*self.tile_shape, 3), np.uint8)
        out[:] = self._background
        return out
