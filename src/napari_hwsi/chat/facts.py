"""What can be measured in a part of a slide. Everything here is computed, nothing generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..errors import InputError
from ..hierarchy import Hierarchy
from ..hierarchy.cell_arrays import TABLE, arrays_from_cells
from ..tissue import TissueMask
from ..units import Box, Mpp, as_box, box_size_um, intersect
from .places import SIDE_UM, Place, extreme_places

AREA, DIAMETER, PERIMETER = "area_um2", "equivalent_diameter_um", "perimeter_um"
STAIN, EOSIN = "haematoxylin_mean_od", "eosin_mean_od"
"""Columns of the cell table that are summed up, and two more that are worked out here:"""
ELONGATION, SPACING = "elongation", "nearest_um"

Columns: TypeAlias = Callable[[str], NDArray[Any] | None]

_NEAR_UM = 200.0  # the nearest neighbour of a nucleus at the edge is looked for this far outside


@dataclass(frozen=True)
class Spread:
    """How one measurement of ``n`` nuclei is spread: median, lower and upper quartile; and their total."""

    n: int
    median: float
    low: float
    high: float
    total: float


@dataclass(frozen=True)
class Nucleus:
    """One nucleus. box: its bounding box within the view, level-0 px."""

    box: Box
    area_um2: float


@dataclass(frozen=True)
class PatchPlace:
    """One patch. box: its part in the view, level-0 px; score: what it was ranked by."""

    box: Box
    score: float
    region: int
    patch: int


@dataclass(frozen=True)
class Patches:
    """Patches that meet the view: all of them, those with tissue enough to take part, those kept."""

    n: int
    n_valid: int
    n_kept: int
    kept: tuple[PatchPlace, ...]


@dataclass(frozen=True)
class Scene:
    """The measurements of one box.

    mpp: (y, x) µm per level-0 px; centroids: (N, 2) of the nuclei in the half-open box, level-0 px,
    and near: (M, 2) of all in and round it; column: one column of these N nuclei, named as by
    :meth:`Hierarchy.cell_column`, None where the result does not hold it; area_mm2: of the box;
    tissue_mm2: tissue in it, of which analysed_mm2 is analysed.
    """

    box: Box
    mpp: Mpp
    centroids: NDArray[np.float32]
    near: NDArray[np.float32]
    column: Columns
    type_names: tuple[str, ...]
    area_mm2: float
    tissue_mm2: float
    analysed_mm2: float

    @property
    def n_nuclei(self) -> int:
        """Number of nuclei."""
        return len(self.centroids)

    @property
    def per_mm2(self) -> float | None:
        """Nuclei per mm² of analysed tissue, None where there is none."""
        return self.n_nuclei / self.analysed_mm2 if self.analysed_mm2 > 0 else None

    @property
    def typed(self) -> bool:
        """Whether types of nuclei were told apart."""
        return len(self.type_names) > 1

    @cached_property
    def types(self) -> Mapping[str, int]:
        """Number of nuclei of each type."""
        types = self.column("types")
        assert types is not None  # all cells have one
        counts = np.bincount(types, minlength=len(self.type_names))
        return dict(zip(self.type_names, counts.tolist(), strict=True))

    @cached_property
    def nearest_um(self) -> NDArray[np.float64]:
        """Distance of each nucleus to the nearest other one, µm; NaN where there is none."""
        if len(self.near) < 2 or not self.n_nuclei:
            return np.full(self.n_nuclei, np.nan)
        tree = cKDTree(self.near * np.asarray(self.mpp))
        distances, _ = tree.query(self.centroids * np.asarray(self.mpp), k=2, workers=-1)
        return np.asarray(distances)[:, 1]

    def spread(self, measure: str) -> Spread | None:
        """Return the spread of a column of the cell table, or of ELONGATION or SPACING.

        None where the result does not hold it, or there is no nucleus.
        """
        if measure == SPACING:
            values: NDArray[Any] | None = self.nearest_um
        elif measure == ELONGATION:
            long, short = self.column(f"{TABLE}major_axis_um"), self.column(f"{TABLE}minor_axis_um")
            with np.errstate(divide="ignore", invalid="ignore"):  # a line has no width
                values = None if long is None or short is None else long / short
        else:
            values = self.column(TABLE + measure)
        if values is None:
            return None
        values = values[np.isfinite(values)].astype(np.float64)
        if not len(values):
            return None
        low, median, high = np.percentile(values, (25, 50, 75))
        return Spread(len(values), float(median), float(low), float(high), float(values.sum()))


@dataclass(frozen=True)
class Facts:
    """The facts of a view, each computed when it is first looked at; made by :func:`measure`.

    box: the view, level-0 px; whole: it is the whole slide, of which what is analysed counts;
    without: a place in which nothing counts, as if it were glass.
    """

    result: Hierarchy
    box: Box
    whole: bool
    without: Box | None = None

    @property
    def name(self) -> str:
        """What sentences about what is analysed call the view."""
        if not self.whole:
            return "this view"
        if self.part is None:
            return "the analysed slide"
        return f"the analysed part ({share(self.part)} of the tissue)"

    @property
    def place(self) -> str:
        """What sentences about all of it call the view."""
        return "the slide" if self.whole else "this view"

    @property
    def part(self) -> float | None:
        """The share of the tissue of the view that is analysed, None where it is all."""
        view = self.view
        return view.analysed_mm2 / view.tissue_mm2 if view.analysed_mm2 < 0.995 * view.tissue_mm2 else None

    @property
    def nothing_analysed(self) -> bool:
        """Whether the view is the slide, and no part of any of its regions is analysed."""
        return self.whole and not self.result.regions[["patches", "cells"]].to_numpy().any()

    @cached_property
    def analysed_box(self) -> Box | None:
        """The common box of the regions of the slide whose cells are done, level-0 px."""
        boxes = self._done_boxes
        if not len(boxes):
            return None
        around = (*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist())
        return intersect(as_box(around), self.result.grid.extent)

    @property
    def mpp(self) -> Mpp:
        """(y, x) µm per level-0 pixel."""
        y, x = self.result.slide_facts["mpp"]
        return y, x

    @property
    def phrases(self) -> tuple[str, ...]:
        """What patches were scored by."""
        return self.result.phrases

    @cached_property
    def view(self) -> Scene:
        """The measurements of the view."""
        return self._scene(self.box)

    @cached_property
    def slide(self) -> Scene:
        """The same of all that is analysed of the slide, to compare with."""
        return self.view if self.whole else self._scene(self.result.grid.extent)

    @property
    def densest(self) -> tuple[Place, ...]:
        """Up to three places of 128 x 128 µm with the most nuclei, densest first."""
        return self._extreme_places[0]

    @property
    def sparsest(self) -> tuple[Place, ...]:
        """Up to three places of 128 x 128 µm that are mostly tissue, those with fewest nuclei first."""
        return self._extreme_places[1]

    @property
    def largest(self) -> tuple[Nucleus, ...]:
        """Up to three nuclei, largest first."""
        return self._nuclei(self._by_area[::-1][:3])

    @property
    def smallest(self) -> tuple[Nucleus, ...]:
        """Up to three nuclei, smallest first."""
        return self._nuclei(self._by_area[:3])

    @cached_property
    def patches(self) -> Patches:
        """The patches that meet the view."""
        rows = self._patch_rows
        kept = rows[rows["selected"]].sort_values("relevance", ascending=False, kind="stable")
        return Patches(
            len(rows),
            int(rows[["valid", "set_aside"]].any(axis=1).sum()),
            len(kept),
            self._places(kept, "relevance"),
        )

    def best_patches(self, phrase: str, count: int = 3) -> tuple[PatchPlace, ...]:
        """Return the patches of the view that score highest for one of the result's phrases."""
        rows = self._patch_rows
        rows = rows[rows["valid"]].sort_values(phrase, ascending=False, kind="stable")
        return self._places(rows[:count], phrase)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to weigh numbers of this view."""
        if self.nothing_analysed:
            return ()
        notes = [f"Nuclei are those that the segmenter “{self.result.segmenter}” found."]
        if self.part:
            notes.append(
                f"Only {share(self.part)} of the tissue of {self.place} is analysed; "
                "numbers of nuclei are about that part."
            )
        damaged = int((~self._patch_rows["readable"]).sum())
        if damaged:
            places = "patch" if damaged == 1 else "patches"
            notes.append(
                f"{damaged} {places} of {self.place} could not be read from the slide's file; "
                "nuclei there are not counted."
            )
        if min(box_size_um(self.box, self.mpp)) < SIDE_UM:
            notes.append(f"This view is smaller than a patch of {SIDE_UM:.0f} µm, and so are its places.")
        if self.result.slide_facts["stain"] != "h&e":
            notes.append("This slide does not look like H&E, which these measurements are made for.")
        return tuple(notes)

    @property
    def _done_boxes(self) -> NDArray[np.float64]:
        regions = self.result.regions
        return regions.loc[regions["cells"], ["y0", "x0", "y1", "x1"]].to_numpy(np.float64)

    @cached_property
    def _analysed(self) -> TissueMask:
        """The tissue of the regions whose cells are done."""
        tissue = self._tissue
        done = np.zeros_like(tissue.mask)
        for box in self._done_boxes:
            y0, x0, y1, x1 = np.rint(box / np.tile(tissue.downsample, 2)).astype(int)
            done[y0:y1, x0:x1] = True
        return TissueMask(tissue.mask & done, tissue.downsample)

    @cached_property
    def _tissue(self) -> TissueMask:
        tissue = self.result.tissue
        if self.without is None:
            return tissue
        mask = tissue.mask.copy()
        y0, x0, y1, x1 = np.rint(np.divide(self.without, np.tile(tissue.downsample, 2))).astype(int)
        mask[y0:y1, x0:x1] = False
        return TissueMask(mask, tissue.downsample)

    @cached_property
    def _extreme_places(self) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
        return extreme_places(self.view.centroids, self.box, self.mpp, self._analysed)

    @cached_property
    def _by_area(self) -> NDArray[np.int64]:
        return np.argsort(self._areas, kind="stable")

    @cached_property
    def _areas(self) -> NDArray[np.float32]:
        areas = self.view.column(TABLE + AREA)
        assert areas is not None  # every segmenter's outlines are measured
        return areas

    @cached_property
    def _patch_rows(self) -> pd.DataFrame:
        table = self.result.patches
        y0, x0, y1, x1 = self.box
        rows = table[(table["y0"] < y1) & (table["y1"] > y0) & (table["x0"] < x1) & (table["x1"] > x0)]
        if self.without is None:
            return rows
        centres = np.stack([rows["y0"] + rows["y1"], rows["x0"] + rows["x1"]], 1) / 2
        return rows[~_inside(centres, self.without)]

    def _scene(self, box: Box) -> Scene:
        result, mpp = self.result, self.mpp
        mm2 = mpp[0] * mpp[1] * 1e-6
        if box == result.grid.extent:
            column: Columns = self._column
            centroids = near = result.cell_column("centroids")
        else:
            y, x = _NEAR_UM / mpp[0], _NEAR_UM / mpp[1]
            around = result.cells_in((box[0] - y, box[1] - x, box[2] + y, box[3] + x))
            cells = around.in_box(box)
            column = arrays_from_cells(cells).get
            centroids, near = cells.centroids, around.centroids
        if self.without is not None:
            column = _rows_of(column, ~_inside(centroids, self.without))
            centroids, near = (c[~_inside(c, self.without)] for c in (centroids, near))
        return Scene(
            box=box,
            mpp=mpp,
            centroids=centroids,
            near=near,
            column=column,
            type_names=result.type_names,
            area_mm2=(box[2] - box[0]) * (box[3] - box[1]) * mm2,
            tissue_mm2=self._tissue.area_in(box) * mm2,
            analysed_mm2=self._analysed.area_in(box) * mm2,
        )

    def _column(self, name: str) -> NDArray[Any] | None:
        try:
            return self.result.cell_column(name)
        except InputError:
            return None

    def _nuclei(self, rows: NDArray[np.int64]) -> tuple[Nucleus, ...]:
        found = ((self._outline(self.view.centroids[row]), float(self._areas[row])) for row in rows)
        return tuple(Nucleus(box, area) for box, area in found if box is not None)

    def _outline(self, centroid: NDArray[np.float32]) -> Box | None:
        """Return the bounding box within the view of the nucleus there; only its region is read."""
        y, x = np.floor(centroid).astype(int).tolist()
        cells = self.result.cells_in((y, x, y + 1, x + 1))
        (row,) = np.flatnonzero((cells.centroids == centroid).all(1))[:1]
        y0, x0, y1, x1 = cells.contours.bounds[row]
        return intersect(as_box((y0, x0, y1, x1)), self.box)

    def _places(self, rows: pd.DataFrame, score: str) -> tuple[PatchPlace, ...]:
        columns = ["y0", "x0", "y1", "x1", score, "region", "patch"]
        return tuple(
            PatchPlace(box, float(value), int(region), int(patch))
            for y0, x0, y1, x1, value, region, patch in rows[columns].itertuples(index=False)
            if (box := intersect((int(y0), int(x0), int(y1), int(x1)), self.box)) is not None
        )


def measure(result: Hierarchy, box: Box | None = None, without: Box | None = None) -> Facts:
    """Return the facts of ``box`` (level-0 px, on the slide; None: all of the slide that is analysed).

    without: a place that is left out, level-0 px.
    """
    return Facts(result, result.grid.extent if box is None else box, box is None, without)


def _inside(points: NDArray[Any], box: Box) -> NDArray[np.bool_]:
    """Return which points (N, 2) lie in a half-open box."""
    return np.asarray(((points >= box[:2]) & (points < box[2:])).all(1))


def _rows_of(column: Columns, kept: NDArray[np.bool_]) -> Columns:
    """Return columns of which only some rows are kept."""

    def part(name: str) -> NDArray[Any] | None:
        values = column(name)
        return None if values is None else values[kept]

    return part


def share(value: float) -> str:
    """Return a share in words."""
    return "less than 1%" if 0 < value < 0.01 else f"{value:.0%}"
