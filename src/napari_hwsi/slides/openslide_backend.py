"""Slides through OpenSlide."""

from __future__ import annotations

import logging
import math
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import openslide
import tifffile
from PIL import Image

from ..errors import SlideError
from ..units import Box, Mpp
from .backend import RGB
from .tiff_level import CutOffError, SharedFile, TiffLevel, open_tiff
from .tiff_page import ColourModelError
from .window import paste_inside

logger = logging.getLogger(__name__)

_DIRECT = ("aperio", "generic-tiff", "hamamatsu")
"""Vendors whose levels are plain images of a TIFF file: their tiles can be decoded without OpenSlide."""
_LARGEST_DIRECT_TILE_PX = 1 << 22
_WHOLE = 1 / 512  # a place this near to a pixel is that pixel to within half a grey level
_LARGEST_TILE_PX = 1 << 26  # OpenSlide ends the process where it cannot have the memory
_PROOF_PX, _PROOFS = 256, 8
_DAMAGED = (
    SlideError,
    tifffile.TiffFileError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
)
"""What reading a damaged directory of a TIFF file raises."""
_BLOCK = 1024


class OpenSlideBackend:
    """One slide file opened by OpenSlide; transparent pixels are composited on its background.

    The tiles of TIFF-family files are decoded directly where that gives what ``read_region`` gives,
    which is tried on each level before its first use: it saves the conversions to ARGB and back.
    Between pixels, and for all other files, pixels come from ``read_region``.
    """

    name = "openslide"

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises SlideError with OpenSlide's own reason where it cannot."""
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise SlideError("not a slide format that OpenSlide knows, or a damaged file") from error
        except (openslide.OpenSlideError, OSError) as error:
            raise SlideError(str(error)) from error
        self._turn = threading.Condition()
        self._readers, self._closed, self._broken = 0, False, False
        self.path = path
        self.properties = _stated(self._slide.properties)
        self.vendor = self.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        if self.vendor == "generic-tiff":
            _require_rgb(path)
        self.level_shapes = tuple((h, w) for w, h in self._slide.level_dimensions)
        self._steps = tuple(float(step) for step in self._slide.level_downsamples)
        self.tile_shapes = tuple(self._tile_shape(i) for i in range(len(self.level_shapes)))
        self.associated: Mapping[str, tuple[int, int]] = {
            name: self._size_of(name) for name in self._slide.associated_images
        }
        colour = self.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        self.background = (int(colour[0:2], 16), int(colour[2:4], 16), int(colour[4:6], 16))
        self.mpp = self._mpp()
        self.bounds = self._bounds()
        self._file = SharedFile(path)
        self._tiles = self._tiled_levels()
        self._direct: dict[int, TiffLevel | None] = {}
        self._proving = threading.Lock()
        self.icc_profile = self._icc_profile()

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return what ``read_region`` gives at that place, without transparency."""
        whole = (round(origin[0]), round(origin[1]))
        if max(abs(origin[0] - whole[0]), abs(origin[1] - whole[1])) < _WHOLE:
            direct = self._direct_level(level)
            if direct is not None:
                return paste_inside(direct.shape, whole, size, self.background, direct.read)
        return self._read_region(level, origin, size)

    def read_associated(self, name: str) -> RGB:
        """Return the label, macro or thumbnail image as the file holds it."""
        with self._reading(f"at its image {name!r}") as slide:
            return self._composite(slide.associated_images[name])

    def answers(self) -> bool:
        """The slide looks at single files itself."""
        return True

    def close(self) -> None:
        """Close the file, once the reads under way are over; reading afterwards is a SlideError."""
        with self._turn:
            if not self._closed:
                self._closed = True
                self._turn.wait_for(lambda: self._readers == 0)
                self._slide.close()
        self._file.close()

    def _read_region(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        y, x = (round(o * self._steps[level]) for o in origin)
        with self._reading(f"at ({y}, {x}), level {level}") as slide:
            return self._composite(slide.read_region((x, y), level, (size[1], size[0])))

    def _tiled_levels(self) -> dict[int, TiffLevel]:
        """Return the levels that are tiles of a TIFF, by number.

        Raises SlideError for a file that is cut off, or declares tiles that would fill the memory.
        """
        if self.vendor not in _DIRECT:
            return {}
        levels: dict[int, TiffLevel] = {}
        problem = ""
        try:
            with open_tiff(self.path) as file:
                pages = [p for p in file.pages if isinstance(p, tifffile.TiffPage) and p.is_tiled]
                if any(page.tilelength * page.tilewidth > _LARGEST_TILE_PX for page in pages):
                    problem = "damaged: it declares tiles that would fill the memory"
                for i, shape in enumerate(self.level_shapes):
                    page = next((p for p in pages if p.shape == (*shape, 3)), None)
                    if page is not None and not problem:
                        levels[i] = TiffLevel(self._file, page, self.background)
            if missing := sum(level.missing_tiles(self.path.stat().st_size) for level in levels.values()):
                problem = f"cut off: it ends before {missing} of its tiles. Copy it again"
        except CutOffError as error:
            problem = str(error)
        except _DAMAGED as error:
            logger.debug("%s is read through OpenSlide alone: %s", self.path.name, error)
        if problem:
            self._slide.close()
            raise SlideError(problem)
        return {
            i: level
            for i, level in levels.items()
            if math.prod(level.tile_shape) <= _LARGEST_DIRECT_TILE_PX
            # OpenSlide draws the tiles that Aperio leaves out from the next finer level.
            and not (self.vendor == "aperio" and level.leaves_out_tiles)
        }

    def _direct_level(self, level: int) -> TiffLevel | None:
        """Return the level's own tiles, None where they are not the same pixels as OpenSlide's."""
        if level not in self._tiles:
            return None
        with self._proving:
            if level not in self._direct:
                same = self._same_pixels(level)
                if same is None:  # nothing to compare could be read now
                    return None
                self._direct[level] = self._tiles[level] if same else None
            return self._direct[level]

    def _same_pixels(self, level: int) -> bool | None:
        """Compare a tile with what ``read_region`` gives, None where none that is tried can be read."""
        tiles = self._tiles[level]
        th, tw = tiles.tile_shape
        refused = 0
        for row, column in tiles.stored():
            size = (
                min(th, _PROOF_PX, tiles.shape[0] - row * th),
                min(tw, _PROOF_PX, tiles.shape[1] - column * tw),
            )
            place = (row * th, column * tw)
            off = abs(place[0] * self._steps[level] % 1), abs(place[1] * self._steps[level] % 1)
            if max(min(o, 1 - o) for o in off) > _WHOLE * self._steps[level]:
                continue  # read_region would interpolate here
            try:
                own = tiles.tile(row, column)[: size[0], : size[1]].astype(np.int16)
                same = bool(np.abs(own - self._read_region(level, place, size)).max() <= 1)
            except SlideError:
                refused += 1
                if refused == _PROOFS:
                    break
                continue
            if not same:
                logger.info("%s, level %d: OpenSlide decodes it otherwise, so it does", self.path.name, level)
            return same
        return None

    def _icc_profile(self) -> bytes | None:
        with suppress(SlideError), self._reading("for its colour profile") as slide:
            return slide.read_region((0, 0), len(self.level_shapes) - 1, (1, 1)).info.get("icc_profile")
        return None

    def _tile_shape(self, level: int) -> tuple[int, int]:
        try:
            h, w = (
                int(self.properties[f"openslide.level[{level}].tile-{side}"]) for side in ("height", "width")
            )
        except (KeyError, ValueError):
            return _BLOCK, _BLOCK
        return max(h, 1), max(w, 1)

    @contextmanager
    def _reading(self, where: str) -> Iterator[openslide.OpenSlide]:
        """Hold the file open for one read, and turn OpenSlide's errors into ours."""
        with self._turn:
            if self._closed:
                raise SlideError(f"{self.path} is closed. Open it again to read it.")
            if self._broken:
                self._renew()
            self._readers += 1
            slide = self._slide
        try:
            yield slide
        except openslide.OpenSlideError as error:
            with self._turn:  # after its first error a handle gives nothing but that error
                self._broken |= slide is self._slide
            raise SlideError(f"{self.path} cannot be read {where}: {error}") from error
        finally:
            with self._turn:
                self._readers -= 1
                self._turn.notify_all()

    def _renew(self) -> None:
        try:
            self._slide, self._broken = openslide.OpenSlide(self.path), False
        except (openslide.OpenSlideError, OSError) as error:
            raise SlideError(f"{self.path} cannot be opened again: {error}") from error

    def _composite(self, image: Image.Image) -> RGB:
        rgba = np.asarray(image)
        alpha = rgba[..., 3:]
        if (alpha == 255).all():
            return np.ascontiguousarray(rgba[..., :3])
        share = alpha.astype(np.float32) / 255
        mixed = rgba[..., :3] * share + np.array(self.background, np.float32) * (1 - share)
        return np.rint(mixed).astype(np.uint8)

    def _size_of(self, name: str) -> tuple[int, int]:
        height, width = (
            self.properties[f"openslide.associated.{name}.{side}"] for side in ("height", "width")
        )
        return int(height), int(width)

    def _mpp(self) -> Mpp | None:
        # A generic TIFF's inches are mostly a printer's resolution.
        if self.vendor == "generic-tiff" and self.properties.get("tiff.ResolutionUnit") != "centimeter":
            return None
        try:
            y = float(self.properties[openslide.PROPERTY_NAME_MPP_Y])
            x = float(self.properties[openslide.PROPERTY_NAME_MPP_X])
        except (KeyError, ValueError):
            return None
        return (y, x) if 0.01 <= y <= 100 and 0.01 <= x <= 100 else None

    def _bounds(self) -> Box | None:
        try:
            y, x, h, w = (
                int(self.properties[f"openslide.bounds-{name}"]) for name in ("y", "x", "height", "width")
            )
        except (KeyError, ValueError):
            return None
        return y, x, y + h, x + w


def _stated(properties: Mapping[str, str]) -> Mapping[str, str]:
    """Return the properties that have a value; where a file is damaged some are a name alone."""
    values = {}
    for name in properties:
        with suppress(KeyError):
            values[name] = properties[name]
    return values


def _require_rgb(path: Path) -> None:
    """Refuse labels, masks, grey and 16-bit images, which OpenSlide would draw as if they were colours.

    And images with fewer tiles than their stated size needs, which it would look for one by one. Other
    colour models than RGB it converts.
    """
    with open_tiff(path) as file, suppress(ColourModelError):
        TiffLevel(SharedFile(path), file.pages.first, (255, 255, 255))
