"""A picture of a whole slide, put together from pieces of its file."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate, product

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress, Step
from ..slides import RGB, Slide

_PICTURE_PX = 1024
_KEPT_PX = 8192
_LOOK_S = 0.5


def overview(slide: Slide, progress: Progress, show: Callable[[RGB], None]) -> RGB:
    """Return the whole slide, (h, w, 3), at most 1024 px a side; what cannot be read is hatched.

    It is the mean of the coarsest level of the file that is fine enough, read piece by piece in the
    thread of the caller, so that the pixels of a view get their turn. ``progress`` is called before
    each piece, ``show`` with what there is so far, now and then and at the end; what is not read
    yet has the background's colour. Raises SlideError where the file stops answering.
    """
    fine = [i for i, shape in enumerate(slide.level_shapes) if max(shape) >= _PICTURE_PX]
    level = fine[-1] if fine else 0
    height, width = slide.level_shapes[level]
    ratio = max(max(height, width) / _PICTURE_PX, 1.0)
    size = (max(1, round(height / ratio)), max(1, round(width / ratio)))
    sums, counts = np.zeros((*size, 3)), np.zeros((*size, 1))
    pieces = list(product(*(_spans(slide, level, axis) for axis in (0, 1))))
    shown = time.monotonic()
    for done, ((y0, y1), (x0, x1)) in enumerate(pieces):
        progress(Step(done, len(pieces), "pieces of the overview"))
        pixels = _piece(slide, level, y0, y1, x0, x1)
        (rows, tops), (columns, lefts) = _bins(y0, y1, size[0], height), _bins(x0, x1, size[1], width)
        place = np.ix_(rows, columns)
        sums[place] += np.add.reduceat(np.add.reduceat(pixels, tops, 0, np.uint32), lefts, 1)
        shares = np.outer(np.diff(tops, append=y1 - y0), np.diff(lefts, append=x1 - x0))
        counts[place] += shares[..., None]
        if time.monotonic() - shown > _LOOK_S:
            shown = time.monotonic()
            show(_mean(sums, counts, slide.background))
    picture = _mean(sums, counts, slide.background)
    show(picture)
    return picture


def _piece(slide: Slide, level: int, y0: int, y1: int, x0: int, x1: int) -> RGB:
    lazy = slide.lazy_levels[level]
    if max(lazy.extent) <= _KEPT_PX:
        return lazy.window(y0, y1, x0, x1)
    # Not through the tile cache: a large level would drive out what the viewer draws.
    down, across = slide.level_downsamples[level]
    return slide.read_masked((round(y0 * down), round(x0 * across)), (y1 - y0, x1 - x0), level=level)[0]


def _spans(slide: Slide, level: int, axis: int) -> list[tuple[int, int]]:
    """Return [start, stop) of the level's chunks along an axis, ended where its pixels end."""
    lazy = slide.lazy_levels[level]
    stops = list(accumulate(lazy.chunks[axis]))
    ends = [min(stop, lazy.extent[axis]) for stop in stops]
    return [(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True) if a < b]


def _bins(start: int, stop: int, bins: int, length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which of ``bins`` the pixels [start, stop) of ``length`` fall in, and where each begins."""
    index = np.arange(start, stop) * bins // length
    first = np.flatnonzero(np.diff(index, prepend=-1))
    return index[first], first


def _mean(sums: NDArray[np.float64], counts: NDArray[np.float64], background: tuple[int, int, int]) -> RGB:
    mean = np.where(counts > 0, sums / np.maximum(counts, 1), background)
    return np.rint(mean).astype(np.uint8)
