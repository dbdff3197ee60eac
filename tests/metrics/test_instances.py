"""Scores against examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.metrics import (
    aggregated_jaccard,
    detection,
    dice,
    instance_scores,
    overlaps,
    panoptic_quality,
    typed_instance_scores,
)

# One row of pixels. Truth: 1 has 4 px, 2 has 4 px, 7 has 2 px. Predicted: 3 has 5 px and shares 4 with 1
# (IoU 4/5); 4 has 3 px and shares 2 with 2 (IoU 2/5); 9 has 2 px and shares none. 7 is missed.
TRUTH = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 7, 7, 0, 0]])
FOUND = np.array([[3, 3, 3, 3, 3, 0, 0, 4, 4, 4, 0, 0, 9, 9]])


def test_overlaps_lists_each_touching_pair_once() -> None:
    table = overlaps(TRUTH, FOUND)
    assert table.truth_areas.tolist() == [4, 4, 2]
    assert table.predicted_areas.tolist() == [5, 3, 2]
    assert list(zip(table.truth, table.predicted, table.intersection, strict=True)) == [(0, 0, 4), (1, 1, 2)]
    assert table.iou.tolist() == [4 / 5, 2 / 5]


def test_detection_counts_matches_above_the_threshold() -> None:
    table = overlaps(TRUTH, FOUND)
    found = detection(table)
    assert (found.true_positives, found.false_positives, found.false_negatives) == (1, 2, 2)
    assert found.f1 == pytest.approx(2 / 6)
    assert found.precision == found.recall == pytest.approx(1 / 3)
    assert detection(table, 0.85).true_positives == 0


def test_a_match_needs_more_than_half() -> None:
    half = overlaps(np.array([[1, 1, 1, 0]]), np.array([[0, 1, 1, 1]]))
    assert half.iou.tolist() == [0.5]
    assert detection(half).true_positives == 0


def test_threshold_below_half_is_refused() -> None:
    with pytest.raises(InputError, match="unique"):
        detection(overlaps(TRUTH, FOUND), 0.3)


def test_panoptic_quality_is_detection_times_mean_iou_of_matches() -> None:
    quality = panoptic_quality(overlaps(TRUTH, FOUND))
    assert quality.dq == pytest.approx(1 / 3)
    assert quality.sq == pytest.approx(4 / 5)
    assert quality.pq == pytest.approx(4 / 15)


def test_aggregated_jaccard_adds_what_nobody_took() -> None:
    # intersections 4 + 2; unions 5 + 5, the unused 9 adds 2, the missed 7 adds 2
    assert aggregated_jaccard(overlaps(TRUTH, FOUND)) == pytest.approx(6 / 14)


def test_aggregated_jaccard_takes_the_partner_of_highest_iou() -> None:
    # 1 has 4 px; 5 covers 1 px of it and is 1 px large (IoU 1/4), 6 covers 3 of it and is 5 (IoU 3/6).
    truth = np.array([[1, 1, 1, 1, 0, 0]])
    found = np.array([[5, 6, 6, 6, 6, 6]])
    assert aggregated_jaccard(overlaps(truth, found)) == pytest.approx(3 / (6 + 1))


def test_dice_compares_the_foregrounds() -> None:
    assert dice(overlaps(TRUTH, FOUND)) == pytest.approx(2 * 6 / (10 + 10))


def test_scores_do_not_depend_on_the_numbers_of_the_labels() -> None:
    relabelled = np.array([0, 90, 5, 0, 0, 0, 0, 31])[TRUTH]
    assert instance_scores(relabelled, FOUND * 1000) == instance_scores(TRUTH, FOUND)


def test_empty_images() -> None:
    nothing = np.zeros((3, 4), np.int32)
    assert set(vars(instance_scores(nothing, nothing)).values()) == {1.0}
    missed = instance_scores(np.ones((3, 4), np.int32), nothing)
    assert (missed.f1, missed.recall, missed.pq, missed.aji, missed.dice) == (0, 0, 0, 0, 0)


def test_types_are_scored_apart() -> None:
    truth_types = np.array([0, 1, 2, 0, 0, 0, 0, 2])
    found_types = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 2])
    scores = typed_instance_scores(TRUTH, FOUND, truth_types, found_types)
    assert sorted(scores) == [1, 2]
    # type 1: truth {1}, found {3, 4}; type 2: truth {2, 7}, found {9}
    assert scores[1].f1 == pytest.approx(2 / 3)
    assert scores[1].aji == pytest.approx(4 / (5 + 3))
    assert scores[2].f1 == 0


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "shape"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "whole numbers"),
        (np.full((2, 2), -1), np.zeros((2, 2), int), "negative"),
    ],
)
def test_bad_label_images_are_refused(truth: np.ndarray, found: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        overlaps(truth, found)


def test_a_label_without_a_type_is_refused() -> None:
    with pytest.raises(InputError, match="no type"):
        typed_instance_scores(TRUTH, FOUND, np.zeros(3, int), np.zeros(10, int))
