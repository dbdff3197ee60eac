"""What finds cells: the protocol, and the registry of those that are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..slides import RGB, Slide
from ..tissue import TissueMask
from ..units import Mpp


@dataclass(frozen=True)
class Segmentation:
    """Cells of one image.

    labels: int32 (Y, X), 0 background, cells 1 to N; types: uint8 (N,) into the segmenter's
    ``type_names``; probabilities: float32 (N,).
    """

    labels: NDArray[np.int32]
    types: NDArray[np.uint8]
    probabilities: NDArray[np.float32]


@runtime_checkable
class Segmenter(Protocol):
    """Finds the cells of an image."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    @property
    def mpp(self) -> float:
        """µm per pixel it wants; a coarser slide is given at its own."""
        ...

    @property
    def margin_um(self) -> float:
        """How far pixels can change a cell, µm: what a tile is read larger by on each side."""
        ...

    @property
    def type_names(self) -> tuple[str, ...]:
        """Kinds of cells it tells apart."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Everything that decides its result, as plain values, for the sidecar of facts."""
        ...

    def fit(self, slide: Slide, tissue: TissueMask | None = None) -> Segmenter:
        """Return it with all it takes from the slide as a whole fixed, so that tiles agree."""
        ...

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        """Find the cells of (Y, X, 3) uint8 at (y, x) µm per pixel."""
        ...


segmenters: dict[str, Callable[[str], Segmenter]] = {}
"""Segmenters by name: each a function of the device ('auto', 'cpu', 'cuda', …) that makes one."""


def find_segmenter(segmenter: str | Segmenter | None = None, device: str = "auto") -> Segmenter:
    """Return a segmenter by name; one that is given is handed back, None is the best that ships.

    Raises InputError for a name that is not registered, with those that are.
    """
    if isinstance(segmenter, Segmenter):
        return segmenter
    name = "classical" if segmenter is None else segmenter
    if name not in segmenters:
        raise InputError(f"There is no segmenter {name!r} here. There is: {', '.join(sorted(segmenters))}.")
    return segmenters[name](device)
