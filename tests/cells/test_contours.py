"""Outlines: traced, drawn, measured."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from skimage.draw import polygon2mask

from napari_hwsi.cells.contours import Contours, concatenate, draw, moments, perimeters, trace
from napari_hwsi.errors import InputError

from .conftest import Piece, ellipse

SQUARE = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], np.float32)


def test_tracing_and_drawing_give_the_labels_back(tissue_piece: Piece) -> None:
    outlines = trace(tissue_piece.truth)
    drawn = draw(outlines, tissue_piece.truth.shape)
    assert len(outlines) == tissue_piece.truth.max()
    assert (drawn == tissue_piece.truth).mean() > 0.999


def test_outlines_are_valid_polygons_of_the_right_size(tissue_piece: Piece) -> None:
    outlines = trace(tissue_piece.truth)
    pixels = np.bincount(tissue_piece.truth.ravel())[1:]
    polygons = outlines.polygons()
    large = pixels > 30
    assert shapely.is_valid(polygons[large]).all()
    np.testing.assert_allclose(moments(outlines)[0][large], pixels[large], rtol=0.08)
    np.testing.assert_allclose(shapely.area(polygons), moments(outlines)[0], rtol=1e-4)
    np.testing.assert_allclose(shapely.length(polygons), perimeters(outlines), rtol=1e-4)


def test_touching_labels_keep_apart() -> None:
    labels = (
        np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]], np.int32).repeat(5, 0).repeat(5, 1)
    )
    np.testing.assert_array_equal(draw(trace(labels), labels.shape), labels)


def test_a_label_of_pieces_keeps_the_largest_and_loses_its_hole() -> None:
    labels = np.zeros((30, 40), np.int32)
    labels[2:14, 2:14] = 1
    labels[6:9, 6:9] = 0
    labels[14:18, 14:18] = 1  # touches in a corner only: another piece
    drawn = draw(trace(labels), labels.shape)
    assert drawn[7, 7] == 1
    assert drawn[15:, 15:].sum() == 0


def test_a_missing_label_is_an_error() -> None:
    with pytest.raises(InputError, match="only 1 of them"):
        trace(np.array([[0, 2], [0, 2]], np.int32))


def test_no_labels_give_no_outlines() -> None:
    outlines = trace(np.zeros((5, 5), np.int32))
    assert len(outlines) == 0
    assert outlines.bounds.shape == (0, 4)
    assert draw(outlines, (5, 5)).sum() == 0


def test_moments_of_a_rectangle() -> None:
    area, centroid, covariance = moments(Contours.of([np.array([[1, 2], [1, 8], [4, 8], [4, 2]])]))
    assert area.tolist() == [18]
    assert centroid.tolist() == [[2.5, 5]]
    np.testing.assert_allclose(covariance, [[3**2 / 12, 6**2 / 12, 0]], atol=1e-9)


def test_moments_are_exact_far_from_the_origin() -> None:
    near, far = Contours.of([SQUARE]), Contours.of([SQUARE + 90_000])
    np.testing.assert_allclose(moments(far)[2], moments(near)[2])


def test_a_traced_ellipse_has_its_axes() -> None:
    labels = ellipse((80, 80), (40, 40), (20, 10), 0.5).astype(np.int32)
    _, centroid, covariance = moments(trace(labels))
    yy, xx, yx = covariance[0]
    major, minor = np.sqrt(np.linalg.eigvalsh([[yy, yx], [yx, xx]])[::-1]) * 2
    np.testing.assert_allclose([major, minor], [20, 10], rtol=0.02)
    np.testing.assert_allclose(centroid, [[40, 40]], atol=0.1)


def test_a_sequence_of_open_float32_rings() -> None:
    closed = np.vstack([SQUARE, SQUARE[:1]])
    outlines = Contours.of([closed, SQUARE + 10, SQUARE + 20])
    assert len(outlines) == 3
    assert outlines[0].dtype == np.float32
    np.testing.assert_array_equal(outlines[0], SQUARE)
    np.testing.assert_array_equal(outlines[-1], SQUARE + 20)
    assert [ring[0, 0] for ring in outlines[::-1]] == [20, 10, 0]
    with pytest.raises(IndexError):
        outlines[3]
    np.testing.assert_array_equal(concatenate([outlines, outlines])[5], SQUARE + 20)
    np.testing.assert_array_equal(outlines.bounds[1], [10, 10, 14, 14])


def test_rings_of_two_points_are_refused() -> None:
    with pytest.raises(InputError, match="at least 3"):
        Contours.of([SQUARE[:2]])


def test_overlapping_and_cut_outlines_are_drawn_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    turn = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    rings = [rng.uniform(0, 90, 2) + spiky(turn, rng) for _ in range(60)]
    expected = np.zeros((80, 70), np.int32)
    for number, ring in enumerate(rings, start=1):
        expected[polygon2mask((200, 200), ring + 60 - 0.5)[60:140, 60:130]] = number
    np.testing.assert_array_equal(draw(Contours.of(rings), (80, 70)), expected)


def spiky(turn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([np.sin(turn), np.cos(turn)], 1) * rng.uniform(3, 11, (len(turn), 1))
