"""From maps of nuclei and of the distances to their centres to nuclei, each with its type.

The steps and constants are those of HoVer-Net (Graham et al., Medical Image Analysis 58, 2019) as CellViT
uses them, at 20x and at 40x; all nuclei of an image at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import comb
from skimage.segmentation import watershed

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SMALLEST_PX = 10
_EDGE = 0.4
_SOBEL = 21
_SMOOTH = comb(_SOBEL - 1, np.arange(_SOBEL))
_SLOPE = np.convolve(comb(_SOBEL - 2, np.arange(_SOBEL - 1)), [-1, 1])
_BLUR = (0.25, 0.5, 0.25)
_ELLIPSE = np.array([[0, 0, 1, 0, 0], *[[1] * 5] * 3, [0, 0, 1, 0, 0]], bool)


def nuclei_of(
    nucleus: Mask, horizontal: NDArray[np.floating], vertical: NDArray[np.floating]
) -> NDArray[np.int32]:
    """Return the nuclei of an image, int32 (Y, X), 1 to N.

    nucleus: bool (Y, X), which pixels belong to one; horizontal, vertical: (Y, X), distance to the nucleus'
    centre along x and along y. Both are stretched to the image's own range, so a nucleus depends a little on
    what else the image holds.
    """
    nucleus = _at_least(nucleus, _SMALLEST_PX) > 0
    if not nucleus.any():
        return np.zeros(nucleus.shape, np.int32)
    edge = np.maximum(_steepness(horizontal, 1), _steepness(vertical, 0)).astype(np.float64)
    edge = np.maximum(edge - ~nucleus, 0)
    height = (1 - edge) * nucleus
    for axis in (0, 1):
        height = ndimage.correlate1d(height, _BLUR, axis, mode="mirror")
    inside = ndimage.binary_fill_holes(nucleus & ~(edge >= _EDGE))
    inside = ndimage.binary_dilation(ndimage.binary_erosion(inside, _ELLIPSE, border_value=1), _ELLIPSE)
    flooded = watershed(-height, _at_least(inside, _SMALLEST_PX), mask=nucleus)
    numbers = np.bincount(flooded.ravel()) > 0
    numbers[0] = False
    return np.asarray(np.where(numbers, np.cumsum(numbers), 0)[flooded], np.int32)


def types_of(
    labels: NDArray[np.int32], kinds: NDArray[np.integer], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the type of each of N nuclei, uint8 (N,), and the share of its pixels that say so, float32 (N,).

    labels: int32 (Y, X), 1 to N; kinds: (Y, X), one of ``count`` for each pixel, 0 = background. The type is
    what most pixels say, the second most where that is background.
    """
    pixels = np.flatnonzero(labels)
    n = int(labels.max(initial=0))
    vote = (labels.ravel()[pixels].astype(np.int64) - 1) * count + kinds.ravel()[pixels]
    votes = np.bincount(vote, minlength=n * count).reshape(n, count)
    cells, first, second = np.arange(n), votes.argmax(1), votes[:, 1:].argmax(1) + 1
    chosen = np.where((first == 0) & (votes[cells, second] > 0), second, first)
    share = votes[cells, chosen] / np.maximum(votes.sum(1), 1)
    return chosen.astype(np.uint8), share.astype(np.float32)


def _at_least(mask: Mask, pixels: int) -> NDArray[np.int32]:
    """Return the 4-connected pieces of a mask that have so many pixels, int32, not numbered on end."""
    pieces, _ = ndimage.label(mask)
    kept = np.bincount(pieces.ravel()) >= pixels
    kept[0] = False
    return np.where(kept[pieces], pieces, 0).astype(np.int32)


def _steepness(distance: NDArray[np.floating], axis: int) -> NDArray[np.float32]:
    """Return 1 where a distance falls fastest along an axis, 0 where it rises fastest."""
    slope = _stretched(distance).astype(np.float64)
    for along in (1, 0):
        slope = ndimage.correlate1d(slope, _SLOPE if along == axis else _SMOOTH, along, mode="mirror")
    return np.asarray(1 - _stretched(slope), np.float32)


def _stretched(values: NDArray[np.floating]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    return ((values - low) / (high - low if high > low else 1)).astype(np.float32)
