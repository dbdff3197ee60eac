"""Slides through OpenSlide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openslide

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
        self.path = path
        self.properties: Mapping[str, str] = dict(self._slide.properties)
        self.vendor = self.properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown")
        self.level_shapes = tuple((h, w) for w, h in self._slide.level_dimensions)
        self.associated = tuple(self._slide.associated_images)
        colour = self.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        self.background = (int(colour[0:2], 16), int(colour[2:4], 16), int(colour[4:6], 16))
        self.mpp = self._mpp()
        self.bounds = self._bounds()

    def read(self, level: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Return what ``read_region`` gives at that place, without transparency."""
        try:
            image = self._slide.read_region((origin[1], origin[0]), level, (size[1], size[0]))
        except openslide.OpenSlideError as error:
            raise SlideError(f"{self.path} cannot be read at {origin}, level {level}: {error}") from error
        return self._composite(np.asarray(image))

    def read_associated(self, name: str) -> RGB:
        """Return the label, macro or thumbnail image as the file holds it."""
        return self._composite(np.asarray(self._slide.associated_images[name]))

    def close(self) -> None:
        """Close the file."""
        self._slide.close()

    def _composite(self, rgba: RGB) -> RGB:
        alpha = rgba[..., 3:]
        if alpha.all() and (alpha == 255).all():
            return np.ascontiguousarray(rgba[..., :3])
        share = alpha.astype(np.float32) / 255
        mixed = rgba[..., :3] * share + np.array(self.background, np.float32) * (1 - share)
        return np.rint(mixed).astype(np.uint8)

    def _mpp(self) -> Mpp | None:
        try:
            y = float(self.properties[openslide.PROPERTY_NAME_MPP_Y])
            x = float(self.properties[openslide.PROPERTY_NAME_MPP_X])
        except (KeyError, ValueError):
            return None
        return (y, x) if 0.01 <= y <= 100 and 0.01 <= x <= 100 else None

    def _bounds(self) -> Box | None:
        try:
            x, y, w, h = (
                int(self.properties[key])
                for key in (
                    openslide.PROPERTY_NAME_BOUNDS_X,
                    openslide.PROPERTY_NAME_BOUNDS_Y,
                    openslide.PROPERTY_NAME_BOUNDS_WIDTH,
                    openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
                )
            )
        except KeyError:
            return None
        return y, x, y + h, x + w
