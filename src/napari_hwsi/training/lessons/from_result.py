"""Lessons from what was measured of any slide, and about what cannot be.

What can be asked, by kind: 'measured count', 'density', 'size', 'shape', 'densest', 'measured compare',
'emptiness', 'artefacts', 'measured contents' and 'declined'. Nothing here goes beyond what the result holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ...hierarchy import Hierarchy
from ...units import Box, intersect
from .from_truth import CELLS, TISSUES
from .lesson import Lesson
from .wording import drawn_box, one_of, percent, place_words, rounded

_TAUGHT = "I was taught that on synthetic slides only."
_BINS = 8  # squares a side of the view, to find where nuclei are densest
_FEW = 20  # nuclei below which nothing is said of their sizes
_DECLINED = {
    "the diagnosis": ("What is the diagnosis?", "Is this cancer?", "Which disease is this?",
                      "Is it malignant?", "Is it benign or malignant?", "What type of cancer is this?"),
    "the findings": ("Write a report.", "Write a pathology report of this slide.", "Report the findings."),
    "the grade": ("What is the grade?", "Which grade does the tumour have?", "Grade the tumour."),
    "the prognosis": ("What is the prognosis?", "How long will this patient live?", "Will it recur?",
                      "What is the stage?"),
    "kinds of tissue": (
        "Is there tumour?", "Which tissue takes the largest part?", "What tissue is shown here?",
        *(f"Is there {tissue} in this view?" for tissue in TISSUES.values()),
        *(f"Where is most of the {tissue}?" for tissue in TISSUES.values()),
        *(f"How much of the tissue is {tissue}?" for tissue in TISSUES.values()),
    ),
    "kinds of cells": (
        "Are there mitoses?", "Which kind of cell dominates?", "Which cells are the most frequent?",
        "How dense is the lymphocytic infiltrate?",
        *(f"How many {cells} are in this view?" for cells in CELLS.values()),
        *(f"Are there {cells}?" for cells in CELLS.values()),
    ),
    "markers and genes": ("Is it HER2 positive?", "Which mutation does it have?", "What is the MSI status?"),
    "treatment": ("How should it be treated?", "Which therapy is best?"),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The measurements of one view.

    places: (N, 2) of its nuclei, (y, x) in parts of the box; area_um2, roundness (minor over
    major axis): (N,) of each; box_mm2; tissue, artefacts: shares of the box.
    """

    places: NDArray[np.float64]
    area_um2: NDArray[np.float64]
    roundness: NDArray[np.float64]
    box_mm2: float
    tissue: float
    artefacts: float

    @classmethod
    def of(cls, result: Hierarchy, box: Box) -> Measured:
        """Measure a box, level-0 px, of a result."""
        cells = result.cells_in(box)
        corner, size = np.array(box[:2]), np.array([box[2] - box[0], box[3] - box[1]])
        table = cells.table
        y, x = result.slide_facts["mpp"]
        mask = result.tissue
        row, column = mask.downsample
        cut = (
            slice(int(box[0] / row), max(int(np.ceil(box[2] / row)), int(box[0] / row) + 1)),
            slice(int(box[1] / column), max(int(np.ceil(box[3] / column)), int(box[1] / column) + 1)),
        )
        damage = mask.artefacts[cut] if mask.artefacts is not None else np.zeros(1)
        return cls(
            (cells.centroids - corner) / size,
            table["area_um2"].to_numpy(np.float64),
            (table["minor_axis_um"] / table["major_axis_um"].clip(lower=1e-6)).to_numpy(np.float64),
            float(size[0] * size[1]) * y * x * 1e-6,
            float(mask.mask[cut].mean()),
            float((damage > 0).mean()),
        )

    @cached_property
    def per_mm2(self) -> float:
        """Nuclei per mm² of tissue."""
        return len(self.places) / max(self.box_mm2 * self.tissue, 1e-6)

    def densest(self) -> tuple[float, float]:
        """Return where nuclei lie densest, (y, x) in parts of the box."""
        counts, _, _ = np.histogram2d(self.places[:, 0], self.places[:, 1], 2 * _BINS, ((0, 1), (0, 1)))
        y, x = np.unravel_index(int(gaussian_filter(counts, 1.0, mode="constant").argmax()), counts.shape)
        return (float(y) + 0.5) / (2 * _BINS), (float(x) + 0.5) / (2 * _BINS)


