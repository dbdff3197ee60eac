"""Measurements of shapes and stains."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from napari_hwsi.cells.contours import Contours, trace
from napari_hwsi.cells.morphology import measure_shapes, measure_stains
from napari_hwsi.cells.texture import measure_texture

from .conftest import ellipse


def test_a_disc() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    disc = Contours.of([np.stack([50 + 10 * np.sin(angle), 70 + 10 * np.cos(angle)], 1)])
    row = measure_shapes(disc, (0.5, 0.5)).iloc[0]
    assert row.area_um2 == pytest.approx(25 * np.pi, rel=1e-3)
    assert row.perimeter_um == pytest.approx(10 * np.pi, rel=1e-3)
    assert row.equivalent_diameter_um == pytest.approx(10, rel=1e-3)
    assert row.major_axis_um == pytest.approx(10, rel=1e-3)
    assert row.circularity == pytest.approx(1, abs=1e-3)
    assert row.solidity == pytest.approx(1, abs=1e-6)
    assert row.eccentricity < 0.02


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.1])
def test_axes_and_orientation_of_an_ellipse(angle: float) -> None:
    labels = ellipse((100, 100), (50, 50), (30, 12), angle).astype(np.int32)
    row = measure_shapes(trace(labels), (0.25, 0.25)).iloc[0]
    assert row.major_axis_um == pytest.approx(15, rel=0.02)
    assert row.minor_axis_um == pytest.approx(6, rel=0.02)
    assert row.eccentricity == pytest.approx(np.sqrt(1 - (12 / 30) ** 2), rel=0.02)
    assert row.orientation_rad == pytest.approx(angle, abs=0.02)
    assert row.solidity > 0.97


def test_pixels_need_not_be_square() -> None:
    square = Contours.of([np.array([[0, 0], [0, 10], [10, 10], [10, 0]])])
    row = measure_shapes(square, (1.0, 0.5)).iloc[0]
    assert row.area_um2 == 50
    assert row.perimeter_um == 30
    assert row.orientation_rad == 0  # longer along y


def test_a_bay_lowers_solidity() -> None:
    shape = np.array([[0, 0], [0, 8], [8, 8], [8, 6], [2, 6], [2, 2], [8, 2], [8, 0]])
    row = measure_shapes(Contours.of([shape]), (1.0, 1.0)).iloc[0]
    assert row.solidity == pytest.approx((64 - 24) / 64)


def test_stains_are_told_apart_by_label() -> None:
    labels = np.zeros((20, 30), np.int32)
    labels[2:10, 2:10], labels[2:10, 15:25] = 1, 2
    rgb = np.full((20, 30, 3), 255, np.uint8)
    # Pure stains of optical density 0.6 along the textbook vectors.
    rgb[labels == 1] = np.rint(256 * 10 ** -(0.6 * np.array([0.650, 0.704, 0.286])) - 1)
    rgb[labels == 2] = np.rint(256 * 10 ** -(0.6 * np.array([0.072, 0.990, 0.105])) - 1)
    table = measure_stains(labels, rgb)
    np.testing.assert_allclose(table.haematoxylin_mean_od, [0.6, 0], atol=0.02)
    np.testing.assert_allclose(table.eosin_mean_od, [0, 0.6], atol=0.02)
    np.testing.assert_allclose(table.haematoxylin_sd_od, 0, atol=1e-6)


def test_spread_within_a_label() -> None:
    labels = np.ones((2, 2), np.int32)
    rgb = np.array([[[255] * 3, [255] * 3], [[127] * 3, [127] * 3]], np.uint8)
    table = measure_stains(labels, rgb)
    assert table.eosin_sd_od[0] > 0.02
    assert table.haematoxylin_sd_od[0] == pytest.approx(table.haematoxylin_mean_od[0], rel=1e-3)


def test_no_labels() -> None:
    table = measure_stains(np.zeros((3, 3), np.int32), np.zeros((3, 3, 3), np.uint8))
    assert len(table) == 0
    assert [*table.columns] == [
        "haematoxylin_mean_od",
        "haematoxylin_sd_od",
        "eosin_mean_od",
        "eosin_sd_od",
        "haematoxylin_contrast_od2",
        "haematoxylin_homogeneity",
        "haematoxylin_entropy_bits",
        "haematoxylin_correlation",
    ]


def test_texture_is_haralicks() -> None:
    random = np.random.default_rng(0)
    levels = np.sort(random.integers(0, 20, (12, 9)), axis=0).astype(np.uint8)
    labels = np.zeros((20, 30), np.int32)
    stain = np.full((20, 30), 1.5)
    labels[3:15, 4:13], stain[3:15, 4:13] = 2, levels * 0.05 + 0.02
    labels[3:15, 13:20] = 1  # even, and next to the other
    labels[18, 2] = 3  # a single pixel
    table = measure_texture(labels, stain)
    matrix = sum(
        graycomatrix(levels, [step], [angle], 32, symmetric=True).astype(float)
        for step, angle in ((1, 0), (1, np.pi / 2), (np.sqrt(2), np.pi / 4), (np.sqrt(2), 3 * np.pi / 4))
    )
    share = matrix / matrix.sum()
    for name, scale in (("contrast_od2", 0.05**2), ("homogeneity", 1), ("correlation", 1)):
        expected = graycoprops(share, name.split("_")[0])[0, 0] * scale
        assert table[f"haematoxylin_{name}"][1] == pytest.approx(expected, rel=1e-5)
    held = share[share > 0]
    assert table.haematoxylin_entropy_bits[1] == pytest.approx(-(held * np.log2(held)).sum(), rel=1e-5)
    assert table.iloc[0, :3].tolist() == [0, 1, 0]
    assert np.isnan(table.haematoxylin_correlation[0])
    assert table.iloc[2].isna().all()
