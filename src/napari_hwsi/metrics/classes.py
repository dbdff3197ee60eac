"""Classification: scores of true and predicted classes, and of probabilities.

Classes are any values that compare equal; predictions may hold values that are no class, such as an
answer in a wrong format, and these are wrong. All come from counts, so that they are quick enough for a
thousand bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ..errors import InputError


def balanced_accuracy(truth: Sequence[Any] | NDArray[Any], predicted: Sequence[Any] | NDArray[Any]) -> float:
    """Mean over the true classes of the share of each that is found (Brodersen et al., ICPR 2010)."""
    present, counts, right, _ = _counts(truth, predicted)
    return float((right / counts).mean()) if len(present) else float("nan")


def weighted_f1(truth: Sequence[Any] | NDArray[Any], predicted: Sequence[Any] | NDArray[Any]) -> float:
    """F1 of each true class, 2 TP / (2 TP + FP + FN), averaged by how often the class is true."""
    present, counts, right, claimed = _counts(truth, predicted)
    return float((counts * 2 * right / (counts + claimed)).sum() / counts.sum()) if len(present) else np.nan


def _counts(truth: Any, predicted: Any) -> tuple[NDArray[Any], ...]:
    """Return the classes that are true, and of each: cases, cases that are found, times it is claimed."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise InputError(
            f"{len(truth)} true classes and {len(predicted)} predicted ones do not belong together."
        )
    present, numbers, counts = np.unique(truth, return_inverse=True, return_counts=True)
    right = np.bincount(numbers, truth == predicted, len(present))
    claimed = np.array([np.count_nonzero(predicted == one) for one in present])
    return present, counts, right, claimed


def quadratic_kappa(truth: ArrayLike, predicted: ArrayLike, classes: int) -> float:
    """Agreement beyond chance of ordered classes, disagreements weighed by their square (Cohen 1968).

    truth and predicted: whole numbers (N,) from 0 to ``classes`` − 1. NaN where chance alone would agree
    fully: one class only. Raises InputError for a number outside.
    """
    t, p = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if t.shape != p.shape or (len(t) and not (0 <= min(t.min(), p.min()) <= max(t.max(), p.max()) < classes)):
        raise InputError(
            f"Ordered classes are whole numbers from 0 to {classes - 1}, as many true as predicted."
        )
    seen = np.bincount(t * classes + p, minlength=classes**2).reshape(classes, classes)
    chance = np.outer(seen.sum(1), seen.sum(0)) / max(1, len(t))
    weight = np.square(np.subtract.outer(np.arange(classes), np.arange(classes)))
    expected = (weight * chance).sum()
    return float(1 - (weight * seen).sum() / expected) if expected else float("nan")


def area_under_curve(positive: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    positive: bool (N,); score: (N,). NaN where one of the two is absent (Hanley & McNeil 1982).
    """
    yes, ranks = np.asarray(positive, bool), rankdata(np.asarray(score, np.float64))
    n, m = np.count_nonzero(yes), np.count_nonzero(~yes)
    return float((ranks[yes].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error (Guo et al., ICML 2017, equation 3).

    probabilities: (N, C), rows sum to one; truth: class numbers (N,). The confidence in the likeliest
    class, in ``bins`` of equal width, against how often it is right, weighed by the cases of a bin.
    """
    p, t = np.asarray(probabilities, np.float64), np.asarray(truth)
    sure, right = p.max(1), p.argmax(1) == t
    place = np.minimum((sure * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, sure - right, bins)
    return float(np.abs(gap).sum() / len(t))