def lessons_from_result(
    result: Hierarchy, seed: int, views: int, synthetic: bool, grid_px: int = 256
) -> Iterator[Lesson]:
    """Yield lessons about ``views`` views of an analysed slide; the same seed gives the same lessons.

    synthetic: nothing is declined, for what cannot be measured is known there (see :mod:`from_truth`).
    """
    rng = np.random.default_rng([seed, 13])
    height, width = result.slide_facts["shape"]
    for _ in range(views):
        box = intersect(drawn_box(rng, (height, width), grid_px), (0, 0, height, width))
        assert box is not None  # it is drawn on the slide
        view = Measured.of(result, box)
        for kind, question, answer in _asked(view, rng):
            yield Lesson(kind, box, question, answer)
        for what in () if synthetic else rng.permutation(tuple(_DECLINED))[:2]:
            told = f"I cannot tell {what} of a real slide: {_TAUGHT} {_summary(view)}"
            yield Lesson("declined", box, one_of(rng, _DECLINED[what]), told)


def _summary(view: Measured) -> str:
    if view.tissue < 0.02:
        return "This view is nearly empty."
    words = _cellularity(view.per_mm2)
    return f"Measured: about {rounded(len(view.places))} nuclei; cellularity is {words}."


def _cellularity(per_mm2: float) -> str:
    return "low" if per_mm2 < 1500 else "moderate" if per_mm2 < 3500 else "high"


def _asked(view: Measured, rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    n = len(view.places)
    count = ("How many nuclei are in this view?", "How many cells are there?", "Count the nuclei.",
             "How many nuclei do you see?")  # fmt: skip
    yield "measured count", one_of(rng, count), f"About {rounded(n)} nuclei."
    empty = ("How much of this view is tissue?", "How much is empty glass?", "Is there tissue in this view?")
    if view.tissue < 0.02:
        yield "emptiness", one_of(rng, empty), "This view is nearly empty: less than 2 % of it is tissue."
        return
    yield "emptiness", one_of(rng, empty), f"{percent(view.tissue).capitalize()} of this view is tissue."
    words = _cellularity(view.per_mm2)
    density = ("How dense are the nuclei?", "How cellular is this view?", "What is the cellularity?")
    yield (
        "density",
        one_of(rng, density),
        f"Cellularity is {words}: about {rounded(view.per_mm2)} nuclei per mm2 of tissue.",
    )
    artefacts = ("Are there artefacts?", "Is the image clean?", "How good is the quality?")
    told = (
        "No artefacts were found."
        if view.artefacts < 0.005
        else (f"Artefacts cover {percent(view.artefacts)} of this view.")
    )
    yield "artefacts", one_of(rng, artefacts), told
    if n >= _FEW:
        low, middle, high = np.percentile(view.area_um2, (25, 50, 75))
        spread = (high - low) / middle
        variety = "even" if spread < 0.55 else "moderately varied" if spread < 0.85 else "very varied"
        size = (
            "How large are the nuclei?",
            "What size do the nuclei have?",
            "How varied are the nuclei in size?",
        )
        yield (
            "size",
            one_of(rng, size),
            f"The nuclei measure about {rounded(middle)} um2 and are {variety} in size.",
        )
        round_ = float(np.median(view.roundness))
        shape = "round" if round_ > 0.75 else "oval" if round_ > 0.6 else "elongated"
        yield (
            "shape",
            one_of(rng, ("What shape are the nuclei?", "How round are the nuclei?")),
            f"Most nuclei are {shape}.",
        )
        y, x = view.densest()
        where = ("Where are the nuclei densest?", "Where are most nuclei?", "Point to the densest place.")
        yield "densest", one_of(rng, where), f"The nuclei are densest {place_words(y, x)}."
        describe = (
            "What is in this view?",
            "Describe this view.",
            "What do you see?",
            "Write a caption for this view.",
        )
        yield (
            "measured contents",
            one_of(rng, describe),
            (
                f"The view holds about {rounded(n)} nuclei, {shape} and {variety} in size; "
                f"cellularity is {words}; {percent(view.tissue)} of it is tissue."
            ),
        )
        for one, other, axis in (("left", "right", 1), ("upper", "lower", 0)):
            first = int((view.places[:, axis] < 0.5).sum())
            numbers = {one: first, other: n - first}
            most, least = sorted(numbers, key=numbers.__getitem__, reverse=True)
            if numbers[least] < 0.8 * numbers[most]:
                yield (
                    "measured compare",
                    f"Which half has more nuclei, the {one} or the {other}?",
                    f"The {most} half: about {rounded(numbers[most])} nuclei "
                    f"against {rounded(numbers[least])}.",
                )
