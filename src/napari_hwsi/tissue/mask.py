"""Where tissue is, and what on a slide is not fit to be analysed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import disk

from ..errors import InputError
from ..slides import Slide
from ..units import Box
from .artefacts import ARTEFACTS, find_artefacts
from .overview import look_at
from .shapes import drop_small
from .thresholds import Thresholds

_SMALLEST_UM2 = 5_000.0
_SMALLEST_HOLE_UM2 = 20_000.0
_CLOSE_UM = 24.0

Origin: TypeAlias = Literal["automatic", "edited", "given"]

GLASS, TISSUE = 0, 1
CLASSES: tuple[str, ...] = ("empty glass", "tissue", *ARTEFACTS)
"""Names of what a class map holds: positions in this tuple."""


@dataclass(frozen=True)
class TissueMask:
    """Tissue of a slide at low resolution.

    mask: bool (y, x), tissue that may be analysed, artefacts taken out; downsample: (y, x) level-0 pixels
    per mask pixel, the origin is the slide's; artefacts: uint8 (y, x), 0 or 1 + position in ARTEFACTS,
    none where not given; thresholds: those the mask was found by; origin: 'automatic' (found by
    :func:`tissue_mask`), 'edited' (kept for the slide by its user) or 'given'. Raises InputError for
    an artefact without a name, maps of two shapes, and tissue on an artefact.
    """

    mask: NDArray[np.bool_]
    downsample: tuple[float, float]
    artefacts: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    thresholds: Thresholds = field(default_factory=Thresholds)
    origin: Origin = "given"

    def __post_init__(self) -> None:
        if not self.artefacts.size:
            object.__setattr__(self, "artefacts", np.zeros(self.mask.shape, np.uint8))
        if self.artefacts.shape != self.mask.shape:
            raise InputError(
                f"Tissue and artefacts are maps of one shape, not {self.mask.shape}, {self.artefacts.shape}."
            )
        if self.artefacts.max(initial=0) > len(ARTEFACTS):
            raise InputError(f"Artefacts are numbered 1 to {len(ARTEFACTS)}, not {self.artefacts.max()}.")
        if (self.mask & (self.artefacts > 0)).any():
            raise InputError("A pixel is tissue or an artefact, not both.")

    def check(self, slide: Slide) -> None:
        """Raise InputError where the mask is not of a slide of this size."""
        covered = [n * step for n, step in zip(self.mask.shape, self.downsample, strict=True)]
        if any(
            abs(have - side) > 2 * step
            for have, side, step in zip(covered, slide.shape, self.downsample, strict=True)
        ):
            raise InputError(
                f"The tissue mask covers {covered[0]:.0f} x {covered[1]:.0f} px (y, x); {slide.name} has "
                f"{slide.shape[0]} x {slide.shape[1]}. Give a mask of this slide."
            )

    @property
    def classes(self) -> NDArray[np.uint8]:
        """The class map (y, x): positions in CLASSES."""
        return np.where(self.artefacts > 0, self.artefacts + TISSUE, self.mask).astype(np.uint8)

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """Where nuclei may lie, bool (y, x), never on an artefact.

        A mask that somebody made is meant as it is: only on its tissue. One that was found knows glass by
        the want of stain in a coarse pixel, and a nucleus seen there is the better witness.
        """
        return self.artefacts == 0 if self.origin == "automatic" else self.mask

    def allows(self, points: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Return which points (N, 2), (y, x) in level-0 pixels, lie where nuclei may."""
        at = np.floor(points / np.array(self.downsample)).astype(int)
        y, x = np.clip(at, 0, np.array(self.mask.shape) - 1).T
        return np.asarray(self.allowed[y, x])

    @property
    def digest(self) -> str:
        """16 hex digits of what is analysed under this mask; names of artefacts play no part in it."""
        told = hashlib.sha256(repr((self.downsample, self.mask.shape)).encode())
        for where in (self.mask, self.allowed):
            told.update(np.packbits(where).tobytes())
        return told.hexdigest()[:16]

    def edited(self, classes: NDArray[np.integer[Any]]) -> TissueMask:
        """Return the mask that a changed class map (y, x) stands for: what was painted is what counts.

        Raises InputError for a map of another shape or classes that have no name.
        """
        classes = np.asarray(classes)
        if classes.shape != self.mask.shape:
            raise InputError(f"The class map has the mask's shape, {self.mask.shape}, not {classes.shape}.")
        if classes.size and not 0 <= classes.min() <= classes.max() < len(CLASSES):
            raise InputError(
                f"Classes are 0 to {len(CLASSES) - 1} ({', '.join(CLASSES)}); "
                f"the map holds {classes.min()} to {classes.max()}."
            )
        artefacts = np.where(classes > TISSUE, classes - TISSUE, 0).astype(np.uint8)
        return replace(self, mask=classes == TISSUE, artefacts=artefacts, origin="given")

    def area_in(self, box: Box) -> float:
        """Return the tissue area within ``box``, in level-0 pixels; parts of mask pixels count by area."""
        rows, columns = (
            _overlaps(box[i], box[i + 2], self.downsample[i], self.mask.shape[i]) for i in (0, 1)
        )
        part = self.mask[rows[0] : rows[0] + len(rows[1]), columns[0] : columns[0] + len(columns[1])]
        return float(rows[1] @ part @ columns[1])

    def coverage(self, box: Box) -> float:
        """Return the share (0 to 1) of ``box`` that is tissue; what lies off the slide is not."""
        return self.area_in(box) / ((box[2] - box[0]) * (box[3] - box[1]))

    def labels(self) -> NDArray[np.int32]:
        """Return the mask with its separate sections numbered from 1, top to bottom."""
        return ndimage.label(self.mask, np.ones((3, 3)))[0].astype(np.int32)


