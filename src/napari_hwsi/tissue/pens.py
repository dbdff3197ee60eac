"""Pen marks: ink lies above the section, so it veils the gaps between the structures of tissue too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .overview import Overview
from .shapes import SQUARE, Plane, drop_small, grown, largest, outliers_from, smallest
from .stains import HE_MATRIX
from .thresholds import Thresholds

_BINS = 72  # of hue, 5° each
_FAINT = 0.05  # saturation below which a hue says nothing
_SHARE = 0.03  # of the slide's commonest hue, for a hue to be of its stains
_ENOUGH = 150  # pixels of structure that say what the stains are
_SMALLEST_UM2 = 10_000.0
_RIM_UM = 32.0
_BESIDE_UM = 48.0
_EVEN = 0.06  # texture over veil
_ALIKE = 15.0  # degrees
_BLOOD = 160.0  # degrees


def pen_marks(
    view: Overview, tissue: NDArray[np.bool_], given: Thresholds
) -> tuple[NDArray[np.bool_], float, float, float]:
    """Return where ink is, and the thresholds of pen, pen_dark and pen_strong.

    tissue: bool (y, x), stained pixels. A veil is ink where its hue (of optical densities) is none
    that the structures of this slide are stained in; or it is dark in all channels alike; or, in
    hues the stains have too, where it is saturated beyond what the slide's tissue is, without texture, and
    drawn over the glass (in those of blood it is left: clots are even too). Each grows to its pale rim.
    """
    hue, saturation = _hue(view.veil)
    hue_all, saturation_all = _hue(view.density)
    own = _own_hues(view, view.veil, hue_all, saturation_all)
    own |= _own_hues(view, view.fine_veil, hue_all, saturation_all)  # a small slide may be one even ground
    texture = largest(view.density - view.veil) / (largest(view.veil) + np.float32(0.01))
    grey, deepest = smallest(view.veil), largest(view.veil)
    other = ~tissue & view.readable
    pen = outliers_from(saturation[other], 8, 0.07, 0.12) if given.pen is None else given.pen
    dark = outliers_from(grey[tissue], 8, 0.25, 0.45) if given.pen_dark is None else given.pen_dark
    strong = (
        outliers_from(saturation[tissue & (texture > 0.2)], 6, 0.3, 0.45)
        if given.pen_strong is None
        else given.pen_strong
    )
    foreign = ~own[_bin(hue)]
    even_grey = grey > 0.6 * deepest
    ink = (foreign & (saturation > pen)) | (even_grey & (grey > dark))
    rim = (foreign & (saturation > _FAINT)) | (even_grey & (grey > 0.4 * dark))
    least = view.area(_SMALLEST_UM2)
    marks = grown(drop_small(_solid(ink), least), rim, view.pixels(_RIM_UM))
    even = ~foreign & (saturation > strong) & (ndimage.uniform_filter(texture, 3) < _EVEN)
    even &= ~_blood()[_bin(hue)]
    marks |= _on_glass(view, drop_small(_solid(even), least), hue, saturation)
    return marks, pen, dark, strong


def _hue(density: Plane) -> tuple[Plane, Plane]:
    """Return hue (degrees) and saturation of optical densities: direction and length off the grey axis."""
    red, green, blue = (density[..., c] for c in range(3))
    u, v = red - (green + blue) / 2, np.float32(np.sqrt(0.75)) * (green - blue)
    degrees = np.arctan2(v, u) * np.float32(180 / np.pi)
    return np.where(degrees < 0, degrees + 360, degrees), np.sqrt(u * u + v * v)


def _bin(hue: Plane) -> NDArray[np.uint8]:
    return (hue * (_BINS / 360)).astype(np.uint8) % _BINS


def _own_hues(view: Overview, veil: Plane, hue_all: Plane, saturation_all: Plane) -> NDArray[np.bool_]:
    """Return which hues (bins) the stains of the slide have.

    They are read off the structures: the density above the veil, where it is more than the veil around.
    """
    _, saturation = _hue(veil)
    structure_hue, structure = _hue(view.density - np.minimum(veil, view.density))
    telling = (structure > _FAINT) & (structure > 0.8 * ndimage.maximum_filter(saturation, 7))
    if telling.sum() >= _ENOUGH:
        counts = np.bincount(_bin(structure_hue[telling]), structure[telling], _BINS)
        counts = ndimage.gaussian_filter1d(counts, 1.0, mode="wrap")
        own = counts >= _SHARE * counts.max()
    else:
        # Seen from too far for structure: hues of the textbook's stains, and the commonest one.
        own = _between_stains()
        stained = saturation_all > _FAINT
        if stained.any():
            counts = np.bincount(_bin(hue_all[stained]), minlength=_BINS)
            own[counts.argmax()] = True
    wide = ndimage.binary_dilation(np.tile(own, 3))[_BINS : 2 * _BINS]
    blood = _blood()
    return wide | blood if own[blood].any() else wide


def _blood() -> NDArray[np.bool_]:
    """Return the hues that eosin has in tissue and, stronger and more orange, in erythrocytes."""
    middles = (np.arange(_BINS) + 0.5) * 360 / _BINS
    eosin = float(_hue(HE_MATRIX[1].astype(np.float32))[0])
    return np.asarray((middles > eosin) & (middles < _BLOOD))


def _between_stains() -> NDArray[np.bool_]:
    """Return the hues from haematoxylin to eosin, and 30° to either side."""
    stains = np.sort(_hue(HE_MATRIX.astype(np.float32))[0])
    middles = (np.arange(_BINS) + 0.5) * 360 / _BINS
    return np.asarray((middles > stains[0] - 30) & (middles < stains[1] + 30))


def _solid(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close the pinholes of ink over tissue, and drop what is thinner than a stroke."""
    return ndimage.binary_opening(ndimage.binary_closing(marks, SQUARE), SQUARE)


def _on_glass(view: Overview, even: NDArray[np.bool_], hue: Plane, saturation: Plane) -> NDArray[np.bool_]:
    """Return the pieces that mostly border on glass, and what they run on to over tissue."""
    marks = np.zeros_like(even)
    if not even.any():
        return marks
    labels, count = ndimage.label(even, SQUARE)
    near = ndimage.maximum_filter(labels, 2 * view.pixels(_BESIDE_UM) + 1)
    pale = saturation < 0.5 * saturation[even].min()  # and so no border of the stroke itself
    beside = (near > 0) & pale & view.readable & ~ndimage.binary_dilation(even, SQUARE, iterations=2)
    counts = np.bincount(near[beside], minlength=count + 1)
    bare = np.bincount(near[beside & (view.spread < _FAINT)], minlength=count + 1)
    for number in np.flatnonzero(bare > 0.5 * counts):
        piece = labels == number
        colour, amount = np.median(hue[piece]), np.median(saturation[piece])
        off = np.abs((hue - colour + 180) % 360 - 180)
        marks |= ndimage.binary_propagation(
            piece, mask=piece | ((off < _ALIKE) & (saturation > 0.8 * amount))
        )
    return marks
