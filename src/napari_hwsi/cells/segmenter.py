"""What finds cells: the protocol, and the registry of those that are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

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
    ``type_names``; probabilities: float32 (N,); tokens: float32 (N, width), a vector a cell, of
    segmenters whose network makes one, else None.
    """

    labels: NDArray[np.int32]
    types: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    tokens: NDArray[np.float32] | None = None


@runtime_checkable
class Segmenter(Protocol):
    """Finds the cells of an image. One that is no network must be picklable: tiles go to worker processes."""

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


Finish: TypeAlias = Callable[[RGB, Any, Mpp], Segmentation]
"""From an image and what a network said of it to its cells; runs in a worker process, so it is picklable
(a function of a module, a small frozen dataclass) and needs no torch."""


@runtime_checkable
class NetworkSegmenter(Segmenter, Protocol):
    """A segmenter in two steps, so that the network of one tile runs while others are read and finished."""

    @property
    def batch(self) -> int:
        """Tiles its network is given at a time; fixed at the start of a run and kept in the store's facts."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether its network takes the cores that would finish tiles."""
        ...

    @property
    def finish(self) -> Finish:
        """The second step."""
        ...

    def predict(self, images: Sequence[RGB], mpp: Mpp, beat: Callable[[], None]) -> list[Any]:
        """Return what the network says of each image, as arrays that can be pickled.

        images: up to :attr:`batch` of (Y, X, 3) uint8, of different sizes at edges. ``beat`` is called
        between parts of the work, at least each second where that can be, and may raise Cancelled. What
        one image gets depends on the images it comes with at most by rounding.
        """
        ...


@dataclass(frozen=True)
class Offer:
    """A segmenter that can be asked for.

    make: from a device ('auto', 'cpu', 'cuda', …) and a source (a file, a folder or a name of weights, None
    where none is named) to the segmenter; raises WeightsError or MissingDependencyError with the remedy.
    what: what it is, and needs: what it takes, in a few words, for people; unverified: what could not be
    tried on the real thing, '' where all was; lacking: what this machine lacks and how to get it, None where
    it is ready; it loads nothing heavy.
    """

    make: Callable[[str, str | None], Segmenter]
    what: str
    needs: str = "nothing more"
    unverified: str = ""
    lacking: Callable[[], str | None] = lambda: None


segmenters: dict[str, Offer] = {}
"""Segmenters by name."""


def offered(segmenter: str) -> Offer:
    """Return the offer that ``name`` or ``name:source`` means; raises InputError, with those there are."""
    name, _, source = segmenter.partition(":")
    if name not in segmenters or (not source and name != segmenter):
        raise InputError(
            f"There is no segmenter {segmenter!r} here. There is: {', '.join(sorted(segmenters))}; "
            "weights of your own are named after a colon, as in cellvit:weights.pth."
        )
    return segmenters[name]


def unverified(segmenter: str) -> str:
    """Return a sentence on what could not be tried of a segmenter, by its name; '' where all was."""
    doubt = segmenters[segmenter].unverified if segmenter in segmenters else ""
    return f"Unverified of the segmenter “{segmenter}”: {doubt}." if doubt else ""


def find_segmenter(segmenter: str | Segmenter | None = None, device: str = "auto") -> Segmenter:
    """Return a segmenter by ``name`` or ``name:source``; None is the best that ships.

    source: its weights, a file, a folder or, where the segmenter's own package knows names, one of those.
    One that is given is handed back. Raises InputError for a name that is not registered, with those that
    are; WeightsError or MissingDependencyError, with the remedy, where weights or a package are missing.
    """
    if isinstance(segmenter, Segmenter):
        return segmenter
    wanted = "pocket" if segmenter is None else segmenter
    return offered(wanted).make(device, wanted.partition(":")[2] or None)
