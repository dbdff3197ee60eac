"""Places: does a pointed place hit, and how well do boxes agree. Boxes are (y0, x0, y1, x1), half open."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pointing_hits(pointed: ArrayLike, truth: ArrayLike) -> NDArray[np.bool_]:
    """Return whether the centre of each pointed box (N, 4) lies in any of the true boxes (K, 4), bool (N,).

    The pointing game (Zhang et al., ECCV 2016), with a box's centre as its point.
    """
    boxes, targets = np.asarray(pointed, float).reshape(-1, 4), np.asarray(truth, float).reshape(-1, 4)
    centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    return ((centre >= targets[:, :2]) & (centre < targets[:, 2:])).all(2).any(1)


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each of the boxes ``a`` (N, 4) with each of ``b`` (K, 4), float64 (N, K)."""
    first, second = np.asarray(a, float).reshape(-1, 4)[:, None], np.asarray(b, float).reshape(-1, 4)[None]
    corner = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.maximum(corner, 0).prod(-1)
    areas = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1)
    return np.asarray(shared / (areas - shared))
