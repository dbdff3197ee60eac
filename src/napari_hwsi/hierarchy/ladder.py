"""The four scales of a result as a ladder: the slide, a region, a kept patch of it, a cell of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..units import Box, box_size_um
from .hierarchy import Hierarchy

ScaleName: TypeAlias = Literal["slide", "region", "patch", "cell"]
SCALES: tuple[ScaleName, ...] = ("slide", "region", "patch", "cell")

_BOX = ["y0", "x0", "y1", "x1"]


@dataclass(frozen=True)
class Rung:
    """What is chosen at one scale.

    count: how many there are in what is chosen above; place: the chosen one of them, from 0; box: where it
    lies, level-0 px, None where there is none; size_um: (height, width); mpp: µm/px at which it is read.
    """

    scale: ScaleName
    count: int
    place: int
    box: Box | None
    size_um: tuple[float, float] | None
    mpp: float

    def __str__(self) -> str:
        if self.box is None or self.size_um is None:
            return f"no {self.scale} here"
        which = "" if self.scale == "slide" else f" {self.place + 1:,} of {self.count:,}"
        height, width = self.size_um
        size = f"{height:.3g} x {width:.3g} µm"
        if max(self.size_um) >= 1000:
            size = f"{height / 1000:.1f} x {width / 1000:.1f} mm"
        return f"{self.scale.capitalize()}{which}\n{size}, {self.mpp:.2g} µm/px"


class Ladder:
    """A walk through a result: one choice at each scale, those below begin anew with the first.

    Regions are in their order, adaptive ones where they were grown; the kept patches of a region from the
    most relevant; the cells of a patch from the largest share of CCAF where they are fused, else by size.
    """

    def __init__(self, result: Hierarchy) -> None:
        self.result = result
        self._at: dict[ScaleName, int] = dict.fromkeys(SCALES, 0)

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The four rungs, from the slide down."""
        facts, grid = self.result.slide_facts, self.result.grid
        y0, x0, y1, x1 = facts["bounds"]
        patches, cells = self._patches, self._cell_boxes
        return (
            self._rung("slide", np.array([[y0, x0, y1, x1]]), float(facts["mpp"][0])),
            self._rung("region", self._regions[_BOX].to_numpy(), grid.mpp[0]),
            self._rung("patch", patches[_BOX].to_numpy(), grid.mpp[0]),
            self._rung("cell", cells, float(facts["mpp"][0])),
        )

    def choose(self, scale: ScaleName, place: int) -> Rung:
        """Choose one at a scale, counted round and round, and return its rung."""
        at = SCALES.index(scale)
        count = self.rungs[at].count
        self._at[scale] = place % count if count else 0
        for below in SCALES[at + 1 :]:
            self._at[below] = 0
        for name in ("_patches", "_cell_boxes"):
            if scale != "cell" and not (scale == "patch" and name == "_patches"):
                self.__dict__.pop(name, None)
        return self.rungs[at]

    def step(self, scale: ScaleName, by: int) -> Rung:
        """Choose the next at a scale, or the one before."""
        return self.choose(scale, self._at[scale] + by)

    @cached_property
    def _regions(self) -> pd.DataFrame:
        grown = self.result.adaptive_regions
        if len(grown):
            return grown
        regions = self.result.regions
        return regions[regions["status"] == "done"].reset_index(drop=True)

    @cached_property
    def _patches(self) -> pd.DataFrame:
        kept = self.result.selected_patches
        if not len(self._regions):
            return kept[:0]
        region = self._regions.iloc[self._at["region"]]
        here = kept["region"] == region["region"]
        if "number" in self._regions:
            here &= kept["adaptive"] == region["number"]
        return kept[here]

    @cached_property
    def _cell_boxes(self) -> NDArray[np.int64]:
        if not len(self._patches):
            return np.empty((0, 4), np.int64)
        low, high = np.split(self._patches[_BOX].iloc[self._at["patch"]].to_numpy(), 2)
        if self.result.fuses:
            shares, boxes = self.result.attention("cell", "ccaf")
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            here = np.flatnonzero(((middle >= low) & (middle < high)).all(1))
            if len(here):
                return boxes[here[np.argsort(-shares[here], kind="stable")]]
        cells = self.result.cells_in([*low, *high])
        if not len(cells):
            return np.empty((0, 4), np.int64)
        order = np.argsort(-cells.table["area_um2"].to_numpy(), kind="stable")
        bounds = cells.contours.bounds[order]
        return np.concatenate([np.floor(bounds[:, :2]), np.ceil(bounds[:, 2:])], 1).astype(np.int64)

    def _rung(self, scale: ScaleName, boxes: NDArray[np.int64], mpp: float) -> Rung:
        place = self._at[scale]
        if not len(boxes):
            return Rung(scale, 0, 0, None, None, mpp)
        y0, x0, y1, x1 = (int(side) for side in boxes[place])
        y, x = self.result.slide_facts["mpp"]
        return Rung(scale, len(boxes), place, (y0, x0, y1, x1), box_size_um((y0, x0, y1, x1), (y, x)), mpp)
