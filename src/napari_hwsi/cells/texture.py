"""Texture of nuclei: how the haematoxylin of neighbouring pixels goes together."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_STEP_OD, _LEVELS = 0.05, 32  # fixed, so that slides can be compared; beyond 1.6 nothing is told apart
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))


def measure_texture(labels: NDArray[np.integer], haematoxylin: NDArray[np.floating]) -> pd.DataFrame:
    """Return Haralick's measures of each label 1 to N, float32; NaN where a label has no two pixels together.

    labels (Y, X); haematoxylin (Y, X) optical density, counted in 32 levels of 0.05. All pairs of
    adjacent pixels of one label in the four directions stand in one symmetric co-occurrence matrix
    a label (Haralick et al., IEEE Trans SMC 3, 1973). ``haematoxylin_contrast_od2``, the mean squared
    difference; ``haematoxylin_homogeneity``, the inverse difference moment, 1 for an even nucleus;
    ``haematoxylin_entropy_bits``; ``haematoxylin_correlation``, NaN where all pixels are of one level.
    The distance is a pixel: values of different resolutions do not compare.
    """
    count = int(labels.max(initial=0))
    level = np.clip(haematoxylin / _STEP_OD, 0, _LEVELS - 1).astype(np.int64)
    owner, first, second = (np.concatenate(part) for part in zip(*_pairs(labels, level), strict=True))
    pairs = np.bincount(owner, minlength=count)

    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.bincount(owner, values, count) / pairs

    with np.errstate(invalid="ignore", divide="ignore"):
        squared = (first - second) ** 2
        middle = mean((first + second) / 2)
        variance = mean((first**2 + second**2) / 2) - middle**2
        columns = {
            "haematoxylin_contrast_od2": mean(squared * _STEP_OD**2),
            "haematoxylin_homogeneity": mean(1 / (1 + squared)),
            "haematoxylin_entropy_bits": _entropy(owner, first, second, pairs),
            "haematoxylin_correlation": (mean(first * second) - middle**2)
            / np.where(variance > 1e-9, variance, np.nan),
        }
    return pd.DataFrame({name: values.astype(np.float32) for name, values in columns.items()})


def _pairs(
    labels: NDArray[np.integer], level: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Return, for each direction, owner (0 to N − 1) and levels of the adjacent pixels of one label."""
    found = []
    for down, right in _STEPS:
        here = (slice(None, -down or None), slice(max(-right, 0), -right if right > 0 else None))
        there = (slice(down, None), slice(max(right, 0), right if right < 0 else None))
        same = (labels[here] > 0) & (labels[here] == labels[there])
        found.append((labels[here][same].astype(np.int64) - 1, level[here][same], level[there][same]))
    return found


def _entropy(
    owner: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the entropy of each label's symmetric matrix, bits; NaN for one without pairs."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    cells = np.bincount((owner * _LEVELS + low) * _LEVELS + high)
    held = np.flatnonzero(cells)
    label, place = np.divmod(held, _LEVELS**2)
    share = cells[held] / pairs[label]
    twice = place // _LEVELS != place % _LEVELS  # stands in the matrix above and below its diagonal
    bits = np.bincount(label, share * (twice - np.log2(share)), len(pairs))
    return np.where(pairs > 0, bits, np.nan)
