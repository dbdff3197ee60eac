"""Small tools on masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bools = NDArray[np.bool_]
Plane = NDArray[np.float32]

SQUARE: Bools = np.ones((3, 3), bool)
"""Neighbours of a pixel, those by corners included."""


def largest(planes: Plane) -> Plane:
    """Return the largest of the three values of each pixel (much faster than numpy's own over three)."""
    return np.maximum(np.maximum(planes[..., 0], planes[..., 1]), planes[..., 2])


def smallest(planes: Plane) -> Plane:
    """Return the smallest of the three values of each pixel."""
    return np.minimum(np.minimum(planes[..., 0], planes[..., 1]), planes[..., 2])


def drop_small(mask: Bools, pixels: float) -> Bools:
    """Return a mask without its pieces of less than ``pixels``, neighbours by corners not included."""
    labels, _ = ndimage.label(mask)
    large = np.bincount(labels.ravel()) >= pixels
    large[0] = False
    return np.asarray(large[labels])


def grown(seeds: Bools, into: Bools, steps: int) -> Bools:
    """Return seeds spread over ``into``, at most ``steps`` pixels far."""
    if not seeds.any():
        return seeds
    return np.asarray(ndimage.binary_dilation(seeds, SQUARE, iterations=steps, mask=into | seeds))


def outliers_from(values: NDArray[Any], spreads: float, low: float, high: float) -> float:
    """Return the median plus ``spreads`` median absolute deviations, within bounds; low for no values."""
    if not values.size:
        return low
    middle = np.median(values)
    return float(
        np.clip(middle + spreads * np.median(np.abs(values - middle)), min(low, high), max(low, high))
    )
