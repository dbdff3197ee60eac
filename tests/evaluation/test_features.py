"""Tasks of vectors beside random ones, and rows that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.evaluation.features import cross_modal, few_shot, linear_probe, slide_retrieval, zero_shot
from napari_hwsi.training.slide_bags import LabelledSlides, matching, read_labelled

pytest.importorskip("sklearn")

_WIDTH = 6
_CLASSES = ("benign", "malignant", "normal")


def _features(path: Path, vectors: np.ndarray) -> None:
    """Write patches in the layout csv, on a row of 256 px squares."""
    names = ",".join(["x", "y", "width", "height", *(f"v{i}" for i in range(vectors.shape[1]))])
    rows = [f"{i * 256},0,256,256,{','.join(map(str, row))}" for i, row in enumerate(vectors)]
    path.write_text("\n".join([names, *rows]))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> LabelledSlides:
    """36 slides of 18 patients; a patch of a class points along its own axis, within noise."""
    folder = tmp_path_factory.mktemp("features")
    generator = np.random.default_rng(0)
    rows = ["slide,label,patient,text"]
    for i in range(36):
        kind = (i // 2) % 3
        _features(folder / f"S{i}.csv", np.eye(_WIDTH)[kind] + generator.normal(0, 0.4, (8, _WIDTH)))
        rows.append(f'S{i}.svs,{_CLASSES[kind]},P{i // 2},"Tissue is {_CLASSES[kind]}. Nothing else."')
    _features(folder / "nan.csv", np.full((2, _WIDTH), np.nan))
    _features(folder / "wide.csv", np.ones((2, _WIDTH + 1)))
    rows += ["S3.svs,benign,P1,x", "S99.svs,benign,P99,x", "nan.svs,benign,P98,x", "wide,benign,P97,x"]
    rows += ["S5.svs,,P2,x"]
    table = folder.parent / "labels.csv"
    table.write_text("\n".join(rows))
    return read_labelled(table, folder, ("label", "text"))


def test_rows_that_cannot_be_used_are_named(labelled: LabelledSlides) -> None:
    assert len(labelled.slides) == 36
    reasons = {item.row: item.reason for item in labelled.left_out}
    assert reasons[38] == "the slide was there before, with another label and text"
    assert reasons[39] == "S99 has neither a result nor features"
    assert "nan.csv: the column v0 lacks 2 of its numbers" in reasons[40]
    assert reasons[41] == "its vectors are 7 wide, those before it 6"
    assert reasons[42] == "label is empty"


def test_vectors_that_tell_classes_do_and_random_ones_do_not(labelled: LabelledSlides) -> None:
    for outcomes, metric in (
        (linear_probe(labelled, repeats=50), "balanced accuracy"),
        (slide_retrieval(labelled, repeats=50), "R@1"),
    ):
        scores = {outcome.system: outcome.scores[metric].score for outcome in outcomes}
        assert scores["vectors"] > 0.95
        assert scores["random vectors"] < 0.5
        assert outcomes[0].scores[metric].groups == 18


def test_a_few_patients_a_class_make_prototypes(labelled: LabelledSlides) -> None:
    found = {who: mean for who, mean, _ in few_shot(labelled, (1, 3), draws=10)}
    assert found["vectors, 3 a class"] > 0.95
    assert found["vectors, 1 a class"] > 0.8
    assert found["random vectors, 3 a class"] < 0.5
    with pytest.raises(InputError, match="the rarest of 6 patients, 6 a class cannot be drawn"):
        few_shot(labelled, (6,))


def _encode(texts: Sequence[str]) -> np.ndarray:
    known = np.array([[kind in text for kind in _CLASSES] for text in texts], np.float32)
    return np.pad(known, ((0, 0), (0, _WIDTH - 3))) + 1e-3


def test_texts_in_the_space_of_patches_name_classes_and_find_reports(labelled: LabelledSlides) -> None:
    phrases = {name: [f"{name} tissue", name] for name in _CLASSES}
    scores = {o.system: o.scores["balanced accuracy"].score for o in zero_shot(labelled, _encode, phrases)}
    assert scores["vectors"] > 0.9 > 0.6 > scores["random vectors"]
    assert scores["majority"] == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="'normal' has no phrase"):
        zero_shot(labelled, _encode, {"benign": ["x"], "malignant": ["y"]})
    found = {
        way: {outcome.system: outcome.scores["MRR"].score for outcome in outcomes}
        for way, outcomes in cross_modal(labelled, _encode, repeats=20).items()
    }
    # Six patients share each report word for word, and ties count against: their ten others come first.
    assert found["report from slide"]["vectors"] == pytest.approx(1 / 11, abs=0.01)
    for scores in found.values():
        assert scores["vectors"] > 1.2 * scores["random vectors"]


def test_splits_and_classes_that_teach_nothing_are_refused(labelled: LabelledSlides) -> None:
    from dataclasses import replace

    both = [replace(one, split="train" if i % 2 else "test") for i, one in enumerate(labelled.slides)]
    with pytest.raises(InputError, match="18 patients are in train and in test, such as P0"):
        linear_probe(replace(labelled, slides=both))
    one = [one for one in labelled.slides if one.values["label"] == "benign"]
    with pytest.raises(InputError, match="All slides are of the class 'benign'"):
        linear_probe(replace(labelled, slides=one))


def test_a_name_within_another_is_not_taken_for_it() -> None:
    patient = "TCGA-3C-AALI"
    found = {"S10": Path("a"), f"{patient}-01Z-00-DX1.8C": Path("b"), "S1b.2": Path("c"), "S1b.3": Path("d")}
    assert matching(patient, found) == Path("b")
    assert matching(f"{patient}-01Z-00-DX1", found) == Path("b")
    with pytest.raises(InputError, match="S1 has neither"):
        matching("S1", found)
    with pytest.raises(InputError, match="any of 2 slides"):
        matching("S1b", found)
