"""Lessons: what they say is so, by the truth or by the measurements."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi import analyze
from napari_hwsi.errors import InputError
from napari_hwsi.evaluation.readers import read_benchmark
from napari_hwsi.sample_data import sample_slide
from napari_hwsi.synthetic import REGIONS, TYPES
from napari_hwsi.training.examples import read_examples
from napari_hwsi.training.lessons import (
    KnownSlide,
    Lesson,
    lessons_from_result,
    lessons_from_truth,
    write_lessons,
)
from napari_hwsi.training.lessons.exam import Item, balanced, items_of, write_exam
from napari_hwsi.training.lessons.from_truth import CELLS, TISSUES
from napari_hwsi.training.lessons.slides import SPLITS, spec_of


@pytest.fixture(scope="module")
def known() -> KnownSlide:
    return KnownSlide.beside(sample_slide())


@pytest.fixture(scope="module")
def lessons(known: KnownSlide) -> list[Lesson]:
    return list(lessons_from_truth(known, seed=1, views=30))


def within(known: KnownSlide, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The region map and the types of nuclei of a box."""
    y0, x0, y1, x1 = box
    step = known.step
    inside = (known.y >= y0) & (known.y < y1) & (known.x >= x0) & (known.x < x1)
    return known.regions[y0 // step : -(-y1 // step), x0 // step : -(-x1 // step)], known.type[inside]


def near(said: str, n: float) -> bool:
    """Whether a number is stated to two figures."""
    return abs(int(said) - n) <= max(0.5, 0.05 * n)


def test_numbers_are_those_of_the_truth(known: KnownSlide, lessons: list[Lesson]) -> None:
    kinds = {CELLS[name]: k for k, name in enumerate(TYPES) if name in CELLS}
    checked = 0
    for lesson in lessons:
        _, types = within(known, lesson.box)
        if lesson.kind == "count":
            assert near(re.findall(r"\d+", lesson.answer)[0], len(types))
            checked += 1
        if lesson.kind == "count type" and (said := re.match(r"About (\d+) (.*)\.", lesson.answer)):
            assert near(said[1], (types == kinds[said[2]]).sum())
            checked += 1
    assert checked > 40


def test_yes_is_said_of_what_is_there_and_no_of_what_is_not(known: KnownSlide, lessons: list[Lesson]) -> None:
    said = set()
    for lesson in (lesson for lesson in lessons if lesson.kind == "present"):
        regions, _ = within(known, lesson.box)
        (name,) = (name for name, words in TISSUES.items() if words in lesson.question)
        share = (regions == REGIONS.index(name)).sum() / (regions > 0).sum()
        assert (share > 0.005) == lesson.answer.startswith("Yes")
        said.add(lesson.answer[:2])
    assert said == {"Ye", "No"}


def test_a_place_pointed_at_holds_what_was_asked_for(known: KnownSlide, lessons: list[Lesson]) -> None:
    hits = []
    for lesson in (lesson for lesson in lessons if lesson.kind == "where"):
        regions, _ = within(known, lesson.box)
        x, y = (float(v) for v in re.findall(r"[xy] (\d\.\d)", lesson.answer))
        (name,) = (name for name, words in TISSUES.items() if words in lesson.question)
        here = np.argwhere(regions == REGIONS.index(name)) / regions.shape
        hits.append(np.abs(here - (y, x)).max(1).min() < 0.1)
    assert len(hits) > 10
    assert np.mean(hits) > 0.9


def test_the_letter_stands_for_the_commonest(known: KnownSlide, lessons: list[Lesson]) -> None:
    letters = set()
    for lesson in (lesson for lesson in lessons if lesson.kind == "choice"):
        letter, words = re.fullmatch(r"([A-D])\) (.*)", lesson.answer).groups()  # type: ignore[union-attr]
        assert f"{letter}) {words}" in lesson.question
        regions, types = within(known, lesson.box)
        if words in CELLS.values():
            counts = np.bincount(types, minlength=len(TYPES))[1:]
            assert list(CELLS.values())[counts.argmax()] == words
        else:
            counts = np.bincount(regions.ravel(), minlength=len(REGIONS))
            of = {TISSUES[name]: counts[k] for k, name in enumerate(REGIONS) if name in TISSUES}
            assert max(of, key=lambda name: of[name]) == words
        letters.add(letter)
    assert len(letters) == 4


def test_boxes_lie_on_the_slide_and_the_seed_decides(known: KnownSlide, lessons: list[Lesson]) -> None:
    assert lessons == list(lessons_from_truth(known, seed=1, views=30))
    assert lessons != list(lessons_from_truth(known, seed=2, views=30))
    for y0, x0, y1, x1 in {lesson.box for lesson in lessons}:
        assert 0 <= y0 < y1 <= known.shape[0]
        assert 0 <= x0 < x1 <= known.shape[1]


def test_real_slides_are_measured_and_the_rest_is_declined(piece: Path, tmp_path: Path) -> None:
    result = analyze(piece, tmp_path / "piece.hwsi.zarr", device="cpu")
    found = list(lessons_from_result(result, seed=3, views=6, synthetic=False))
    counts = [lesson for lesson in found if lesson.kind == "measured count"]
    assert len(counts) == 6
    for lesson in counts:
        assert near(re.findall(r"\d+", lesson.answer)[0], len(result.cells_in(lesson.box)))
    declined = [lesson for lesson in found if lesson.kind == "declined"]
    assert declined
    assert all("cannot tell" in lesson.answer for lesson in declined)
    assert not [one for one in lessons_from_result(result, 3, 6, synthetic=True) if one.kind == "declined"]


def test_splits_share_no_slide_and_far_ones_lie_beyond(tmp_path: Path) -> None:
    assert spec_of(5, large=True).shape > spec_of(5).shape
    seeds = [range(split.first, split.first + split.count) for split in SPLITS]
    assert len(set().union(*seeds)) == sum(len(some) for some in seeds)
    near_, far = ([spec_of(seed, far).scanner for seed in range(10_000, 10_040)] for far in (False, True))
    assert max(s.blur_um for s in near_) < min(s.blur_um for s in far)
    assert min(s.jpeg_quality for s in near_) > max(s.jpeg_quality for s in far)


def test_lessons_are_written_as_training_reads_them(lessons: list[Lesson], tmp_path: Path) -> None:
    path = tmp_path / "lessons.csv"
    assert write_lessons(path, (("a", "p", lesson) for lesson in lessons)) == len(lessons)
    read = read_examples([path])
    assert not read.left_out
    assert [(e.question, e.answer, e.box) for e in read.used] == [
        (one.question, one.answer, one.box) for one in lessons
    ]
    assert {(e.slide, e.patient) for e in read.used} == {("a", "p")}
    assert [e.id.split(":")[0] for e in read.used if e.id] == [one.kind for one in lessons]


def test_a_slide_without_its_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no truth beside it"):
        KnownSlide.beside(tmp_path / "a.svs")


@pytest.fixture(scope="module")
def items(known: KnownSlide) -> list[Item]:
    return list(items_of(known, seed=1, views=30))


def test_the_exam_is_right_by_the_truth(known: KnownSlide, items: list[Item]) -> None:
    assert {item.form for item in items} == {"choice", "yes_no", "number", "place", "text"}
    for item in items:
        regions, types = within(known, item.box)
        right = item.options["ABCD".index(item.answer)] if item.options else item.answer
        if item.task == "count":
            assert int(item.answer) == len(types)
        if item.task == "present":
            (name,) = (name for name, words in TISSUES.items() if f"there {words} in" in item.question)
            share = (regions == REGIONS.index(name)).sum() / (regions > 0).sum()
            assert (share > 0.005) == (item.answer == "yes")
        if item.task == "commonest cells":
            assert list(CELLS.values())[np.bincount(types, minlength=len(TYPES))[1:].argmax()] == right
        if item.task == "grade":
            assert right == f"grade {known.findings['grade']}"
        if item.task == "where":
            (name,) = (name for name, words in TISSUES.items() if f"the {words}?" in item.question)
            y0, x0, y1, x1 = item.box
            area = sum((y1 - y0) * (x1 - x0) for y0, x0, y1, x1 in item.places)
            assert area == pytest.approx(
                (regions == REGIONS.index(name)).mean() * (y1 - y0) * (x1 - x0), rel=0.1
            )


def test_words_alone_tell_little_of_the_right_answer(items: list[Item]) -> None:
    kept = [item for _, item in balanced([("s", item) for item in items])]
    for question in {item.question for item in kept if item.form == "yes_no"}:
        answers = [item.answer for item in kept if item.question == question]
        assert answers.count("yes") == answers.count("no")
    assert [item for item in kept if item.form == "number"] == [i for i in items if i.form == "number"]


def test_the_exam_is_read_by_evaluation_which_asks_as_was_learned(items: list[Item], tmp_path: Path) -> None:
    path = tmp_path / "s-exam.csv"
    assert write_exam(path, (("s", item) for item in items)) == len(items)
    found = read_benchmark([path], "table")
    assert len(found.cases) + len(found.left_out) == len(items)
    assert all("was there before" in str(row) for row in found.left_out)  # views may repeat
    prompts = {item.prompt: item for item in items}
    for case in found.cases:
        item = prompts[case.prompt]
        assert case.kind == item.form
        if item.lesson is not None and case.kind in ("choice", "yes_no"):
            assert item.lesson.question == case.prompt
    short = [item.lesson for item in items if item.form == "yes_no"]
    assert {lesson.answer for lesson in short if lesson} == {"Yes", "No"}
    told = short[0].told(synthetic=False) if short[0] else None
    assert told is not None
    assert told.question.startswith("Real slide. Is there ")
