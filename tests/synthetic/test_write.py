"""Written slides: OpenSlide opens them, they say what they are, and the truth beside them fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openslide
import pytest

from napari_hwsi.errors import Cancelled, InputError, SlideError
from napari_hwsi.progress import Step
from napari_hwsi.synthetic import REGIONS, SlideSpec, SyntheticSlide, is_synthetic, write_slide

SPEC = SlideSpec(seed=7, shape=(1300, 1100), mpp=0.5)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SyntheticSlide, list[Step]]:
    path = tmp_path_factory.mktemp("slides") / "small.svs"
    steps: list[Step] = []
    return path, write_slide(path, SPEC, steps.append), steps


def test_openslide_opens_it_with_its_mpp_and_levels(written: tuple[Path, SyntheticSlide, list[Step]]) -> None:
    with openslide.OpenSlide(written[0]) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == float(slide.properties["openslide.mpp-y"]) == 0.5
        assert slide.properties["openslide.objective-power"] == "20"
        assert slide.properties["aperio.Seed"] == "7"
        assert slide.level_dimensions == ((1100, 1300), (275, 325))
        assert is_synthetic(slide.properties)


def test_pixels_and_levels_are_those_of_the_seed(written: tuple[Path, SyntheticSlide, list[Step]]) -> None:
    path, slide, _ = written
    with openslide.OpenSlide(path) as file:
        decoded = np.asarray(file.read_region((300, 400), 0, (400, 480)).convert("RGB")).astype(float)
        made = slide.read((400, 300), (480, 400)).astype(float)
        assert np.abs(decoded - made).mean() < 8  # JPEG
        assert np.abs((decoded - made).mean((0, 1))).max() < 1
        level = np.asarray(file.read_region((300, 400), 1, (100, 120)).convert("RGB")).astype(float)
    averaged = made.reshape(120, 4, 100, 4, 3).mean((1, 3))
    assert np.abs(level - averaged).mean() < 10  # JPEG again


def test_truth_beside_it(written: tuple[Path, SyntheticSlide, list[Step]]) -> None:
    path, slide, steps = written
    facts = json.loads(path.with_suffix(".truth.json").read_text())
    table = np.load(path.with_suffix(".truth.npz"))
    assert facts["spec"]["seed"] == 7
    assert facts["report"] == slide.report
    assert sum(facts["nuclei"].values()) == len(table["id"]) == len(np.unique(table["id"])) > 100
    truth = slide.truth((0, 0, *SPEC.shape))
    inside = truth.nuclei[truth.nuclei["on_slide"]]
    assert set(table["id"]) == set(inside["id"])
    area = np.bincount(truth.regions.ravel(), minlength=len(REGIONS)) * 0.25e-6
    np.testing.assert_allclose(list(facts["area_mm2"].values()), area, atol=1e-6)
    np.testing.assert_array_equal(table["regions"], truth.regions[8::16, 8::16])
    assert [s.done for s in steps] == list(range(1, 10))


def test_same_spec_same_bytes(tmp_path: Path) -> None:
    spec = SlideSpec(seed=7, shape=(200, 300))
    files = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_slide(tmp_path / name / "slide.svs", spec)
        files.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert set(files[0]) == {"slide.svs", "slide.truth.json", "slide.truth.npz"}
    assert files[0] == files[1]


def test_stopped_work_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        write_slide(tmp_path / "slide.svs", SlideSpec(seed=7, shape=(200, 300)), stop)
    assert not list(tmp_path.iterdir())


def test_bad_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.svs"):
        write_slide(tmp_path / "slide.png", SPEC)
    with pytest.raises(SlideError, match="existing folder"):
        write_slide(tmp_path / "no folder" / "slide.svs", SPEC)


def test_real_slides_are_not_taken_for_synthetic(cmu: Path) -> None:
    with openslide.OpenSlide(cmu) as slide:
        assert not is_synthetic(slide.properties)
