"""Scores of places of a slide, and the grid of pixels that shows them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ...errors import InputError
from ...units import Mpp
from ..evidence import SCALES, ScaleName

Values: TypeAlias = Literal["raw", "percentile"]

CELL_STEP_UM = 8.0
"""Cells are shown by pixels of this side; larger units by pixels as large as the distance between them."""

_BLOCK = 256  # rows of pixels made at a time
_UNEVEN = 0.1  # of the usual distance; rounding to whole pixels leaves less
_SLIVER = 0.05  # of a pixel: what rounding to whole level-0 pixels leaves at the far end


@dataclass(frozen=True, eq=False)
class ScoreMap:
    """Scores of the units of one scale.

    name: what the map is called; kind: where the scores come from, as 'filter'; scores: float32
    (N,), NaN where a unit has none; boxes: int64 (N, 4), (y0, x0, y1, x1) of each in level-0 px;
    shape: (Y, X) of the slide, level-0 px; mpp: (y, x) µm per level-0 px; values: 'raw', or 'percentile'
    where ``scores`` are ranks among the units, 0 to 100.
    Raises InputError for boxes and scores that do not belong together, or an unknown scale.
    """

    name: str
    scale: ScaleName
    kind: str
    scores: NDArray[np.float32]
    boxes: NDArray[np.int64]
    shape: tuple[int, int]
    mpp: Mpp
    values: Values = "raw"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise InputError(f"The scale of a map is one of {', '.join(SCALES)}, not {self.scale!r}.")
        if self.scores.ndim != 1 or self.boxes.shape != (len(self.scores), 4):
            raise InputError(
                f"A map has one box (y0, x0, y1, x1) a score, not {self.boxes.shape} for {self.scores.shape}."
            )

    def percentiles(self) -> ScoreMap:
        """Return the map with percentiles among the units for scores; equal scores share one."""
        if self.values == "percentile":
            return self
        known = np.isfinite(self.scores)
        out = np.full(len(self.scores), np.nan, np.float32)
        n = int(known.sum())
        if n:
            ranks = rankdata(self.scores[known], "average")
            out[known] = 100 * (ranks - 1) / (n - 1) if n > 1 else 100
        return replace(self, scores=out, values="percentile")

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest score, or 0 and 1 where there is none; different from each other."""
        if self.values == "percentile":
            return 0.0, 100.0
        known = self.scores[np.isfinite(self.scores)]
        if not len(known):
            return 0.0, 1.0
        low, high = float(known.min()), float(known.max())
        return (low, high) if high > low else (low, low + (abs(low) or 1.0))

    @cached_property
    def grid(self) -> Pixels:
        """The pixels that show it on its own."""
        return pixels_for([self])

    def raster(self, grid: Pixels | None = None) -> NDArray[np.float32]:
        """Return the whole map on ``grid``, its own where None: float32 (Y, X), NaN where no unit lies."""
        return np.concatenate(list(self.blocks(grid)), 0)

    def blocks(self, grid: Pixels | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield the map in blocks of rows, from the top: float32 (h, X), at most 256 rows each.

        A pixel has the score of the unit that its middle lies in, the mean of all where units overlap; a unit
        too small to hold the middle of a pixel counts for the one that holds its own.
        """
        at = self.grid if grid is None else grid
        known = np.isfinite(self.scores)
        spans = at.spans(self.boxes[known])
        order = np.argsort(spans[:, 0], kind="stable")
        spans, scores = spans[order], self.scores[known][order].astype(np.float64)
        tallest = int((spans[:, 2] - spans[:, 0]).max(initial=0))
        height, width = at.shape
        for top in range(0, height, _BLOCK):
            rows = min(_BLOCK, height - top)
            first = np.searchsorted(spans[:, 0], top - tallest, "left")
            last = np.searchsorted(spans[:, 0], top + rows, "left")
            yield _mean(spans[first:last], scores[first:last], top, rows, width)


def _mean(
    spans: NDArray[np.int64], scores: NDArray[np.float64], top: int, rows: int, width: int
) -> NDArray[np.float32]:
    """Return the mean score at each pixel of some rows, by running sums over the corners of the spans."""
    total, count = np.zeros((rows + 1, width + 1)), np.zeros((rows + 1, width + 1), np.int64)
    y0, y1 = (np.clip(spans[:, i] - top, 0, rows) for i in (0, 2))
    x0, x1 = (np.clip(spans[:, i], 0, width) for i in (1, 3))
    single = (y1 - y0 == 1) & (x1 - x0 == 1)
    for y, x, sign in ((y0, x0, 1), (y0, x1, -1), (y1, x0, -1), (y1, x1, 1)):
        np.add.at(total, (y[~single], x[~single]), sign * scores[~single])
        np.add.at(count, (y[~single], x[~single]), sign)
    total, count = total.cumsum(0).cumsum(1), count.cumsum(0).cumsum(1)
    np.add.at(total, (y0[single], x0[single]), scores[single])
    np.add.at(count, (y0[single], x0[single]), 1)
    total, count = total[:rows, :width], count[:rows, :width]
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean.astype(np.float32)


@dataclass(frozen=True)
class Pixels:
    """A grid of square pixels over a slide.

    origin: (y, x) level-0 px of its corner; step: (y, x) level-0 px per pixel; shape: (Y, X) pixels.
    """

    origin: tuple[float, float]
    step: tuple[float, float]
    shape: tuple[int, int]

    def spans(self, boxes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pixels of boxes (N, 4) in level-0 px: (y0, x0, y1, x1), half open, at least one each."""
        out = np.empty((len(boxes), 4), np.int64)
        for axis in (0, 1):
            low, high = ((boxes[:, axis + k] - self.origin[axis]) / self.step[axis] for k in (0, 2))
            first, last = np.ceil(low - 0.5), np.ceil(high - 0.5)
            middle = np.floor((low + high) / 2)
            empty = first >= last
            out[:, axis] = np.clip(np.where(empty, middle, first), 0, self.shape[axis] - 1)
            out[:, axis + 2] = np.clip(np.where(empty, middle + 1, last), 1, self.shape[axis])
        return out


def pixels_for(maps: Sequence[ScoreMap], step_um: float | None = None) -> Pixels:
    """Return one grid that shows every unit of some maps of one slide.

    It begins at the slide's first unit. step_um: µm per pixel; by default as large as the smallest distance
    between units of one scale, 8 µm for cells. Raises InputError for no map, maps of several slides, or a
    step that is not a positive number.
    """
    if not maps or not any(len(one.scores) for one in maps):
        raise InputError("There is nothing to show: no unit of any scale has a score.")
    first = maps[0]
    if any(one.shape != first.shape or one.mpp != first.mpp for one in maps):
        raise InputError("These maps are of several slides. Show those of one.")
    if step_um is not None and not (math.isfinite(step_um) and step_um > 0):
        raise InputError(f"The pixels of a map have a positive size in µm, not {step_um}.")
    um = step_um or min(_distance_um(one) for one in maps if len(one.scores))
    step = um / first.mpp[0], um / first.mpp[1]
    boxes = np.concatenate([one.boxes for one in maps])
    origin = float(boxes[:, 0].min()), float(boxes[:, 1].min())
    ends = boxes[:, 2].max(), boxes[:, 3].max()
    y, x = (
        max(1, math.ceil((end - start) / size - _SLIVER))
        for end, start, size in zip(ends, origin, step, strict=True)
    )
    return Pixels(origin, step, (y, x))


def _distance_um(one: ScoreMap) -> float:
    """Return the usual distance between neighbouring units, µm, from places rounded to whole pixels."""
    if one.scale == "cell":
        return CELL_STEP_UM
    least = np.inf
    for axis in (0, 1):
        starts = np.unique(one.boxes[:, axis])
        gaps = starts[1:] - starts[:-1] if len(starts) > 1 else one.boxes[:, axis + 2] - one.boxes[:, axis]
        middle = np.sort(gaps)[len(gaps) // 2]
        usual = float(gaps[np.abs(gaps - middle) <= 1].mean())
        if (np.abs(gaps / usual - np.rint(gaps / usual)) > _UNEVEN).any():
            return CELL_STEP_UM  # some were cut, as at the edge of a view: no coarser grid holds them all
        least = min(least, usual * one.mpp[axis])
    return max(least, CELL_STEP_UM)
