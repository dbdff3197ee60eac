"""TIFF files of one plain image, with the kinds of pixel that slides do not have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from ..errors import SlideError
from .backend import RGB
from .limits import require_memory
from .once import Once
from .picture import on_white
from .pixel_size import tag_mpp
from .tiff_level import SharedFile, open_tiff
from .tiff_page import require_plausible_size, require_rgb_model, safe_decode, where_pieces_lie

_MOST_BYTES_PER_BYTE = 4096  # more than LZW and deflate can put into one
_WHOLE_PX = 1 << 26  # a compressed strip larger than this is decoded once and kept


class FlatTiff:
    """The first image of a TIFF file: RGB of 8 or 16 bits, with alpha or without, or a palette."""

    kind = "tiff"

    def __init__(self, path: Path) -> None:
        """Read the layout; raises SlideError for what is no colour image."""
        self.path = path
        self._tiff = open_tiff(path)
        self._file = SharedFile(path)
        self._closed = False
        self._array: Once[Any] | None = None
        try:
            self._open(self._tiff.pages.first)
        except BaseException:
            self.close()
            raise

    def _open(self, page: Any) -> None:
        self._page, self._planar = page, page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
        self.shape = (int(page.imagelength), int(page.imagewidth))
        self._palette = _palette(page)
        self._alpha = _alpha(page)
        if page.imagedepth != 1 or min(self.shape) < 1:
            raise SlideError(f"an image of {page.shape} pixels")
        self._rows = page.is_contiguous and not self._planar and page.fillorder == 1
        rows, columns = (int(size) for size in page.chunks[:2])
        if not page.is_tiled:
            rows = min(rows, self.shape[0])
        if min(rows, columns) < 1:
            raise SlideError(f"damaged: strips of {rows} x {columns} px")
        self.piece = (1024, self.shape[1]) if self._rows else (rows, columns)
        self._bytes_per_px = page.samplesperpixel * page.dtype.itemsize
        self._check_extent(page)
        if not self._rows:
            require_memory(2 * rows * columns * self._bytes_per_px, f"a piece of {rows} x {columns} px")
        page.decode = safe_decode(page)  # which the array uses
        self._array = Once(self.path, self._opened_array)
        self.mpp = tag_mpp(page)
        profile = page.tags.get("InterColorProfile")
        self.icc_profile: bytes | None = None if profile is None else bytes(profile.value)
        self.properties: Mapping[str, str] = {
            "tiff.compression": tifffile.COMPRESSION(page.compression).name,
            "tiff.photometric": tifffile.PHOTOMETRIC(page.photometric).name,
            "tiff.bits": str(page.bitspersample),
        }

    def read(self, y0: int, y1: int, x0: int, x1: int) -> RGB:
        """Return pixels [y0, y1) x [x0, x1) in eight bits, looked up and composited."""
        if self._closed:
            raise SlideError(f"{self.path} is closed. Open it again to read it.")
        stored = self._stored_rows(y0, y1, x0, x1) if self._rows else self._stored(y0, y1, x0, x1)
        if self._palette is not None:
            return self._palette[stored[..., 0] if stored.ndim == 3 else stored]
        pixels: RGB = stored if stored.dtype == np.uint8 else (stored >> 8).astype(np.uint8)
        return on_white(pixels, self._alpha == "premultiplied") if self._alpha else pixels

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._tiff.close()
        self._file.close()
        if self._array is not None:
            self._array.close()

    def _check_extent(self, page: Any) -> None:
        """Raise SlideError where the file cannot hold as much as it declares."""
        offsets, counts = where_pieces_lie(page)
        pieces, bound = math.prod(page.chunked), min(len(offsets), len(counts))
        if bound < pieces:
            raise SlideError(f"damaged: {bound} pieces, where {pieces} make up its size")
        declared, size = math.prod(self.shape) * self._bytes_per_px, self.path.stat().st_size
        if declared > _MOST_BYTES_PER_BYTE * size:
            raise SlideError(f"damaged: it declares {self.shape[1]} x {self.shape[0]} px in {size} bytes")
        if self._rows and offsets[0] + declared > size:
            raise SlideError("cut off: it declares more pixels than it holds. Copy it again")
        if not self._rows:
            require_plausible_size(page, self.shape, (int(page.chunks[0]), int(page.chunks[1])), counts)
        self._start = int(offsets[0])

    def _stored_rows(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Read whole rows of an image that is not compressed, and cut them."""
        step = self.shape[1] * self._bytes_per_px
        data = self._file.read(self._start + y0 * step, (y1 - y0) * step)
        dtype = self._page.dtype.newbyteorder(self._tiff.byteorder)
        rows = np.frombuffer(data, dtype).reshape(y1 - y0, self.shape[1], -1)
        return rows[:, x0:x1].astype(self._page.dtype)

    def _stored(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        assert self._array is not None
        array = self._array.get()
        if self._planar:
            return np.moveaxis(np.asarray(array[:, y0:y1, x0:x1]), 0, -1)
        return np.asarray(array[y0:y1, x0:x1])

    def _opened_array(self) -> Any:
        try:
            if self.piece[0] * self.piece[1] > _WHOLE_PX:
                return self._page.asarray()
            return zarr.open_array(self._page.aszarr(), mode="r")
        except Exception as error:  # a codec may raise anything on damaged data
            raise SlideError(f"{self.path} cannot be read: {error}") from error


def _palette(page: Any) -> RGB | None:
    """Return the colours of a palette, (n, 3); raises SlideError for other images of no colour."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.dtype in (np.uint8, np.uint16):
        colours = np.asarray(page.colormap)
        if colours.shape == (3, 1 << page.bitspersample):
            return np.ascontiguousarray((colours.T >> 8).astype(np.uint8))
        raise SlideError(f"damaged: a palette of {colours.shape}")
    if page.samplesperpixel not in (3, 4) or page.dtype not in (np.uint8, np.uint16):
        raise SlideError(
            f"not a colour image: {page.samplesperpixel} channel(s) of {page.dtype}, as masks, label images "
            "and fluorescence have; if it is a photograph, convert it to RGB"
        )
    require_rgb_model(page)
    return None


def _alpha(page: Any) -> str:
    """Return '', 'straight' or 'premultiplied'; raises SlideError for a fourth channel that is no alpha."""
    if page.samplesperpixel != 4:
        return ""
    kinds = {tifffile.EXTRASAMPLE.ASSOCALPHA: "premultiplied", tifffile.EXTRASAMPLE.UNASSALPHA: "straight"}
    extra = page.extrasamples[0] if page.extrasamples else None
    if extra not in kinds:
        raise SlideError("its fourth channel is not marked as transparency; convert it to RGB")
    return kinds[extra]
