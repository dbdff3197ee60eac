"""The report says what is true of the slide."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_hwsi.synthetic import REGIONS, Findings, SlideSpec, SyntheticSlide
from napari_hwsi.synthetic.layout import Layout
from napari_hwsi.synthetic.report import write_report


def shares(layout: Layout) -> dict[str, float]:
    """Return the share of every region in the tissue, on a map with a step of 12 µm."""
    y, x = (np.arange(6, size, 12.0) for size in layout.zones.size)
    regions = layout.at(y[:, None], x[None, :]).regions()
    counts = np.bincount(regions.ravel(), minlength=len(REGIONS))
    return {name: counts[k] / counts[1:].sum() for k, name in enumerate(REGIONS) if k}


@pytest.mark.parametrize("seed", [2, 4, 7])
def test_report_agrees_with_the_map(seed: int) -> None:
    slide = SyntheticSlide(SlideSpec(seed=seed, shape=(4096, 4096)))
    true = shares(slide.layout)
    report = slide.report
    assert f"grade {slide.grade} of 3" in report
    for word, region in (
        ("Necrosis in", "necrosis"),
        ("Lymphoid aggregates,", "lymphoid"),
        ("Normal glands", "gland"),
        ("Fat is included", "fat"),
    ):
        if word in report:
            assert true[region] > 0, f"{word!r} is reported and not there"
    for word, region in (("No necrosis", "necrosis"), ("No lymphoid", "lymphoid"), ("No fat", "fat")):
        if word in report:
            assert true[region] == 0, f"{word!r} is reported and {region} is there"
    covered = re.search(r"cover about (\d+) %", report)
    assert covered
    assert int(covered[1]) == pytest.approx(100 * true["tumour"], abs=8)


def test_scores_add_up_to_the_grade() -> None:
    sums = {1: (3, 4, 5), 2: (6, 7), 3: (8, 9)}
    for seed in range(40):
        for grade in (None, 1, 2, 3):
            case = Layout(SlideSpec(seed=seed, grade=grade)).case
            assert case.tubules + case.nuclei + case.mitoses in sums[case.grade]
            assert grade is None or case.grade == grade


def test_grade_shows_in_the_nuclei() -> None:
    spread = {}
    for grade in (1, 3):
        slide = SyntheticSlide(SlideSpec(seed=7, shape=(4096, 4096), grade=grade))
        nuclei = slide.nuclei((1024, 2300, 2048, 3072))
        sizes = np.sqrt(nuclei.long * nuclei.short)[(nuclei.type == 1) & ~nuclei.mitosis]
        assert len(sizes) > 100
        spread[grade] = sizes.std() / sizes.mean()
    assert spread[3] > 1.3 * spread[1]


def test_a_slide_without_tumour_has_no_grade_in_its_report() -> None:
    empty = dict.fromkeys(REGIONS[1:], 0.0) | {"stroma": 1.0}
    report = write_report(Findings(None, None, None, None, empty, ("fat",), "scant"))
    assert "No tumour" in report
    assert "No fat" in report
    assert "grade" not in report
