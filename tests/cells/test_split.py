"""Touching nuclei."""

from __future__ import annotations

import numpy as np

from napari_hwsi.cells.split import filling, split_touching

from .conftest import ellipse

SHAPE = (60, 90)


def test_an_ellipse_fills_itself() -> None:
    labels = ellipse(SHAPE, (30, 45), (20, 9), 0.7).astype(np.int32)
    area, fill = filling(labels)
    assert area[1] == labels.sum()
    assert fill[1] > 0.99


def test_two_overlapping_discs_are_split_at_the_waist() -> None:
    labels = (ellipse(SHAPE, (30, 30), (10, 10)) | ellipse(SHAPE, (30, 47), (10, 10))).astype(np.int32)
    split, origin = split_touching(labels, 0.5)
    assert split.max() == 2
    assert origin.tolist() == [1, 1]
    assert split[30, 30] != split[30, 47]
    np.testing.assert_array_equal(split > 0, labels > 0)
    first, second = np.bincount(split.ravel())[1:]
    assert abs(first / second - 1) < 0.1


def test_single_nuclei_stay_whole() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[ellipse(SHAPE, (20, 20), (12, 6))] = 1
    labels[ellipse(SHAPE, (40, 60), (7, 20), 0.2)] = 2
    split, origin = split_touching(labels, 0.5)
    np.testing.assert_array_equal(split, labels)
    assert origin.tolist() == [1, 2]


def test_numbers_stay_dense_when_one_of_several_is_split() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[ellipse(SHAPE, (15, 15), (10, 10)) | ellipse(SHAPE, (15, 32), (10, 10))] = 1
    labels[ellipse(SHAPE, (45, 60), (9, 9))] = 2
    split, origin = split_touching(labels, 0.5)
    np.testing.assert_array_equal(np.unique(split), [0, 1, 2, 3])
    assert sorted(origin.tolist()) == [1, 1, 2]
    assert origin[split[45, 60] - 1] == 2
