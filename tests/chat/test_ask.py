"""Asking: which part, who answers, and what is analysed first."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.chat import FORMS, Answer, answerer, ask, ask_stream
from napari_hwsi.errors import Cancelled, InputError
from napari_hwsi.hierarchy import Hierarchy, analyze, open_result
from napari_hwsi.progress import Step
from napari_hwsi.tissue import CLASSES, forget_tissue, keep_tissue
from napari_hwsi.units import intersect


def test_auto_is_measured() -> None:
    assert answerer("auto").name == answerer("measured").name == "measured"


@pytest.mark.parametrize("name", ["pocket", "release:folder", "oracle", ""])
def test_unknown_answerers(name: str) -> None:
    with pytest.raises(InputError, match="There are") as caught:
        answerer(name)
    assert all(form in str(caught.value) for form in FORMS)


@pytest.mark.parametrize("box", [(-500, -500, 0, 0), (0, 5000, 10, 5010), (5, 5, 5, 9)])
def test_boxes_off_the_slide(result: Hierarchy, box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="box"):
        ask_stream(result, "How many nuclei?", box)


def test_empty_questions(result: Hierarchy) -> None:
    with pytest.raises(InputError, match="empty"):
        ask_stream(result, "  ")


def test_a_box_is_clipped_to_the_slide(result: Hierarchy) -> None:
    answer = ask(result, "How many nuclei?", (-100.5, -100, 500.2, 99999))
    assert answer.box == (0, 0, 501, result.slide.shape[1])
    assert f"{len(result.cells.in_box(answer.box)):,} nuclei" in answer.text


def test_without_a_box_the_analysed_slide_counts(result: Hierarchy) -> None:
    answer = ask(result, "How many nuclei?")
    assert answer.text == f"There are {len(result.cells):,} nuclei in the analysed slide."
    assert answer.evidence[0].scale == "slide"


def test_an_answer_says_that_the_tissue_is_another_now(wide: Hierarchy) -> None:
    def rests_on_another() -> bool:
        return any("another tissue mask" in note for note in ask(wide, "How many nuclei?").notes)

    slide, mask = wide.slide, wide.tissue
    before = len(wide.cells)
    assert not rests_on_another()
    classes = mask.classes
    classes[:, 20:60] = CLASSES.index("pen")
    keep_tissue(slide, mask, classes)
    assert rests_on_another()
    analyze(slide, wide.path, box=(0, 0, 600, 1000))
    wide.refresh()
    assert not rests_on_another()
    assert len(wide.cells) < before
    classes[classes == CLASSES.index("pen")] = CLASSES.index("fold")
    keep_tissue(slide, mask, classes)
    assert rests_on_another()
    keep_tissue(slide, mask, wide.tissue.classes)
    assert not rests_on_another()
    forget_tissue(slide)  # back to the automatic one
    assert rests_on_another()
    analyze(slide, wide.path, box=(0, 0, 600, 1000))
    wide.refresh()
    assert not rests_on_another()
    assert len(wide.cells) == before


def test_what_is_not_analysed_is_analysed_first(wide: Hierarchy) -> None:
    box = (50, 4150, 550, 4950)
    assert not wide.covers(box)
    before = wide.cells
    steps: list[Step] = []
    answer = ask(wide, "How many nuclei are here, and where are they densest?", box, progress=steps.append)
    assert "regions" in {step.what for step in steps}
    grown = open_result(wide.path)
    assert grown.covers(box)
    n = len(grown.cells.in_box(box))
    assert n > 20
    assert f"There are {n:,} nuclei" in answer.text
    assert any("1 region was analysed for this question" in note for note in answer.notes)
    assert all(intersect(e.box, box) == e.box for e in answer.evidence)
    # The earlier part is what it was.
    left = (0, 0, 600, 1000)
    np.testing.assert_array_equal(grown.cells.in_box(left).centroids, before.in_box(left).centroids)


def test_an_analysed_box_is_not_analysed_again(wide: Hierarchy) -> None:
    steps: list[Step] = []
    answer = ask(wide, "How many nuclei?", (100, 100, 500, 900), progress=steps.append)
    assert "regions" not in {step.what for step in steps}
    assert not any("analysed for this question" in note for note in answer.notes)


def test_the_result_that_was_asked_has_grown(wide: Hierarchy) -> None:
    box = (50, 4150, 550, 4950)
    first = ask(wide, "How many nuclei?", box)
    assert wide.covers(box)
    assert f"{len(wide.cells.in_box(box)):,}" in first.text


def test_the_analysis_can_be_cancelled(wide: Hierarchy) -> None:
    def progress(step: Step) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        ask(wide, "How many nuclei?", (50, 4150, 550, 4950), progress=progress)


def test_an_answer_reads_well(result: Hierarchy) -> None:
    answer = ask(result, "How many nuclei?", (0, 0, 1000, 1000))
    assert isinstance(answer, Answer)
    text = str(answer)
    assert text.startswith("There are")
    assert text.endswith("Research use only.")
    assert "Answered by measured (local)." in text
    assert "Rests on:" in text
