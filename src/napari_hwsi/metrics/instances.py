"""Instance segmentation: how well one label image agrees with another.

All instance scores come from one sparse table of overlaps (:func:`overlaps`), so an
image is passed over once, whatever the number of nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Labels: TypeAlias = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Overlaps:
    """Every pair of a true and a predicted instance that share a pixel.

    ``truth_areas`` (T,) and ``predicted_areas`` (P,) are pixel counts; ``truth`` and
    ``predicted`` (K,) index into them, and ``intersection`` (K,) counts the shared pixels.
    """

    truth_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    intersection: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """Pixels of either instance of each pair, (K,)."""
        return self.truth_areas[self.truth] + self.predicted_areas[self.predicted] - self.intersection

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, (K,)."""
        return self.intersection / self.union


@dataclass(frozen=True)
class Detection:
    """Instances matched and left over at one IoU threshold."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the predicted instances that are matched; 1 where nothing is predicted."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the true instances that are matched; 1 where there are none."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 where neither image holds an instance."""
        matched = 2 * self.true_positives
        return _ratio(matched, matched + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class PanopticQuality:
    """Detection quality ``dq``, segmentation quality ``sq`` (mean IoU of the matches)."""

    dq: float
    sq: float

    @property
    def pq(self) -> float:
        """Panoptic quality, DQ times SQ."""
        return self.dq * self.sq


@dataclass(frozen=True)
class InstanceScores:
    """The usual scores of nucleus segmentation, each from 0 to 1; F1 and its parts at IoU 0.5."""

    f1: float
    precision: float
    recall: float
    dq: float
    sq: float
    pq: float
    aji: float
    dice: float


def overlaps(truth: Labels, predicted: Labels) -> Overlaps:
    """Return the table of overlaps of two label images (Y, X) in which 0 is background.

    Labels need not be consecutive. Raises InputError when the shapes differ or an image
    does not hold whole numbers.
    """
    if truth.shape != predicted.shape:
        raise InputError(f"The label images differ in shape: {truth.shape} and {predicted.shape}.")
    if not (np.issubdtype(truth.dtype, np.integer) and np.issubdtype(predicted.dtype, np.integer)):
        raise InputError(f"Label images hold whole numbers, not {truth.dtype} and {predicted.dtype}.")
    # A leading zero makes background the first label of both, so that it can be dropped by place.
    truth_labels, t = np.unique(np.append(0, truth.ravel()), return_inverse=True)
    predicted_labels, p = np.unique(np.append(0, predicted.ravel()), return_inverse=True)
    if truth_labels[0] < 0 or predicted_labels[0] < 0:
        raise InputError("A label image holds negative numbers; background is 0, instances are 1 and up.")
    pairs, shared = np.unique(t[1:] * np.int64(len(predicted_labels)) + p[1:], return_counts=True)
    rows, columns = np.divmod(pairs, len(predicted_labels))
    both = (rows > 0) & (columns > 0)
    return Overlaps(
        np.bincount(rows, shared, len(truth_labels))[1:].astype(np.int64),
        np.bincount(columns, shared, len(predicted_labels))[1:].astype(np.int64),
        rows[both] - 1,
        columns[both] - 1,
        shared[both].astype(np.int64),
    )


def detection(table: Overlaps, iou: float = 0.5) -> Detection:
    """Match instances whose IoU is above ``iou``.

    From 0.5 on no instance can have two such partners (Kirillov et al., Panoptic
    Segmentation, CVPR 2019, section 4.1), so no assignment has to be solved. Raises
    InputError for a threshold outside [0.5, 1).
    """
    if not 0.5 <= iou < 1:
        raise InputError(f"An IoU threshold of {iou} does not make matches unique; take 0.5 up to below 1.")
    matched = int(np.count_nonzero(table.iou > iou))
    return Detection(matched, len(table.predicted_areas) - matched, len(table.truth_areas) - matched)


def panoptic_quality(table: Overlaps) -> PanopticQuality:
    """Detection and segmentation quality at IoU 0.5 (Kirillov et al., CVPR 2019, equation 1).

    Without a match the segmentation quality is 0, or 1 where neither image holds an instance.
    """
    ious = table.iou[table.iou > 0.5]
    empty = len(table.truth_areas) + len(table.predicted_areas) == 0
    return PanopticQuality(detection(table).f1, float(ious.mean()) if len(ious) else float(empty))


def aggregated_jaccard(table: Overlaps) -> float:
    """Aggregated Jaccard index (Kumar et al., IEEE TMI 2017, algorithm 1).

    Each true instance takes the predicted one of highest IoU; intersections and unions are
    summed, and the predicted instances that nobody took are added to the union.
    """
    best = np.lexsort((table.predicted, -table.iou, table.truth))
    truth, first = np.unique(table.truth[best], return_index=True)
    chosen = best[first]
    unused = np.ones(len(table.predicted_areas), bool)
    unused[table.predicted[chosen]] = False
    missed = np.ones(len(table.truth_areas), bool)
    missed[truth] = False
    union = table.union[chosen].sum() + table.predicted_areas[unused].sum() + table.truth_areas[missed].sum()
    return _ratio(table.intersection[chosen].sum(), union)


def dice(table: Overlaps) -> float:
    """Dice coefficient of the two foregrounds: 2 |A ∩ B| / (|A| + |B|) (Dice 1945)."""
    return _ratio(2 * table.intersection.sum(), table.truth_areas.sum() + table.predicted_areas.sum())


def instance_scores(truth: Labels, predicted: Labels) -> InstanceScores:
    """Return all instance scores of a predicted label image (Y, X) against the true one.

    Raises InputError as :func:`overlaps` does.
    """
    table = overlaps(truth, predicted)
    found, quality = detection(table), panoptic_quality(table)
    return InstanceScores(
        found.f1, found.precision, found.recall, quality.dq, quality.sq, quality.pq,
        aggregated_jaccard(table), dice(table),
    )  # fmt: skip


def typed_instance_scores(
    truth: Labels,
    predicted: Labels,
    truth_types: NDArray[np.integer[Any]],
    predicted_types: NDArray[np.integer[Any]],
) -> dict[int, InstanceScores]:
    """Return the scores of each type present in either image, that type's instances alone.

    ``truth_types[label]`` and ``predicted_types[label]`` are the types of the labels; entry 0
    belongs to the background and is not read. This is the multi-class PQ of Graham et al.
    (HoVer-Net, Medical Image Analysis 2019) before averaging. Raises InputError when a
    label has no type.
    """
    images = []
    for labels, types in ((truth, truth_types), (predicted, predicted_types)):
        if labels.max(initial=0) >= len(types):
            raise InputError(f"Label {labels.max()} has no type: there are {len(types)}, from label 0 on.")
        images.append((labels, np.where(labels > 0, types[labels], -1)))
    (truth, true_type), (predicted, found_type) = images
    present = np.union1d(true_type, found_type)
    return {
        int(kind): instance_scores(truth * (true_type == kind), predicted * (found_type == kind))
        for kind in present[present >= 0]
    }


def _ratio(part: float, whole: float) -> float:
    """Quotient, 1 for nothing out of nothing."""
    return float(part / whole) if whole else 1.0
