"""Touching nuclei taken apart where their outline is waisted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from .extremal import component_tree

_ELLIPTIC = 0.97  # objects that fill their ellipse this well are single
_GAIN = 0.01  # the pieces must fill theirs better by this
_DOUBLE_UM2 = 30.0  # smaller objects are single
_PIECE_UM2 = 15.0
_WAIST_UM = 0.18  # depth of the waist between two distance maxima
_SMOOTH_UM = 0.5
_STEPS = 2  # of distance in that depth


def filling(labels: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return area in px, and how well each label fills the ellipse of its second moments, from 0 to 1.

    Both (N + 1,), entry 0 for the background. An ellipse gives 1, a waist or a bay less.
    """
    pixels = np.flatnonzero(labels)
    owner, count = labels.ravel()[pixels], int(labels.max(initial=0)) + 1
    area = np.bincount(owner, minlength=count).astype(np.float64)
    safe = np.maximum(area, 1)
    place = [part.astype(np.float64) for part in np.divmod(pixels, labels.shape[1])]
    dy, dx = (part - (np.bincount(owner, part, count) / safe)[owner] for part in place)
    # A pixel is a square, not a point: 1/12 of variance is its own.
    yy, xx = (np.bincount(owner, d * d, count) / safe + 1 / 12 for d in (dy, dx))
    yx = np.bincount(owner, dy * dx, count) / safe
    return area, area / (4 * np.pi * np.sqrt(np.maximum(yy * xx - yx * yx, 1 / 144)))


def split_touching(labels: NDArray[np.int32], pixel_um: float) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Split labels at the waists of their distance transform where the pieces are rounder.

    Markers are the maxima of the smoothed distance to the label's edge that stand out by
    0.18 µm (h-maxima; Soille, Morphological Image Analysis, 2003), grown by watershed.
    labels: int32 (Y, X), 1 to N; pixel_um: µm per pixel. Returns labels 1 to M, and for each
    the label it comes from, (M,).
    """
    area, fill = filling(labels)
    waisted = (fill < _ELLIPTIC) & (area > _DOUBLE_UM2 / pixel_um**2)
    waisted[0] = False
    mask = waisted[labels]
    if not mask.any():
        return labels, np.arange(1, len(area))
    distance = ndimage.distance_transform_edt(~_borders(labels)) * mask
    distance = ndimage.gaussian_filter(distance, _SMOOTH_UM / pixel_um)
    steps = np.minimum(np.rint(distance / (_WAIST_UM / _STEPS / pixel_um)), 255).astype(np.uint8)
    tree = component_tree(steps, 1)
    # The h-maxima: nodes whose summit stands h above them; none of these lies in another.
    standing_out = (tree.summits() - tree.level == _STEPS).astype(np.float64)
    markers, _ = tree.paint(tree.choose(standing_out))
    pieces = watershed(-distance, markers, mask=mask).astype(np.int32)
    piece_area, piece_fill = filling(pieces)
    whole = np.zeros(len(piece_area), np.int64)
    whole[pieces.ravel()] = labels.ravel()
    whole[0] = 0
    pieces_area = np.maximum(np.bincount(whole, piece_area, len(area)), 1)
    pieces_fill = np.bincount(whole, piece_fill * piece_area, len(area)) / pieces_area
    smallest = np.full(len(area), np.inf)
    np.minimum.at(smallest, whole[1:], piece_area[1:])
    better = waisted & (pieces_fill > fill + _GAIN) & (smallest >= _PIECE_UM2 / pixel_um**2)
    apart = np.where(better[labels] & (pieces > 0), pieces + len(area) - 1, labels)
    used = np.bincount(apart.ravel(), minlength=len(area) + len(piece_area) - 1) > 0
    used[0] = False
    origin = np.concatenate([np.arange(len(area)), whole[1:]])[used]
    return np.where(used, np.cumsum(used), 0).astype(np.int32)[apart], origin


def _borders(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the pixels on either side of a change of label."""
    border = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        change = np.diff(labels, axis=axis) != 0
        first, second = (slice(None, -1), slice(1, None))
        border[first if axis == 0 else (slice(None), first)] |= change
        border[second if axis == 0 else (slice(None), second)] |= change
    return border
