"""The classical segmenter against synthetic truth, and where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_hwsi.cells import Classical, StainLevels
from napari_hwsi.errors import ResolutionError
from napari_hwsi.metrics import instance_scores
from napari_hwsi.slides import slide_from_array

from .conftest import Piece


def test_nuclei_of_a_synthetic_slide_are_found(tissue_piece: Piece) -> None:
    found = Classical().segment(tissue_piece.rgb, (0.5, 0.5))
    scores = instance_scores(tissue_piece.truth, found.labels)
    assert scores.f1 > 0.75
    assert scores.precision > 0.88
    assert scores.sq > 0.75
    np.testing.assert_array_equal(np.unique(found.labels), np.arange(len(found.types) + 1))
    assert found.probabilities.min() > 0
    assert found.probabilities.max() <= 1


def test_it_gives_the_same_again(tissue_piece: Piece) -> None:
    first, second = (Classical().segment(tissue_piece.rgb, (0.5, 0.5)) for _ in range(2))
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


@pytest.mark.parametrize(("mpp", "share"), [(0.25, 0.15), (0.8, 0.25)])
def test_other_resolutions_find_about_as_many(tissue_piece: Piece, mpp: float, share: float) -> None:
    whole = Image.fromarray(tissue_piece.rgb[:400, :400])
    side = round(400 * 0.5 / mpp)
    scaled = np.asarray(whole.resize((side, side), Image.Resampling.LANCZOS))
    at_half = len(Classical().segment(np.asarray(whole), (0.5, 0.5)).types)
    assert len(Classical().segment(scaled, (mpp, mpp)).types) == pytest.approx(at_half, rel=share)


def noisy(colour: tuple[int, int, int], amount: float = 3) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, amount, (300, 300, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [(243, 242, 244), (228, 170, 196)], ids=["glass", "plain eosin"])
def test_nothing_is_made_up(colour: tuple[int, int, int]) -> None:
    assert len(Classical().segment(noisy(colour), (0.5, 0.5)).types) == 0


def test_ink_is_no_nucleus() -> None:
    rgb = noisy((240, 240, 240))
    y, x = np.indices((300, 300))
    for cy in range(40, 300, 60):
        rgb[(y - cy) ** 2 + (x - 150) ** 2 < 64] = (20, 140, 110)
    assert len(Classical().segment(rgb, (0.5, 0.5)).types) == 0
    for cy in range(40, 300, 60):
        rgb[(y - cy) ** 2 + (x - 50) ** 2 < 64] = (90, 60, 140)
    assert len(Classical().segment(rgb, (0.5, 0.5)).types) == 5


def test_levels_come_from_the_whole_slide(tissue_piece: Piece) -> None:
    fitted = Classical().fit(slide_from_array(tissue_piece.rgb, mpp=0.5))
    assert isinstance(fitted.levels, StainLevels)
    assert fitted.levels.contrast > 0.3
    assert fitted.fit(slide_from_array(noisy((250, 250, 250)), mpp=0.5)) is fitted
    assert fitted.settings()["levels"]["hue"] == fitted.levels.hue


def test_sizes_must_mean_something(tissue_piece: Piece) -> None:
    with pytest.raises(ResolutionError, match=r"0\.2 to 1\.1"):
        Classical().segment(tissue_piece.rgb, (4.0, 4.0))