def tissue_mask(slide: Slide, thresholds: Thresholds | None = None) -> TissueMask:
    """Find the tissue and the artefacts of a bright-field slide, from one read of a low level.

    The mask has pixels of about 8 µm, at most 1600 a side. A pixel is stained where the spread of
    its optical densities passes Otsu's threshold, held within bounds that glass and pale stroma set; what is
    stained and no artefact is tissue. Gaps below 24 µm are closed, holes under 0.02 mm² filled, specks
    under 0.005 mm² (and a tenth of the image) dropped; what is left of holes is a hole of its section.
    thresholds: those that are not to be found from the image. Without mpp, sizes are counted as if the
    pixels of the mask were 8 µm. On fluorescence there is nothing to find: see :func:`stain_kind`. What
    cannot be read is neither tissue nor an artefact, and tells nothing; raises SlideError where that is all.
    """
    view = look_at(slide)
    given = thresholds or Thresholds()
    tissue = given.tissue
    if tissue is None:
        tissue = min(max(float(threshold_otsu(view.spread[view.readable])), 0.03), 0.07)
    stained = (view.spread > tissue) & view.readable
    artefacts, used = find_artefacts(view, stained, replace(given, tissue=tissue))
    fit = view.readable & (artefacts == 0)
    mask = _tidy(stained & fit, view.pixel_um**2) & fit
    return TissueMask(mask, view.downsample, artefacts, used, "automatic")


def _tidy(mask: NDArray[np.bool_], pixel_um2: float) -> NDArray[np.bool_]:
    radius = max(1, round(_CLOSE_UM / np.sqrt(pixel_um2) / 2))
    padded = np.pad(mask, radius)
    mask = ndimage.binary_closing(padded, disk(radius))[radius:-radius, radius:-radius]
    mask = ~drop_small(~mask, _SMALLEST_HOLE_UM2 / pixel_um2)
    # In a field that is hardly larger than a speck, what is there is what was meant.
    return drop_small(mask, min(_SMALLEST_UM2 / pixel_um2, mask.size / 10))


def _overlaps(start: int, stop: int, step: float, count: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first mask pixel that [start, stop) meets, and the length it covers of each from there."""
    first, last = int(np.clip(start / step, 0, count)), int(np.clip(np.ceil(stop / step), 0, count))
    edges = np.arange(first, max(last, first) + 1) * step
    return first, np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None)
