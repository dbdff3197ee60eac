"""An image in memory, read like a slide."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from ..errors import InputError
from ..units import Box, Mpp
from .backend import RGB


class ArrayBackend:
    """One level in memory."""

    name = "array"
    vendor = "array"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None
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
        self.mpp = mpp

    def read(self, level: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Return a copy of a window, white outside the image."""
        out = np.full((*size, 3), 255, np.uint8)
        (top, left), (height, width) = origin, self.level_shapes[0]
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + size[0], height), min(left + size[1], width)
        if y0 < y1 and x0 < x1:
            out[y0 - top : y1 - top, x0 - left : x1 - left] = self.image[y0:y1, x0:x1]
        return out

    def read_associated(self, name: str) -> RGB:
        """An array has no associated images."""
        raise KeyError(name)

    def close(self) -> None:
        """Nothing to give back."""
