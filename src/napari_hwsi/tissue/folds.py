"""Folds: ribbons of tissue in the colour of what lies around, at twice its density."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .overview import Overview
from .shapes import SQUARE, drop_small, outliers_from
from .thresholds import Thresholds

_AROUND_UM = 200.0  # sigma of what counts as around
_SHRINK = 4  # the surroundings are measured so many times coarser
_SAME_COLOUR = 0.98  # cosine of optical densities
_WIDEST_UM = 240.0
_ELONGATED = 4.0  # area over that of the largest circle inside: a square has 1.3, a 1:5 ribbon 6
_GAP_UM, _BESIDE_UM = 16.0, 64.0  # what lies beside begins and ends so far away
_WITHIN = 0.6  # share of it that is tissue
_EVEN = 1.18  # largest over smallest of how many times denser than that it is in each channel
_SMALLEST_UM2 = 8_000.0


def folds(view: Overview, tissue: NDArray[np.bool_], given: Thresholds) -> tuple[NDArray[np.bool_], float]:
    """Return where tissue is folded, and the threshold.

    Beer and Lambert: twice the section has twice the optical density in each channel, so its colour
    stays; crowded nuclei and blood are denser but of another colour than the tissue around them. Of what
    is dense in the same colour, ribbons are kept.
    """
    density = ndimage.uniform_filter(view.density, (3, 3, 1))
    around = _around(view, density, tissue)
    size = np.einsum("yxc,yxc->yx", around, around) + np.float32(1e-6)
    product = np.einsum("yxc,yxc->yx", density, around)
    times = product / size
    same = product > _SAME_COLOUR * np.sqrt(size * np.einsum("yxc,yxc->yx", density, density))
    times[~(same & tissue)] = 0
    width = 2 * view.pixels(_WIDEST_UM / 2) + 1
    times += 1 - np.maximum(ndimage.grey_opening(times, (width, width)), 1)
    threshold = outliers_from(times[times > 0], 4, 1.3, 1.8) if given.fold is None else given.fold
    dense = ndimage.binary_propagation(times > threshold, mask=times > 1 + 0.6 * (threshold - 1))
    dense = ndimage.binary_closing(dense, SQUARE)
    # not a share of a small slide: rows of nuclei are no folds
    dense = drop_small(dense, _SMALLEST_UM2 / view.pixel_um**2)
    return _ribbons(view, dense, tissue, 1 + 0.6 * (threshold - 1)), threshold


def _around(view: Overview, density: NDArray[np.float32], tissue: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean density of the tissue round each pixel, (y, x, 3)."""
    step = _SHRINK if min(view.shape) >= 16 * _SHRINK else 1
    weight = tissue[::step, ::step].astype(np.float32)
    sigma = _AROUND_UM / view.pixel_um / step
    total = ndimage.gaussian_filter(weight, sigma, truncate=2.0) + np.float32(1e-3)
    means = [
        ndimage.gaussian_filter(density[::step, ::step, c] * weight, sigma, truncate=2.0) / total
        for c in range(3)
    ]
    coarse = np.stack(means, -1)
    fine = coarse.repeat(step, 0).repeat(step, 1)
    return np.asarray(fine[: view.shape[0], : view.shape[1]])


def _ribbons(
    view: Overview, dense: NDArray[np.bool_], tissue: NDArray[np.bool_], least: float
) -> NDArray[np.bool_]:
    """Return the pieces that are long, narrow and in tissue, and are what lies beside them, only thicker."""
    labels, count = ndimage.label(dense, SQUARE)
    keep = np.zeros(count + 1, bool)
    gap, reach = view.pixels(_GAP_UM), view.pixels(_BESIDE_UM)
    for index, place in enumerate(ndimage.find_objects(labels), 1):
        place = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in place)
        piece = labels[place] == index
        radius = ndimage.distance_transform_edt(np.pad(piece, 1)).max()
        if 2 * radius * view.pixel_um > _WIDEST_UM:
            continue
        if piece.sum() < _ELONGATED * np.pi * max(radius - 0.5, 0.5) ** 2:
            continue
        near = ndimage.binary_dilation(piece, SQUARE, iterations=gap)
        beside = ndimage.binary_dilation(near, SQUARE, iterations=reach - gap) & ~near & ~dense[place]
        bare = beside & tissue[place]
        if bare.sum() < _WITHIN * beside.sum() or not bare.any():
            continue
        density = view.density[place]
        times = density[piece].mean(0) / np.maximum(density[bare].mean(0), 0.01)
        keep[index] = times.min() > least and times.max() < _EVEN * times.min()
    return np.asarray(keep[labels])
