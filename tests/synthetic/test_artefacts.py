"""Artefacts of a synthetic slide: by the place alone, with their truth, and only where asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.synthetic import ARTEFACTS, SlideSpec, SyntheticSlide, write_slide
from napari_hwsi.synthetic.artefacts import Artefacts

PLAIN = SlideSpec(seed=102, shape=(3072, 3072), mpp=1.0)


def spec(*kinds: str) -> SlideSpec:
    return SlideSpec(seed=PLAIN.seed, shape=PLAIN.shape, mpp=PLAIN.mpp, artefacts=kinds)


def place_of(kind: str) -> tuple[int, int, int, int]:
    """Return a window of 200 px round the truth of a kind, from the lightest look at the slide."""
    rows = columns = np.arange(16, 3072, 32)
    artefacts = Artefacts(spec(kind))
    number = ARTEFACTS.index(kind) + 1
    for y in rows:
        damage = artefacts.over(np.array([y]), np.arange(3072), np.full((1, 3072), 50, np.float32))
        if damage is not None and (damage.kinds == number).any():
            inside = np.flatnonzero(damage.kinds[0] == number)
            if len(inside) > 30 and 300 < y < 2700:
                x = int(inside[len(inside) // 2])
                x = min(max(x, 100), 2900)
                return int(y) - 100, x - 100, int(y) + 100, x + 100
    raise AssertionError(f"no {kind} on the slide of {columns.size} columns")


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_pixels_change_where_the_truth_says_so_and_not_elsewhere(kind: str) -> None:
    box = place_of(kind)
    size = box[2] - box[0], box[3] - box[1]
    plain, marked = SyntheticSlide(PLAIN), SyntheticSlide(spec(kind))
    truth = marked.truth(box)
    before, after = plain.read(box[:2], size).astype(int), marked.read(box[:2], size).astype(int)
    there = truth.artefacts == ARTEFACTS.index(kind) + 1
    assert set(np.unique(truth.artefacts)) <= {0, ARTEFACTS.index(kind) + 1}
    assert there.sum() > 500
    change = np.abs(after - before).max(-1)
    assert change[there].mean() > 3 * max(change[~there].mean() if (~there).any() else 0, 1)
    assert not plain.truth(box).artefacts.any()
    np.testing.assert_array_equal(truth.regions, plain.truth(box).regions)


def test_folds_double_the_density() -> None:
    box = place_of("fold")
    size = box[2] - box[0], box[3] - box[1]
    there = SyntheticSlide(spec("fold")).truth(box).artefacts > 0
    before, after = (
        -np.log10((SyntheticSlide(s).read(box[:2], size).astype(float) + 1) / 243)
        for s in (PLAIN, spec("fold"))
    )
    assert 1.3 < after[there].mean() / before[there].mean() < 2.8


def test_a_field_out_of_focus_has_less_detail() -> None:
    box = place_of("out of focus")
    there = SyntheticSlide(spec("out of focus")).truth(box).artefacts > 0
    sharp, blurred = (
        np.abs(np.diff(SyntheticSlide(s).read(box[:2], (200, 200))[..., 1].astype(float), axis=1))
        for s in (PLAIN, spec("out of focus"))
    )
    assert blurred[there[:, 1:]].mean() < 0.5 * sharp[there[:, 1:]].mean()


def test_windows_are_cut_from_one_slide() -> None:
    """Across the seam of two blocks, blur with its wide margin included."""
    whole = SyntheticSlide(spec(*ARTEFACTS))
    box = place_of("out of focus")
    seam = round(box[1] / 512) * 512 or 512
    window = (box[0], seam - 20, box[0] + 30, seam + 20)
    image, _, kinds = SyntheticSlide(spec(*ARTEFACTS)).render(window)
    np.testing.assert_array_equal(image, whole.read(window[:2], (30, 40)))
    np.testing.assert_array_equal(kinds, whole.truth(window).artefacts)


def test_every_kind_is_on_the_slide_and_kinds_can_be_chosen() -> None:
    rows = np.arange(0, 3072, 8)
    for kinds in (ARTEFACTS, ("pen", "fold")):
        damage = Artefacts(spec(*kinds)).over(rows, rows, np.full((len(rows), len(rows)), 50, np.float32))
        assert damage is not None
        assert set(np.unique(damage.kinds)) == {0, *(ARTEFACTS.index(kind) + 1 for kind in kinds)}
    assert Artefacts(PLAIN).over(rows, rows, np.zeros((len(rows), len(rows)), np.float32)) is None


def test_what_is_no_artefact_is_refused() -> None:
    with pytest.raises(InputError, match="air bubble"):
        SlideSpec(artefacts=("scratch",))


def test_the_truth_of_artefacts_is_written(tmp_path: Path) -> None:
    small = SlideSpec(seed=5, shape=(700, 700), mpp=1.0, artefacts=ARTEFACTS)
    slide = write_slide(tmp_path / "a.svs", small)
    table = np.load(tmp_path / "a.truth.npz")
    truth = slide.truth((0, 0, 700, 700)).artefacts
    assert truth.any()
    np.testing.assert_array_equal(table["artefacts"], truth[8::16, 8::16])
    facts = json.loads((tmp_path / "a.truth.json").read_text())
    assert facts["artefact_names"] == list(ARTEFACTS)
    assert facts["spec"]["artefacts"] == list(ARTEFACTS)
    write_slide(tmp_path / "b.svs", SlideSpec(seed=5, shape=(200, 200), mpp=1.0))
    assert "artefacts" not in np.load(tmp_path / "b.truth.npz").files
    assert "artefacts" not in json.loads((tmp_path / "b.truth.json").read_text())["spec"]
