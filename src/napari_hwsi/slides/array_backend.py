"""An image in memory, read like a slide."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ..errors import InputError
from ..units import Box, Mpp
from .backend import RGB
from .window import between_pixels, paste_inside


class ArrayBackend:
    """One level in memory."""

    name = "array"
    vendor = "array"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None
    icc_profile: bytes | None = None
    associated: Mapping[str, tuple[int, int]] = MappingProxyType({})
    properties: Mapping[str, str] = MappingProxyType({})

    def __init__(self, image: RGB, mpp: Mpp | None) -> None:
        """Wrap (Y, X, 3) uint8; raises InputError for anything else."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise InputError(
                f"An image must be RGB, (Y, X, 3) uint8; this one is {image.shape} {image.dtype}. "
                "Grey and label images are not slides; drop an alpha channel with image[..., :3]."
            )
        self.image = image
        self.level_shapes: tuple[tuple[int, int], ...] = ((image.shape[0], image.shape[1]),)
        self.tile_shapes: tuple[tuple[int, int], ...] = ((1024, 1024),)
        self.mpp = mpp

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return a copy of a window, white outside the image, bilinear between pixels."""
        return between_pixels(self._whole, origin, size)

    def _whole(self, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        inside = paste_inside(
            self.level_shapes[0],
            origin,
            size,
            self.background,
            lambda y0, y1, x0, x1: self.image[y0:y1, x0:x1],
        )
        return inside.copy() if inside.base is not None else inside

    def read_associated(self, name: str) -> RGB:
        """An array has no associated images."""
        raise KeyError(name)

    def answers(self) -> bool:
        """Memory is always there."""
        return True

    def close(self) -> None:
        """Nothing to give back."""
