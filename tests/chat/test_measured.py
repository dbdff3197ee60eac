"""Measured answers: every number against the cell table, every place inside the view."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.cells import Classical, Segmentation
from napari_hwsi.chat import Answer, ask, ask_stream
from napari_hwsi.evidence import Evidence
from napari_hwsi.hierarchy import Hierarchy, analyze
from napari_hwsi.slides import RGB, open_slide, slide_from_array
from napari_hwsi.tissue import tissue_mask
from napari_hwsi.units import Box, Mpp, intersect

VIEW = (200, 300, 1200, 1800)


def nuclei_in(result: Hierarchy, box: Box) -> np.ndarray:
    y, x = result.cells.centroids.astype(float).T
    return np.flatnonzero((box[0] <= y) & (y < box[2]) & (box[1] <= x) & (x < box[3]))


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


@pytest.mark.parametrize("view", [VIEW, (0, 0, 2967, 2220), (650, 720, 1130, 1444)])
def test_how_many_and_where_densest(result: Hierarchy, view: Box) -> None:
    answer = ask(result, "How many nuclei are in this view, and where are they densest?", view)
    n = len(nuclei_in(result, view))
    assert answer.text.startswith(f"There are {n:,} nuclei in this view. The nuclei are densest at ")
    counted, *dense = answer.evidence
    assert (counted.box, counted.score, counted.source) == (view, n, "measurement")
    assert dense
    for place in dense:
        assert place.scale == "patch"
        assert intersect(place.box, view) == place.box
        inside = len(nuclei_in(result, place.box))
        assert f"{inside:,} nuclei" in place.note
        my, mx = result.slide.require_mpp()
        y0, x0, y1, x1 = place.box
        assert place.score == pytest.approx(inside / ((y1 - y0) * my * (x1 - x0) * mx * 1e-6))
        assert f"y {y0:,}–{y1:,}, x {x0:,}–{x1:,} px" in answer.text


def test_density(result: Hierarchy) -> None:
    answer = ask(result, "What is the density?", VIEW)
    my, mx = result.slide.require_mpp()
    tissue = tissue_mask(result.slide).area_in(VIEW) * my * mx * 1e-6
    density, n, area = numbers(answer.text.replace("mm²", ""))
    assert n == len(nuclei_in(result, VIEW))
    assert density == pytest.approx(n / tissue, rel=0.01)
    assert area == pytest.approx(tissue, rel=0.01)


@pytest.mark.parametrize(
    ("question", "column"),
    [
        ("What is the perimeter of nuclei?", "perimeter_um"),
        ("How much eosin do they have?", "eosin_mean_od"),
        ("How large are the nuclei?", "area_um2"),
        ("How dark are they?", "haematoxylin_mean_od"),
    ],
)
def test_medians(result: Hierarchy, question: str, column: str) -> None:
    answer = ask(result, question, VIEW)
    values = result.cells.table[column].to_numpy(float)[nuclei_in(result, VIEW)]
    median, low, high = numbers(answer.text.replace("µm²", ""))[:3]
    assert (low, median, high) == pytest.approx(np.quantile(values, (0.25, 0.5, 0.75)), rel=0.01)
    assert answer.evidence[0].score == pytest.approx(np.median(values))


def test_largest(result: Hierarchy) -> None:
    answer = ask(result, "Where are the largest nuclei?", VIEW)
    areas = np.sort(result.cells.table["area_um2"].to_numpy(float)[nuclei_in(result, VIEW)])[::-1][:3]
    assert [e.score for e in answer.evidence] == pytest.approx(areas)
    assert {e.scale for e in answer.evidence} == {"cell"}


def test_compared_with_the_slide(result: Hierarchy) -> None:
    answer = ask(result, "How does this view compare with the whole slide?", VIEW)
    my, mx = result.slide.require_mpp()
    mask = tissue_mask(result.slide)
    here = len(nuclei_in(result, VIEW)) / mask.area_in(VIEW)
    there = len(result.cells) / mask.area_in(result.slide.bounds)
    assert numbers(answer.text)[0] == pytest.approx(here / there, abs=0.006)
    view, slide = answer.evidence[:2]
    assert (view.scale, view.box) == ("region", VIEW)
    assert (slide.scale, slide.box) == ("slide", result.slide.bounds)
    assert slide.score == pytest.approx(there / (my * mx * 1e-6))


def test_kept_patches(result: Hierarchy) -> None:
    answer = ask(result, "Which patches were kept and why?", VIEW)
    kept = result.selected_patches
    meets = [intersect((r.y0, r.x0, r.y1, r.x1), VIEW) is not None for r in kept.itertuples()]
    assert numbers(answer.text)[0] == sum(meets) == len(answer.evidence)
    assert {e.source for e in answer.evidence} == {"filter"}
    assert all(phrase in answer.text for phrase in result.phrases)


@dataclass(frozen=True)
class Case:
    question: str
    says: tuple[str, ...]
    silent_on: tuple[str, ...] = ()


CASES = (
    Case("Is there tumour here?", ("no measurement here can tell about: tumour", "It can tell how many")),
    Case("What is the diagnosis and the grade?", ("diagnosis, grade",), ("nuclei are densest",)),
    Case("How many mitoses are there?", ("mitoses",), ("There are",)),
    Case("How large is the tumour?", ("tumour",), ("median",)),
    Case("How many nuclei, and is there necrosis?", ("There are", "can tell about: necrosis")),
    Case("What types of nuclei are there?", ("the segmenter calls", "learned on synthetic slides")),
    Case("Blargh?", ("did not understand", "It can tell how many")),
    Case("Wie viele Zellkerne gibt es?", ("reads English only", "Ask, for example: How many nuclei")),
    Case("How many nuclei are not round?", ("cannot take into account: not", "It can tell"), ("There are",)),
    Case("What can you do?", ("This answerer measures.",)),
    Case("How big is this view?", ("This view measures", "is tissue")),
    Case("What is the resolution?", ("0.499 × 0.499 µm per pixel", "about 20x")),
    Case("What is in this view?", ("There are", "densest", "median nuclear area", "as long as wide")),
    Case("How far apart are nuclei?", ("nearest neighbour",)),
    Case("Where are they sparsest?", ("sparsest at",)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_says(result: Hierarchy, case: Case) -> None:
    answer = ask(result, case.question, VIEW)
    for words in case.says:
        assert words in answer.text
    for words in case.silent_on:
        assert words not in answer.text
    assert all(intersect(e.box, VIEW) == e.box for e in answer.evidence)
    assert (answer.answerer, answer.where, answer.model) == ("measured", "local", None)


def test_every_measured_statement_has_its_place(result: Hierarchy) -> None:
    question = "How many nuclei, how dense, how large, how round, how dark, how far apart, how much tissue?"
    answer = ask(result, question, VIEW)
    assert len(answer.evidence) == 7
    assert len(answer.text.split(". ")) == 7


def test_words_it_did_not_use_are_named(result: Hierarchy) -> None:
    answer = ask(result, "How dense are nuclei on the purple side?", VIEW)
    assert any("“purple”" in note and "“side”" in note for note in answer.notes)


def test_streams_sentence_by_sentence(result: Hierarchy) -> None:
    events = list(ask_stream(result, "How many nuclei are there, and how large?", VIEW))
    assert [type(event) for event in events] == [str, Evidence, str, Evidence, Answer]
    answer = events[-1]
    assert isinstance(answer, Answer)
    assert "".join(event for event in events if isinstance(event, str)) == answer.text


def test_follow_ups(result: Hierarchy) -> None:
    first = ask(result, "How many nuclei are there?", VIEW)
    second = ask(result, "And where?", VIEW, history=[first])
    assert "densest at" in second.text
    third = ask(result, "And in the whole slide?", VIEW, history=[first])
    assert third.text == f"There are {len(result.cells):,} nuclei in the analysed slide."


def test_glass(result: Hierarchy) -> None:
    mask = tissue_mask(result.slide)
    y, x = np.argwhere(~mask.mask)[0] * mask.downsample
    box = (int(y), int(x), int(y) + 4, int(x) + 4)
    answer = ask(result, "How many nuclei are there, and where are they densest?", box)
    assert answer.text == "There is no tissue in this view, and so no nuclei."
    assert answer.evidence[0].box == box


class TwoKinds(Classical):
    """The classical segmenter, calling nuclei large or small."""

    name = "two kinds"
    type_names = ("small", "large")

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        found = super().segment(rgb, mpp)
        areas = np.bincount(found.labels.ravel(), minlength=len(found.types) + 1)[1:]
        return Segmentation(found.labels, (areas > 150).astype(np.uint8), found.probabilities)


@pytest.fixture(scope="module")
def typed(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Hierarchy:
    """A result whose nuclei have types."""
    with open_slide(cmu) as slide:
        small = slide_from_array(slide.read((700, 700), (500, 800)), slide.mpp)
    return analyze(small, tmp_path_factory.mktemp("typed") / "typed.hwsi.zarr", segmenter=TwoKinds())


def test_types(typed: Hierarchy) -> None:
    view = (50, 50, 450, 700)
    kinds = typed.cells.types[nuclei_in(typed, view)]
    small, large = np.bincount(kinds, minlength=2)
    assert min(small, large) > 0
    answer = ask(typed, "What types of nuclei are there?", view)
    assert f"{small:,} small ({small / len(kinds):.0%})" in answer.text
    assert f"{large:,} large ({large / len(kinds):.0%})" in answer.text
    one = ask(typed, "How many large nuclei are there?", view)
    assert f"calls {large:,} large ({large / len(kinds):.0%})." in one.text
    assert "small" not in one.text
    assert [e.score for e in one.evidence] == [large]


def test_types_that_are_not_told_apart(piece: Path, tmp_path: Path) -> None:
    result = analyze(piece, tmp_path / "piece.hwsi.zarr", segmenter="classical", parts=["cells"])
    assert ask(result, "What types are there?").text == (
        "The segmenter of this result does not tell types of nuclei apart."
    )


@pytest.fixture(scope="module")
def bare(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Hierarchy:
    """A result without phrases and without cells."""
    with open_slide(cmu) as slide:
        small = slide_from_array(slide.read((700, 700), (500, 800)), slide.mpp)
    store = tmp_path_factory.mktemp("bare") / "bare.hwsi.zarr"
    return analyze(small, store, phrases=[], parts=["patches"])


def test_kept_patches_without_phrases(bare: Hierarchy) -> None:
    answer = ask(bare, "Which patches were kept?")
    assert "the first one picked" in answer.text
    assert len(answer.evidence) == len(bare.selected_patches) > 0


def test_scores_without_phrases(bare: Hierarchy) -> None:
    answer = ask(bare, "Which phrases score best?")
    assert "made without phrases" in answer.text
    assert answer.evidence == ()


@pytest.mark.parametrize("question", ["How many nuclei are there?", "How large are they, and of what type?"])
def test_nuclei_of_a_slide_without_cells(bare: Hierarchy, question: str) -> None:
    answer = ask(bare, question)
    assert answer.text == "The nuclei of the slide are not analysed, so nothing is known of them."
    assert answer.evidence == ()


NOTHING = "Nothing of this slide is analysed yet; run analyze, or ask about a view."


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("How many nuclei are there, and where are they densest?", NOTHING),
        ("What is in this slide?", NOTHING),
        ("Which patches were kept?", NOTHING),
    ],
)
def test_a_result_with_nothing_analysed(
    wide: Hierarchy, monkeypatch: pytest.MonkeyPatch, question: str, text: str
) -> None:
    monkeypatch.setitem(vars(wide), "regions", wide.regions.assign(patches=False, cells=False))
    answer = ask(wide, question)
    assert (answer.text, answer.evidence, answer.notes) == (text, (), ())


def test_a_slide_analysed_in_part(wide: Hierarchy) -> None:
    answer = ask(wide, "How many nuclei are there, and how dense?")
    done = wide.tissue.area_in((0, 0, 600, 4096)) / wide.tissue.area_in((0, 0, 600, 5000))
    assert f"{len(wide.cells):,} nuclei in the analysed part ({done:.0%} of the tissue)." in answer.text
    assert [e.box for e in answer.evidence] == [(0, 0, 600, 4096)] * 2
    (tissue,) = ask(wide, "How much tissue is there?").evidence
    assert tissue.box == (0, 0, 600, 5000)


def test_total_area(result: Hierarchy) -> None:
    answer = ask(result, "What is the total nuclear area?", VIEW)
    total = result.cells.table["area_um2"].to_numpy(float)[nuclei_in(result, VIEW)].sum()
    assert [e.score for e in answer.evidence] == pytest.approx([total])
    assert "together" in answer.text


@pytest.mark.parametrize(("word", "pick"), [("maximum", np.max), ("minimum", np.min)])
def test_extreme_areas(result: Hierarchy, word: str, pick: Callable[[np.ndarray], float]) -> None:
    answer = ask(result, f"What is the {word} nuclear area?", VIEW)
    areas = result.cells.table["area_um2"].to_numpy(float)[nuclei_in(result, VIEW)]
    assert answer.evidence[0].score == pytest.approx(pick(areas))
    assert "densest" not in answer.text
    assert "median" not in answer.text
