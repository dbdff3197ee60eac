"""What a slide needs from whatever decodes its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..units import Box, Mpp

RGB = NDArray[np.uint8]


class Backend(Protocol):
    """Decodes one open file. Reads may come from several threads at once."""

    name: str
    vendor: str
    level_shapes: tuple[tuple[int, int], ...]
    """(Y, X) of each level, finest first."""
    mpp: Mpp | None
    """µm per level-0 pixel as the file itself states it."""
    bounds: Box | None
    """The scanned part where the file names one, level-0 pixels."""
    background: tuple[int, int, int]
    properties: Mapping[str, str]
    associated: Mapping[str, tuple[int, int]]
    """(Y, X) of the associated images, by name."""

    def read(self, level: int, origin: tuple[int, int], size: tuple[int, int]) -> RGB:
        """Return (h, w, 3) of ``level``; origin (y, x) in level-0 px, size in pixels of that level.

        What lies outside the level is ``background``.
        """
        ...

    def read_associated(self, name: str) -> RGB:
        """Return an associated image whole."""
        ...

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        ...
