"""Fields out of focus: fine detail is missing where coarse detail is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .overview import Overview
from .shapes import SQUARE, Plane, drop_small
from .thresholds import Thresholds

_CELL = 8  # pixels of the detail picture
_SPREAD = 2.0  # cells, sigma over which details are gathered
_SMALLEST_UM2 = 40_000.0
_SHARP, _BLURRED = -1.2, -2.5  # log2 ratios no sharp and no blurred tissue passes


def out_of_focus(
    view: Overview, tissue: NDArray[np.bool_], given: Thresholds
) -> tuple[NDArray[np.bool_], float]:
    """Return where tissue is blurred, and the threshold.

    The measure is log2 of the energy of Haar wavelets of the finest scale over that of the scale
    four times as coarse: it does not depend on the contrast of the stain. A picture that was shrunk
    from a sharp one has about as much of both. The threshold lies three deviations below the slide's
    median, within bounds where the picture was shrunk; without these a wholly blurred field shows nothing.
    """
    height, width = (n // _CELL * _CELL for n in view.detail.shape)
    nothing = np.zeros(view.shape, bool), -np.inf if given.focus is None else given.focus
    if not height or not width:
        return nothing
    green = view.detail[:height, :width]
    means, finest = _haar(green.astype(np.float32))
    means, _ = _haar(means)
    means, coarse = _haar(means)
    finest = finest.reshape(height // _CELL, 4, width // _CELL, 4).mean((1, 3))
    inside = _to_cells(view, tissue, means.shape)
    # A lone edge, as that of the tissue, has more coarse than fine energy, however sharp.
    telling = _to_cells(view, ndimage.binary_erosion(tissue, SQUARE, iterations=2), means.shape)
    if not telling.any():
        return nothing
    glass = ~ndimage.binary_dilation(inside, iterations=2) & _to_cells(view, view.readable, means.shape)
    noise = [float(np.percentile(d[glass], 50)) if glass.any() else 0.0 for d in (finest, coarse)]
    fine_energy, coarse_energy = (
        _gathered(np.maximum(d - n, 0), telling) for d, n in zip((finest, coarse), noise, strict=True)
    )
    ratio = np.log2((fine_energy + 0.5) / (coarse_energy + 0.5))
    threshold = given.focus
    if threshold is None:
        middle = np.median(ratio[telling])
        threshold = float(middle - 3 * 1.48 * np.median(np.abs(ratio[telling] - middle)))
        if view.shrunk >= 2:
            threshold = min(max(threshold, _BLURRED), _SHARP)
    blurred = (ratio < threshold) & telling
    blurred = ndimage.binary_propagation(
        ndimage.binary_opening(blurred, SQUARE), mask=(ratio < threshold + 0.5) & inside
    )
    # Sharp detail beside a blurred field is gathered into its border.
    blurred = ndimage.binary_dilation(blurred, SQUARE, mask=(ratio < threshold + 1.2) & inside)
    cells = _SMALLEST_UM2 / (view.pixel_um * _CELL / view.step) ** 2
    blurred = drop_small(ndimage.binary_closing(blurred, SQUARE), max(cells, 9))
    return _from_cells(view, blurred) & tissue, threshold


def _haar(image: Plane) -> tuple[Plane, Plane]:
    """Return the means of 2 x 2 pixels, and the energy of the differences among them."""
    a, b, c, d = image[::2, ::2], image[::2, 1::2], image[1::2, ::2], image[1::2, 1::2]
    energy = (a - b) ** 2 + (c - d) ** 2 + (a - c) ** 2 + (b - d) ** 2
    return (a + b + c + d) * np.float32(0.25), energy


def _gathered(energy: Plane, inside: NDArray[np.bool_]) -> Plane:
    weight = ndimage.gaussian_filter(inside.astype(np.float32), _SPREAD)
    return np.asarray(ndimage.gaussian_filter(energy * inside, _SPREAD) / (weight + 1e-3))


def _to_cells(view: Overview, mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * _CELL / view.step).astype(int), limit - 1)
        for n, limit in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _from_cells(view: Overview, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * view.step / _CELL).astype(int), limit - 1)
        for n, limit in zip(view.shape, cells.shape, strict=True)
    )
    return cells[np.ix_(rows, columns)]
