"""Questions with one right answer in a fixed form, drawn from the truth of synthetic slides.

Some are lessons; those of slides that nothing is learned from are a benchmark, which ``napari-hwsi evaluate``
reads as a table.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ...disk import written_whole
from ...synthetic import REGIONS
from ...units import Box
from .from_truth import CELLS, TISSUES, KnownSlide, View, present_tissues, where_tissues
from .lesson import Lesson
from .wording import drawn_box, one_of, rounded

Form: TypeAlias = Literal["choice", "yes_no", "number", "text", "place"]

ASKED: dict[Form, str] = {
    "choice": "Answer with the letter of one option alone.",
    "yes_no": "Answer with Yes or No alone.",
    "number": "Answer with a number alone.",
}
"""What is said of the form of the answer, as evaluation says it."""

_LETTERS = "ABCD"
_CLEAR = 1.25  # how much more of one thing there is than of the next, where it is asked which is most


@dataclass(frozen=True)
class Item:
    """task: what is asked for; answer: a letter, 'yes' or 'no', a number, a text, '' where places are asked
    for; box: what it is about, level-0 px; places: boxes that are right.
    """

    task: str
    box: Box
    question: str
    form: Form
    answer: str
    options: tuple[str, ...] = ()
    places: tuple[Box, ...] = ()

    @property
    def prompt(self) -> str:
        """The question with its lettered options and the form of the answer."""
        options = [f"{letter}) {text}" for letter, text in zip(_LETTERS, self.options, strict=False)]
        return "\n".join(filter(None, [self.question, *options, ASKED.get(self.form, "")]))

    @property
    def lesson(self) -> Lesson | None:
        """What is learned from it, numbers to two figures; None where a freer lesson teaches the same."""
        if self.form in ("text", "place"):
            return None
        answer = str(rounded(int(self.answer))) if self.form == "number" else self.answer.capitalize()
        return Lesson(f"brief {self.task}", self.box, self.prompt, answer)


def items_of(slide: KnownSlide, seed: int, views: int, grid_px: int = 256) -> Iterator[Item]:
    """Yield the questions of a whole slide, then of some views of it; the same seed gives the same."""
    rng = np.random.default_rng([seed, 17])
    yield from _of_slide(slide, rng)
    for _ in range(views):
        box = drawn_box(rng, slide.shape, grid_px)
        view = slide.view(box)
        if view.tissue >= 0.05 * view.regions.size:
            yield from _of_view(slide, view, box, rng)


def _of_view(slide: KnownSlide, view: View, box: Box, rng: np.random.Generator) -> Iterator[Item]:
    yield Item("count", box, "How many nuclei are in this view?", "number", str(max(len(view.type), 1)))
    cells = max(view.cells, key=view.cells.__getitem__)
    if view.cells[cells] >= 20:
        name = one_of(rng, [name for name, n in view.cells.items() if n >= 20])
        ask = f"How many {CELLS[name]} are in this view?"
        yield Item("count of a kind", box, ask, "number", str(view.cells[name]))
    there, absent = present_tissues(view)
    for right, names in (("yes", there), ("no", absent)):
        names = [name for name in names if name != "stroma"]  # it is nearly always there
        if names:
            ask = f"Is there {TISSUES[one_of(rng, names)]} in this view?"
            yield Item("present", box, ask, "yes_no", right)
    tissues = {TISSUES[name]: view.shares[name] for name in TISSUES}
    yield from _most("largest tissue", box, "Which tissue takes the largest part?", tissues, rng)
    kinds = {CELLS[name]: float(n) for name, n in view.cells.items()}
    yield from _most("commonest cells", box, "Which cells are the most frequent?", kinds, rng)
    one, other = (("left", "right"), ("upper", "lower"))[int(rng.integers(2))]
    halves = {f"the {side} half": float(len(view.half(side).type)) for side in (one, other)}
    yield from _most("compare", box, "Which half has more nuclei?", halves, rng)
    names = where_tissues(view)
    if names:
        name = one_of(rng, names)
        ask = f"Where is most of the {TISSUES[name]}?"
        yield Item("where", box, ask, "place", "", places=_places(slide, view, box, name))


def _most(
    task: str, box: Box, ask: str, values: dict[str, float], rng: np.random.Generator
) -> Iterator[Item]:
    first, second = sorted(values.values(), reverse=True)[:2]
    if first <= 0 or first < _CLEAR * second:
        return
    right = max(values, key=values.__getitem__)
    others = [name for name in values if name != right]
    options = [right, *(others[i] for i in rng.permutation(len(others))[:3])]
    options = [options[i] for i in rng.permutation(len(options))]
    yield Item(task, box, ask, "choice", _LETTERS[options.index(right)], tuple(options))


def _of_slide(slide: KnownSlide, rng: np.random.Generator) -> Iterator[Item]:
    grade, infiltrate = slide.findings["grade"], slide.findings["infiltrate"]
    yield Item("report", slide.box, "Write a pathology report of this slide.", "text", slide.report)
    if grade is None:
        return
    for task, ask, texts, right in (
        ("grade", "Which grade does the tumour have?", ["grade 1", "grade 2", "grade 3"], f"grade {grade}"),
        (
            "infiltrate",
            "How dense is the lymphocytic infiltrate at the tumour?",
            ["scant", "moderate", "brisk"],
            infiltrate,
        ),
    ):
        options = [texts[i] for i in rng.permutation(len(texts))]
        yield Item(task, slide.box, ask, "choice", _LETTERS[options.index(right)], tuple(options))


def _places(slide: KnownSlide, view: View, box: Box, name: str) -> tuple[Box, ...]:
    """Return the runs of a tissue along the rows of the region map, within the box."""
    here = np.pad(view.regions == REGIONS.index(name), ((0, 0), (1, 1))).astype(np.int8)
    rows, edges = np.nonzero(np.diff(here, axis=1))
    step = slide.step
    y0, x0 = box[0] // step * step, box[1] // step * step
    found = []
    for row, first, last in zip(rows[::2], edges[::2], edges[1::2], strict=True):
        low, high = y0 + int(row) * step, y0 + (int(row) + 1) * step
        left, right = x0 + int(first) * step, x0 + int(last) * step
        found.append((max(low, box[0]), max(left, box[1]), min(high, box[2]), min(right, box[3])))
    return tuple(each for each in found if each[0] < each[2] and each[1] < each[3])


def balanced(rows: Sequence[tuple[str, Item]], seed: int = 0) -> list[tuple[str, Item]]:
    """Return rows (slide, item) of which the words of a question tell as little as can be of its answer.

    Of each yes-or-no question as many 'yes' as 'no' are kept; of each choice no right option more often than
    the third commonest. Which ones is drawn.
    """
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, (_, item) in enumerate(rows):
        if item.form in ("choice", "yes_no"):
            what = item.question if item.form == "yes_no" else ""
            groups[item.task, what].append(i)
    dropped: set[int] = set()
    for members in groups.values():
        answers = {i: _right(rows[i][1]) for i in members}
        counts = sorted(Counter(answers.values()).values(), reverse=True)
        yes_no = rows[members[0]][1].form == "yes_no"
        if yes_no and len(counts) < 2:
            dropped |= {*members}
            continue
        most = counts[min(1 if yes_no else 2, len(counts) - 1)]
        for answer in sorted(set(answers.values())):
            own = [i for i in members if answers[i] == answer]
            dropped |= {own[i] for i in rng.permutation(len(own))[most:]}
    return [row for i, row in enumerate(rows) if i not in dropped]


def _right(item: Item) -> str:
    return item.options[_LETTERS.index(item.answer)] if item.options else item.answer


def write_exam(path: Path, rows: Iterable[tuple[str, Item]]) -> int:
    """Write a benchmark as a table (docs/evaluation.md); rows: slide, item. Returns how many there are."""
    n = 0
    with written_whole(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("id", "slide", "patient", "task", "question", "options", "answer", "box", "places"))
        for slide, item in rows:
            box, *places = (" ".join(map(str, place)) for place in (item.box, *item.places))
            options, right = " | ".join(item.options), "; ".join(places)
            out.writerow((n, slide, slide, item.task, item.question, options, item.answer, box, right))
            n += 1
    return n
