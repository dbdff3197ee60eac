"""Slides through OpenSlide."""

from __future__ import annotations

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


class OpenSlideBackend:
    """One slide file opened by OpenSlide; transparent pixels are composited on its background."""

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
        self._readers, self._closed = 0, False
        self.path = path
        self.properties: Mapping[str, str] = dict(self._slide.properties)
        self.vendor = self.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        if self.vendor == "generic-tiff":
            _require_rgb(path)
        self.level_shapes = tuple((h, w) for w, h in self._slide.level_dimensions)
        self.associated: Mapping[str, tuple[int, int]] = {
            name: self._size_of(name) for name in self._slide.associated_images
        }
        colour = self.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        self.background = (int(colour[0:2], 16), int(colour[2:4], 16), int(colour[4:6], 16))
        self.mpp = self._mpp()
        self.bounds = self._bounds()

    def read(self, level: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Return what ``read_region`` gives at that place, without transparency."""
        with self._reading(f"at {origin}, level {level}") as slide:
            return self._composite(slide.read_region((origin[1], origin[0]), level, (size[1], size[0])))

    def read_associated(self, name: str) -> RGB:
        """Return the label, macro or thumbnail image as the file holds it."""
        with self._reading(f"at its image {name!r}") as slide:
            return self._composite(slide.associated_images[name])

    def close(self) -> None:
        """Close the file, once the reads under way are over; reading afterwards is a SlideError."""
        with self._turn:
            if not self._closed:
                self._closed = True
                self._turn.wait_for(lambda: self._readers == 0)
                self._slide.close()

    @contextmanager
    def _reading(self, where: str) -> Iterator[openslide.OpenSlide]:
        """Hold the file open for one read, and turn OpenSlide's errors into ours."""
        with self._turn:
            if self._closed:
                raise SlideError(f"{self.path} is closed. Open it again to read it.")
            self._readers += 1
            slide = self._slide
        try:
            yield slide
        except openslide.OpenSlideError as error:
            self._renew(slide)
            raise SlideError(f"{self.path} cannot be read {where}: {error}") from error
        finally:
            with self._turn:
                self._readers -= 1
                self._turn.notify_all()

    def _renew(self, broken: openslide.OpenSlide) -> None:
        """Open the file anew: after its first error a handle gives nothing but that error."""
        with self._turn:
            if self._slide is broken:
                with suppress(openslide.OpenSlideError, OSError):  # then the next read says so
                    self._slide = openslide.OpenSlide(self.path)

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


def _require_rgb(path: Path) -> None:
    """Refuse labels, masks, grey and 16-bit images, which OpenSlide would draw as if they were colours."""
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        if page.dtype != np.uint8 or page.samplesperpixel < 3:
            raise SlideError(f"not an 8-bit RGB image ({page.samplesperpixel} x {page.dtype} a pixel)")
