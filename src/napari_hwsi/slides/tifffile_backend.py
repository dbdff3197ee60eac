"""OME-TIFF and other RGB TIFF files through tifffile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from ..errors import SlideError
from ..units import Box, Mpp
from .backend import RGB
from .pixel_size import UM, plausible, tag_mpp
from .tiff_level import SharedFile, TiffLevel, open_tiff
from .window import between_pixels, paste_inside


class TifffileBackend:
    """The largest RGB image of a TIFF file with its pyramid, SubIFDs included; planar or interleaved."""

    name = "tifffile"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None
    associated: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises SlideError when it is not an 8-bit RGB TIFF."""
        self._tiff = open_tiff(path)
        self._file = SharedFile(path)
        try:
            self._open(path)
        except SlideError:
            self.close()
            raise
        except Exception as error:  # a damaged header can make the parser raise anything
            self.close()
            raise SlideError(f"damaged: {type(error).__name__}: {error}") from error

    def _open(self, path: Path) -> None:
        self.path = path
        series = max(filter(_is_rgb, self._tiff.series), key=lambda s: s.size, default=None)
        if series is None:
            kinds = ", ".join(f"{s.axes} {s.shape} {s.dtype}" for s in self._tiff.series) or "no image"
            raise SlideError(f"not an 8-bit RGB image (it holds {kinds})")
        levels = sorted((level for level in series.levels if _is_rgb(level)), key=lambda s: -s.size)
        self._levels = [TiffLevel(self._file, level.pages[0], self.background) for level in levels]
        if missing := sum(level.missing_tiles(path.stat().st_size) for level in self._levels):
            raise SlideError(f"cut off: it ends before {missing} of its tiles. Copy it again")
        self.level_shapes = tuple(level.shape for level in self._levels)
        self.tile_shapes = tuple(level.tile_shape for level in self._levels)
        page = series.keyframe
        self.vendor = "ome" if self._tiff.is_ome else "tiff"
        self.properties: Mapping[str, str] = {
            "tiff.compression": tifffile.COMPRESSION(page.compression).name,
            "tiff.tile": f"{page.chunks[0]} x {page.chunks[1]}",
        }
        profile = page.tags.get("InterColorProfile")
        self.icc_profile: bytes | None = None if profile is None else bytes(profile.value)
        ome = self._tiff.ome_metadata
        self.mpp = _ome_mpp(ome, page) if ome else tag_mpp(page)

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return pixels of a level, bilinear between them."""
        one = self._levels[level]
        return between_pixels(
            lambda place, extent: paste_inside(one.shape, place, extent, self.background, one.read),
            origin,
            size,
        )

    def read_associated(self, name: str) -> RGB:
        """TIFF files of this kind name no associated images."""
        raise KeyError(name)

    def answers(self) -> bool:
        """The slide looks at single files itself."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()
        self._file.close()


def _is_rgb(series: Any) -> bool:
    if series.dtype != np.uint8 or series.ndim != 3:
        return False
    return bool(
        (series.axes == "YXS" and series.shape[2] == 3) or (series.axes == "SYX" and series.shape[0] == 3)
    )


def _ome_mpp(text: str, page: Any) -> Mpp | None:
    """Read the physical pixel size of the image that ``page`` starts; None where none is stated for it."""
    try:
        pixels = _pixels_of(ElementTree.fromstring(text), page)
        if pixels is None:
            return None
        y, x = (
            float(pixels.attrib[f"PhysicalSize{axis}"]) * UM[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "YX"
        )
    except (ElementTree.ParseError, KeyError, ValueError):
        return None
    return plausible(y, x)


def _pixels_of(root: ElementTree.Element, page: Any) -> ElementTree.Element | None:
    """Return the Pixels whose planes lie in ``page``, else the only ones of its size."""
    size = (page.imagelength, page.imagewidth)
    found = [
        p for p in root.iterfind(".//{*}Pixels") if (int(p.get("SizeY", 0)), int(p.get("SizeX", 0))) == size
    ]
    own = [p for p in found if any(_holds(data, page.index) for data in p.iterfind("{*}TiffData"))]
    if own:
        return own[0]
    return found[0] if len(found) == 1 else None


def _holds(data: ElementTree.Element, index: int) -> bool:
    """Whether a TiffData element names the page; without a count it names one."""
    if "IFD" not in data.attrib:
        return False
    first = int(data.attrib["IFD"])
    return first <= index < first + int(data.get("PlaneCount", 1))
