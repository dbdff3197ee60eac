"""OME-TIFF and other RGB TIFF files through tifffile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
import zarr

from ..errors import SlideError
from ..units import Box, Mpp
from .backend import RGB

_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


class TifffileBackend:
    """The first RGB image of a TIFF file with its pyramid, SubIFDs included."""

    name = "tifffile"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None
    associated: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises SlideError when it is not an 8-bit RGB TIFF."""
        try:
            self._file = tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            raise SlideError("not a TIFF file, or a damaged one") from error
        except Exception as error:  # a damaged header can make the parser raise anything
            raise SlideError(f"{type(error).__name__}: {error}") from error
        try:
            self._open(path)
        except SlideError:
            self._file.close()
            raise
        except Exception as error:  # as above
            self._file.close()
            raise SlideError(f"damaged: {type(error).__name__}: {error}") from error

    def _open(self, path: Path) -> None:
        self.path = path
        series = next((s for s in self._file.series if _is_rgb(s)), None)
        if series is None:
            kinds = ", ".join(f"{s.axes} {s.shape} {s.dtype}" for s in self._file.series) or "no image"
            raise SlideError(f"not an 8-bit RGB image (it holds {kinds})")
        self._planar = series.axes.endswith("SYX")
        levels = sorted((level for level in series.levels if _is_rgb(level)), key=lambda s: -s.size)
        self._levels: list[Any] = [zarr.open_array(level.aszarr(level=0), mode="r") for level in levels]
        shapes = [level.shape[1:] if self._planar else level.shape[:2] for level in self._levels]
        self.level_shapes = tuple((int(h), int(w)) for h, w in shapes)
        page = series.keyframe
        self.vendor = "ome" if self._file.is_ome else "tiff"
        self.properties: Mapping[str, str] = {
            "tiff.compression": tifffile.COMPRESSION(page.compression).name,
            "tiff.tile": f"{page.chunks[0]} x {page.chunks[1]}",
        }
        self.mpp = _ome_mpp(self._file.ome_metadata) if self._file.ome_metadata else _tag_mpp(page)

    def read(self, level: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Return pixels of a level; the origin is rounded to the level's nearest pixel."""
        shape, full = self.level_shapes[level], self.level_shapes[0]
        top, left = (round(o * s / f) for o, s, f in zip(origin, shape, full, strict=True))
        out = np.empty((*size, 3), np.uint8)
        out[:] = self.background
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = min(top + size[0], shape[0]), min(left + size[1], shape[1])
        if y0 < y1 and x0 < x1:
            out[y0 - top : y1 - top, x0 - left : x1 - left] = self._decode(
                level, slice(y0, y1), slice(x0, x1)
            )
        return out

    def read_associated(self, name: str) -> RGB:
        """TIFF files of this kind name no associated images."""
        raise KeyError(name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _decode(self, level: int, rows: slice, columns: slice) -> RGB:
        array = self._levels[level]
        try:
            pixels = array[:, rows, columns] if self._planar else array[rows, columns]
        except Exception as error:  # a codec may raise anything on a damaged tile
            raise SlideError(f"{self.path} cannot be read at level {level}: {error}") from error
        return np.asarray(np.moveaxis(pixels, 0, -1) if self._planar else pixels)


def _is_rgb(series: Any) -> bool:
    if series.dtype != np.uint8 or series.ndim != 3:
        return False
    return bool(
        (series.axes == "YXS" and series.shape[2] == 3) or (series.axes == "SYX" and series.shape[0] == 3)
    )


def _ome_mpp(text: str) -> Mpp | None:
    """Read the physical pixel size; None where the text is damaged or does not state it."""
    try:
        pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
        if pixels is None:
            return None
        y, x = (
            float(pixels.attrib[f"PhysicalSize{axis}"]) * _UM[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "YX"
        )
    except (ElementTree.ParseError, KeyError, ValueError):
        return None
    return _plausible(y, x)


def _tag_mpp(page: Any) -> Mpp | None:
    """Read the resolution tags, only in centimetres: inches are mostly a printer's 72 dpi."""
    if page.resolutionunit != tifffile.RESUNIT.CENTIMETER:
        return None
    x, y = page.get_resolution(tifffile.RESUNIT.MICROMETER)
    return _plausible(1 / y, 1 / x) if x > 0 and y > 0 else None


def _plausible(y: float, x: float) -> Mpp | None:
    return (y, x) if 0.01 <= y <= 100 and 0.01 <= x <= 100 else None
