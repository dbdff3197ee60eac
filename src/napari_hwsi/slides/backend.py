"""What a slide needs from whatever decodes its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..units import Box, Mpp

RGB: TypeAlias = NDArray[np.uint8]


class Backend(Protocol):
    """Decodes one open file. Reads may come from several threads at once."""

    name: str
    vendor: str
    level_shapes: tuple[tuple[int, int], ...]
    """(Y, X) of each level, finest first."""
    tile_shapes: tuple[tuple[int, int], ...]
    """(Y, X) of the pieces that each level is stored in, or is best read in."""
    mpp: Mpp | None
    """µm per level-0 pixel as the file itself states it."""
    bounds: Box | None
    """The scanned part where the file names one, level-0 pixels."""
    background: tuple[int, int, int]
    icc_profile: bytes | None
    """The colour profile that the file carries for its pixels."""
    properties: Mapping[str, str]
    associated: Mapping[str, tuple[int, int]]
    """(Y, X) of the associated images, by name."""

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return (h, w, 3) of ``level``; origin (y, x) and size in pixels of that level.

        An origin between pixels is interpolated. What lies outside the level is ``background``.
        Raises SlideError where the file cannot be decoded.
        """
        ...

    def read_associated(self, name: str) -> RGB:
        """Return an associated image whole."""
        ...

    def answers(self) -> bool:
        """Whether a folder or an address can be reached; asked after a read has failed.

        A single file is looked at by the slide itself.
        """
        ...

    def close(self) -> None:
        """Give the file back. Safe to call twice."""
        ...
