"""Lessons about synthetic slides, of which everything is known.

What can be asked, by kind: 'count', 'count type', 'dominant', 'present', 'share', 'where', 'compare',
'contents', 'choice' and, about the whole slide, 'grade', 'infiltrate' and 'report'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ...errors import InputError
from ...synthetic import REGIONS, TYPES
from ...units import Box, intersect
from .lesson import Lesson
from .wording import drawn_box, listed, one_of, percent, place_words, rounded

Counts: TypeAlias = NDArray[np.int64]

TISSUES = {
    "tumour": "tumour",
    "stroma": "stroma",
    "gland": "normal gland tissue",
    "lymphoid": "lymphoid tissue",
    "necrosis": "necrosis",
    "fat": "fat",
    "blood": "blood",
}
"""What the regions of a synthetic slide are called in lessons."""

CELLS = {
    "neoplastic": "tumour cells",
    "inflammatory": "lymphocytes",
    "connective": "fibroblasts",
    "dead": "dying cells",
    "epithelial": "gland cells",
}
"""What the types of its nuclei are called."""

_SEEN = 0.01  # share of the tissue from which on something is said to be there
_DOUBTED = 0.0015  # share below which it is said not to be there; between the two nobody is asked
_POINTED = 0.35  # largest share of the view that is worth pointing at
_CELLS_A_SIDE = 8  # the view is cut into so many squares to find where most of something lies


@dataclass(frozen=True)
class KnownSlide:
    """The truth that :func:`napari_hwsi.synthetic.write_slide` leaves beside a slide.

    shape: (Y, X) level-0 px; regions: uint8, positions in REGIONS at every ``step``-th px; y, x, type: of
    each nucleus, level-0 px and position in TYPES; findings, report: of the whole slide.
    """

    name: str
    shape: tuple[int, int]
    regions: NDArray[np.uint8]
    step: int
    y: NDArray[np.float32]
    x: NDArray[np.float32]
    type: NDArray[np.uint8]
    findings: dict[str, Any]
    report: str

    @classmethod
    def beside(cls, slide: Path) -> KnownSlide:
        """Read it; raises InputError where it is missing."""
        facts, table = slide.with_suffix(".truth.json"), slide.with_suffix(".truth.npz")
        try:
            told = json.loads(facts.read_text(encoding="utf-8"))
            with np.load(table) as known:
                arrays = {name: known[name] for name in ("regions", "y", "x", "type")}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{slide} has no truth beside it ({error}); lessons are drawn from slides that "
                "`python -m napari_hwsi.synthetic` wrote."
            ) from error
        y, x = told["spec"]["shape"]
        step = int(told["region_map_step_px"])
        return cls(slide.stem, (y, x), step=step, findings=told["findings"], report=told["report"], **arrays)

    @property
    def box(self) -> Box:
        """The whole slide."""
        return 0, 0, *self.shape

    def view(self, box: Box) -> View:
        """Return what lies in a box that meets the slide."""
        inside = intersect(box, self.box)
        if inside is None:
            raise InputError(f"The box {box} lies outside {self.name}.")
        y0, x0, y1, x1 = inside
        rows = (self.y >= y0) & (self.y < y1) & (self.x >= x0) & (self.x < x1)
        places = np.stack([(self.y[rows] - y0) / (y1 - y0), (self.x[rows] - x0) / (x1 - x0)], 1)
        cut = tuple(slice(a // self.step, -(-b // self.step)) for a, b in ((y0, y1), (x0, x1)))
        return View(self.regions[cut], places, self.type[rows])


@dataclass(frozen=True)
class View:
    """regions: uint8 (h, w) of the box; places: (N, 2) of its nuclei, (y, x) in parts of it; type: (N,)."""

    regions: NDArray[np.uint8]
    places: NDArray[np.float64]
    type: NDArray[np.uint8]

    @cached_property
    def tissue(self) -> int:
        """Squares of the map that are tissue."""
        return int((self.regions > 0).sum())

    @cached_property
    def shares(self) -> dict[str, float]:
        """Parts of the tissue by region."""
        counts = np.bincount(self.regions.ravel(), minlength=len(REGIONS))
        return {name: float(counts[k]) / max(self.tissue, 1) for k, name in enumerate(REGIONS) if k}

    @cached_property
    def cells(self) -> dict[str, int]:
        """Number of nuclei by type."""
        counts = np.bincount(self.type, minlength=len(TYPES))
        return {name: int(counts[k]) for k, name in enumerate(TYPES) if k}

    def half(self, side: str) -> View:
        """Return its left, right, upper or lower half."""
        axis = 0 if side in ("upper", "lower") else 1
        first = side in ("upper", "left")
        middle = self.regions.shape[axis] // 2
        cut = [slice(None), slice(None)]
        cut[axis] = slice(None, middle) if first else slice(middle, None)
        rows = (self.places[:, axis] < 0.5) == first
        return View(self.regions[tuple(cut)], self.places[rows], self.type[rows])

    def most(self, region: str) -> tuple[float, float]:
        """Return where most of a region lies, (y, x) in parts of the box."""
        here = (self.regions == REGIONS.index(region)).astype(np.float32)
        sigma = [side / _CELLS_A_SIDE / 2 for side in here.shape]
        smooth = gaussian_filter(here, sigma, mode="constant")
        y, x = np.unravel_index(int(smooth.argmax()), smooth.shape)
        return (float(y) + 0.5) / here.shape[0], (float(x) + 0.5) / here.shape[1]


def lessons_from_truth(slide: KnownSlide, seed: int, views: int, grid_px: int = 256) -> Iterator[Lesson]:
    """Yield lessons about ``views`` views of a slide, one of each kind that the view gives reason for.

    The same seed gives the same lessons.
    """
    rng = np.random.default_rng([seed, 11])
    yield from _of_slide(slide, rng)
    for _ in range(views):
        box = drawn_box(rng, slide.shape, grid_px)
        view = slide.view(box)
        if view.tissue < 0.05 * view.regions.size:
            continue
        for kind, make in _KINDS.items():
            for question, answer in make(view, rng):
                yield Lesson(kind, box, question, answer)


Pair: TypeAlias = tuple[str, str]
Maker: TypeAlias = Callable[[View, np.random.Generator], Iterator[Pair]]


def _count(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    ask = (
        "How many nuclei are in this view?", "How many cells are there?", "Count the nuclei.",
        "What is the number of nuclei here?", "How many nuclei do you see?",
    )  # fmt: skip
    yield one_of(rng, ask), f"About {rounded(len(view.type))} nuclei."


def _count_type(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    name = one_of(rng, list(CELLS))
    cells = CELLS[name]
    ask = (
        f"How many {cells} are in this view?", f"How many {cells} are there?", f"Count the {cells}.",
        f"What is the number of {cells} here?",
    )  # fmt: skip
    n = view.cells[name]
    told = (
        f"About {rounded(n)} {cells}." if n > 1 else f"One of the {cells}." if n else f"There are no {cells}."
    )
    yield one_of(rng, ask), told


def _dominant(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    total, (first, second) = len(view.type), sorted(view.cells.values(), reverse=True)[:2]
    if total < 20 or first < 1.25 * second:
        return
    name = max(view.cells, key=view.cells.__getitem__)
    ask = (
        "Which kind of cell dominates?", "What is the most frequent cell type?",
        "Which cells are the most common in this view?", "What kind of cells are mostly seen here?",
    )  # fmt: skip
    yield one_of(rng, ask), f"{CELLS[name].capitalize()}, {percent(first / total)} of the nuclei."


def present_tissues(view: View) -> tuple[list[str], list[str]]:
    """Return which tissues are in a view, and which are not; those of which there is a trace are neither."""
    shares = view.shares
    return (
        [name for name in TISSUES if shares[name] >= _SEEN],
        [name for name in TISSUES if shares[name] <= _DOUBTED],
    )


def where_tissues(view: View) -> list[str]:
    """Return the tissues of a view that are worth pointing at."""
    return [
        name
        for name in TISSUES
        if view.shares[name] >= 2 * _SEEN and (view.regions == REGIONS.index(name)).mean() < _POINTED
    ]


def _present(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    for there, names in zip((True, False), present_tissues(view), strict=True):
        if not names:
            continue
        name = one_of(rng, names)
        tissue = TISSUES[name]
        ask = (
            f"Is there {tissue} in this view?", f"Is there any {tissue}?", f"Do you see {tissue}?",
            f"Is {tissue} present?", f"Does this view show {tissue}?",
        )  # fmt: skip
        yes = f"Yes, {tissue}: {percent(view.shares[name])} of the tissue."
        yield one_of(rng, ask), yes if there else f"No, there is no {tissue} in this view."


def _share(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    names = [name for name in TISSUES if view.shares[name] >= _SEEN]
    if names:
        name = one_of(rng, names)
        ask = (
            f"How much of the tissue is {TISSUES[name]}?", f"What share of the tissue is {TISSUES[name]}?",
            f"What percentage is {TISSUES[name]}?",
        )  # fmt: skip
        yield one_of(rng, ask), f"{percent(view.shares[name]).capitalize()} of the tissue is {TISSUES[name]}."


def _where(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    names = where_tissues(view)
    if names:
        name = one_of(rng, names)
        ask = (
            f"Where is the {TISSUES[name]}?", f"Where is most of the {TISSUES[name]}?",
            f"Where do you see {TISSUES[name]}?", f"Point to the {TISSUES[name]}.",
        )  # fmt: skip
        yield one_of(rng, ask), f"Most of the {TISSUES[name]} lies {place_words(*view.most(name))}."


def _compare(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    one, other = (("left", "right"), ("upper", "lower"))[int(rng.integers(2))]
    if rng.random() < 0.5:
        one, other = other, one
    halves = {side: view.half(side) for side in (one, other)}
    numbers = {side: len(half.type) for side, half in halves.items()}
    most = max(numbers, key=numbers.__getitem__)
    if min(numbers.values()) < 0.8 * numbers[most]:
        ask = (
            f"Does the {one} or the {other} half have more nuclei?",
            f"Which half has more nuclei, the {one} or the {other}?",
            f"Compare the {one} and the {other} half: which is more cellular?",
        )  # fmt: skip
        least = other if most == one else one
        yield (
            one_of(rng, ask),
            f"The {most} half: about {rounded(numbers[most])} nuclei against {rounded(numbers[least])}.",
        )
    k = REGIONS.index("tumour")
    tumour = {side: int((half.regions == k).sum()) for side, half in halves.items()}
    most = max(tumour, key=tumour.__getitem__)
    if tumour[most] >= _SEEN * view.tissue and min(tumour.values()) < 0.7 * tumour[most]:
        yield f"Which half has more tumour, the {one} or the {other}?", f"The {most} half."


def _contents(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    ask = (
        "What is in this view?", "Describe this view.", "What do you see?", "What tissue is shown here?",
        "Write a caption for this view.",
    )  # fmt: skip
    there = sorted((name for name in TISSUES if view.shares[name] >= _SEEN), key=lambda n: -view.shares[n])
    if not there:
        return
    parts = [f"{TISSUES[name]} ({percent(view.shares[name])})" for name in there]
    cells = max(view.cells, key=view.cells.__getitem__)
    n = len(view.type)
    mostly = f", mostly {CELLS[cells]}" if n and view.cells[cells] > 0.5 * n else ""
    yield one_of(rng, ask), f"The view shows {listed(parts)}, with about {rounded(n)} nuclei{mostly}."


def _choice(view: View, rng: np.random.Generator) -> Iterator[Pair]:
    """One of four: the tissue that takes the most of the view, or the commonest cell."""
    if rng.random() < 0.5:
        values: dict[str, float] = {TISSUES[name]: view.shares[name] for name in TISSUES}
        ask = "Which tissue takes the largest part?"
    else:
        values = {CELLS[name]: float(n) for name, n in view.cells.items()}
        ask = "Which cells are the most frequent?"
    first, second = sorted(values.values(), reverse=True)[:2]
    if first <= 0 or first < 1.25 * second:
        return
    right = max(values, key=values.__getitem__)
    others = [name for name in values if name != right]
    options = [right, *(others[i] for i in rng.permutation(len(others))[:3])]
    options = [options[i] for i in rng.permutation(len(options))]
    choices = " ".join(f"{letter}) {option}" for letter, option in zip("ABCD", options, strict=False))
    yield f"{ask} {choices}", f"{'ABCD'[options.index(right)]}) {right}"


_KINDS: dict[str, Maker] = {
    "count": _count,
    "count type": _count_type,
    "dominant": _dominant,
    "present": _present,
    "share": _share,
    "where": _where,
    "compare": _compare,
    "contents": _contents,
    "choice": _choice,
}


def _of_slide(slide: KnownSlide, rng: np.random.Generator) -> Iterator[Lesson]:
    """Yield what is asked of a whole slide only."""
    found = slide.findings
    ask = ("Write a report.", "Write a pathology report of this slide.", "Report the findings.")
    yield Lesson("report", slide.box, one_of(rng, ask), slide.report)
    grades = ("What is the grade?", "Which grade does the tumour have?", "Grade the tumour.")
    grade = found["grade"]
    told = (
        "There is no tumour to grade."
        if grade is None
        else (
            f"Grade {grade} of 3 (tubules {found['tubules']}, nuclei {found['nuclei']}, "
            f"mitoses {found['mitoses']})."
        )
    )
    yield Lesson("grade", slide.box, one_of(rng, grades), told)
    if grade is not None:
        border = (
            "How dense is the lymphocytic infiltrate?", "Are there lymphocytes at the border of the tumour?",
            "How is the lymphocytic infiltrate of the stroma?",
        )  # fmt: skip
        yield Lesson(
            "infiltrate",
            slide.box,
            one_of(rng, border),
            f"The lymphocytic infiltrate is {found['infiltrate']}.",
        )
