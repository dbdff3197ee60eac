"""Artefacts: what on a slide is not tissue fit to be analysed, each kind by its name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .focus import out_of_focus
from .folds import folds
from .overview import Overview
from .pens import pen_marks
from .refraction import refractions
from .thresholds import Thresholds

ARTEFACTS: tuple[str, ...] = ("pen", "out of focus", "fold", "air bubble", "coverslip edge")
"""Names of the kinds; a map of artefacts holds 0 for none and 1 + the position in this tuple."""


def find_artefacts(
    view: Overview, stained: NDArray[np.bool_], given: Thresholds
) -> tuple[NDArray[np.uint8], Thresholds]:
    """Return the map of artefacts, uint8 (y, x), and the thresholds that were used.

    stained: bool (y, x), tissue and whatever else has colour. Where kinds overlap, the first of: pen,
    air bubble, coverslip edge, out of focus, fold is named. On a dark ground none is looked for; where
    the size of a pixel is not known only pens, which are told by colour. What cannot be read is none.
    """
    if not view.bright_field:
        return np.zeros(view.shape, np.uint8), given
    pens, pen, dark, strong = pen_marks(view, stained, given)
    pens = ndimage.binary_dilation(pens, iterations=1) & view.readable
    used = replace(given, pen=pen, pen_dark=dark, pen_strong=strong)
    if not view.sized:
        return np.where(pens, _number("pen"), 0).astype(np.uint8), used
    tissue = stained & ~pens
    bubbles, edges, line = refractions(view, pens | ~view.readable, tissue, given)
    tissue &= ~(bubbles | edges)
    blurred, focus = out_of_focus(view, tissue, given)
    folded, fold = folds(view, tissue & ~blurred, given)
    found = {
        "fold": folded,
        "out of focus": blurred,
        "coverslip edge": edges,
        "air bubble": bubbles,
        "pen": pens,
    }
    kinds = np.zeros(view.shape, np.uint8)
    for name, where in found.items():
        kinds[where & view.readable] = _number(name)
    return kinds, replace(used, focus=focus, fold=fold, line=line)


def _number(name: str) -> int:
    return ARTEFACTS.index(name) + 1
