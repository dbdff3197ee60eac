"""From the maps of the pocket network to nuclei."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from .extremal import component_tree

Floats = NDArray[np.float32]

_NUCLEUS = 0.5  # probability from which a pixel belongs to a nucleus
_STANDS_OUT = 0.12  # height of a maximum of the depth over the saddle to the next: two nuclei
_STEPS = 2  # of depth in that height
_SMOOTH_PX = 1.0
_SMALLEST_UM2 = 12.0
_HOLE_UM2 = 20.0
_LEAST = 0.6  # mean probability of a nucleus


def decode(nucleus: Floats, depth: Floats, pixel_um: float) -> tuple[NDArray[np.int32], Floats]:
    """Return labels int32 (Y, X), 1 to N, and the mean probability of each, (N,).

    nucleus: probability; depth: distance to the own edge as a share of its largest, both (Y, X). Markers are
    the maxima of the smoothed depth that stand out (h-maxima; Soille, Morphological Image Analysis, 2003),
    grown by watershed within the nuclei's pixels.
    """
    mask = _without_holes(nucleus > _NUCLEUS, _HOLE_UM2 / pixel_um**2)
    smooth = ndimage.gaussian_filter(depth, _SMOOTH_PX, truncate=2.5) * mask
    steps = np.clip(np.rint(smooth / (_STANDS_OUT / _STEPS)), 0, 255).astype(np.uint8)
    steps[mask] = np.maximum(steps[mask], 1)
    tree = component_tree(steps, 1)
    if not len(tree):
        return np.zeros(mask.shape, np.int32), np.zeros(0, np.float32)
    summits = tree.summits()
    standing_out = (summits - tree.level == _STEPS).astype(np.float64)
    markers, _ = tree.paint(tree.choose(standing_out))
    labels = watershed(-smooth, markers, mask=mask).astype(np.int32)
    count = int(labels.max(initial=0)) + 1
    area = np.bincount(labels.ravel(), minlength=count)
    mean = np.bincount(labels.ravel(), nucleus.ravel(), count) / np.maximum(area, 1)
    kept = (area >= _SMALLEST_UM2 / pixel_um**2) & (mean >= _LEAST)
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[labels], mean[kept].astype(np.float32)


def _without_holes(mask: NDArray[np.bool_], largest: float) -> NDArray[np.bool_]:
    """Return the mask with holes of up to ``largest`` pixels filled."""
    holes, count = ndimage.label(~mask)
    small = np.bincount(holes.ravel(), minlength=count + 1) <= largest
    small[0] = True
    return small[holes]
