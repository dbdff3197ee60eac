"""Tissue, stains and the grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hwsi import open_slide, slide_from_array
from napari_hwsi.errors import InputError, ResolutionError
from napari_hwsi.tissue import (
    HE_MATRIX,
    TissueMask,
    region_grid,
    separate_stains,
    stain_kind,
    tissue_mask,
)


def stained(amounts: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return uint8 RGB of (..., 2) amounts of two dyes (Beer-Lambert)."""
    return np.clip(np.rint(256 * 10 ** -(amounts @ matrix) - 1), 0, 255).astype(np.uint8)


def test_known_amounts_of_stain_are_recovered() -> None:
    amounts = np.random.default_rng(1).uniform(0.1, 0.8, (50, 50, 2))
    unit = HE_MATRIX / np.linalg.norm(HE_MATRIX, axis=1, keepdims=True)
    got = separate_stains(stained(amounts, unit))
    assert np.abs(got[..., :2] - amounts).max() < 0.03
    assert np.abs(got[..., 2]).max() < 0.03


def test_twice_the_same_stain_is_refused() -> None:
    with pytest.raises(InputError):
        separate_stains(np.zeros((1, 3), np.uint8), np.array([[1.0, 1, 1], [1, 1, 1]]))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CMU-1-Small-Region.svs", "h&e"),
        ("TCGA-CR-7395-01A-01-TS1.svs", "h&e"),
        ("HE_example_instanseg.ome.tif", "h&e"),
        ("test3-DAPI-2-387.ndpi", "fluorescence"),
    ],
)
def test_what_kind_of_picture(data: Path, name: str, kind: str) -> None:
    with open_slide(data / "wsi" / name) as slide:
        assert stain_kind(slide) == kind


def test_brown_staining_is_not_he() -> None:
    image = np.full((256, 256, 3), 245, np.uint8)
    image[64:192, 64:192] = (150, 105, 60)
    assert stain_kind(slide_from_array(image)) == "other"


def test_tissue_of_a_real_slide(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        mask = tissue_mask(slide)
        assert mask.coverage((1200, 950, 1500, 1100)) > 0.95  # epidermis and dermis
        assert mask.coverage((1800, 50, 2400, 300)) == 0  # glass
        assert mask.coverage((0, 0, *slide.shape)) == pytest.approx(mask.mask.mean(), rel=0.01)


def pink_disc(radius_um: float, mpp: float, size: int = 1200) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2
    image = np.full((size, size, 3), 243, np.uint8)
    image[np.hypot(y, x) * mpp < radius_um] = (214, 150, 190)
    return image


@pytest.mark.parametrize("mpp", [0.5, 1.0, 2.0])
def test_area_of_a_known_disc(mpp: float) -> None:
    slide = slide_from_array(pink_disc(220, mpp), mpp)
    area = tissue_mask(slide).area_in((0, 0, *slide.shape)) * mpp**2
    assert area == pytest.approx(np.pi * 220**2, rel=0.06)


def test_ink_and_specks_are_not_tissue() -> None:
    image = pink_disc(200, 1.0)
    image[20:80, 20:600] = (40, 60, 190)  # blue marker
    image[1100:1160, 20:600] = (25, 25, 25)  # black marker
    image[1000:1010, 1000:1010] = (214, 150, 190)
    mask = tissue_mask(slide_from_array(image, 1.0))
    assert mask.coverage((0, 0, 150, 1200)) == 0
    assert mask.coverage((1050, 0, 1200, 1200)) == 0
    assert mask.coverage((950, 950, 1050, 1050)) == 0
    assert mask.labels().max() == 1


def test_glass_alone_has_no_tissue() -> None:
    noise = np.random.default_rng(0).integers(238, 246, (600, 600, 3), np.uint8)
    assert not tissue_mask(slide_from_array(noise, 0.5)).mask.any()


def test_coverage_counts_parts_of_mask_pixels() -> None:
    mask = TissueMask(np.array([[True, False], [False, True]]), (10.0, 10.0))
    assert mask.coverage((0, 0, 10, 10)) == 1
    assert mask.coverage((0, 5, 10, 15)) == 0.5
    assert mask.coverage((-10, 0, 10, 10)) == 0.5
    assert mask.coverage((15, 15, 40, 40)) == pytest.approx(25 / 625)


def test_the_grid_goes_by_micrometres() -> None:
    slide = slide_from_array(np.zeros((9000, 20000, 3), np.uint8), mpp=0.25)
    grid = region_grid(slide)
    assert grid.shape == (2, 3)
    assert grid.region_box(4) == (8192, 8192, 16384, 16384)
    boxes = grid.patch_boxes(4)
    assert boxes[0].tolist() == [8192, 8192, 8704, 8704]
    assert boxes[17].tolist() == [8704, 8704, 9216, 9216]
    assert boxes[255].tolist() == [15872, 15872, 16384, 16384]
    assert grid.regions_meeting((8000, 8192, 8192, 8193)) == [1]


def test_patches_over_the_edge_know_their_share() -> None:
    slide = slide_from_array(np.zeros((128, 384, 3), np.uint8), mpp=0.5)
    share = region_grid(slide).on_slide(0)
    assert share[:3].tolist() == [0.5, 0.25, 0.0]
    assert share.sum() == pytest.approx(128 * 384 / 256**2)


def test_patches_tile_the_region_without_gaps(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        boxes = region_grid(slide).patch_boxes(0)
    for j in range(255):
        if j % 16 != 15:
            assert boxes[j, 3] == boxes[j + 1, 1]


def test_a_grid_needs_a_pixel_size() -> None:
    with pytest.raises(ResolutionError):
        region_grid(slide_from_array(np.zeros((8, 8, 3), np.uint8)))


def test_a_field_smaller_than_a_speck_is_looked_at(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        tiny = slide_from_array(slide.read((1250, 980), (40, 40)), mpp=slide.mpp)
    assert tissue_mask(tiny).mask.mean() > 0.3
