"""What can be measured in a part of a slide. Everything here is computed, nothing generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..cells import Cells
from ..hierarchy import Hierarchy
from ..tissue import TissueMask
from ..units import Box, Mpp, box_size_um, intersect
from .places import SIDE_UM, Place, extreme_places

AREA, DIAMETER, STAIN = "area_um2", "equivalent_diameter_um", "haematoxylin_mean_od"
"""Columns of the cell table that are summed up, and two more that are worked out here:"""
ELONGATION, SPACING = "elongation", "nearest_um"

_NEAR_UM = 200.0  # the nearest neighbour of a nucleus at the edge is looked for this far outside


@dataclass(frozen=True)
class Spread:
    """How one measurement of ``n`` nuclei is spread: median, lower and upper quartile."""

    n: int
    median: float
    low: float
    high: float


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

    mpp: (y, x) µm per level-0 px; cells: the nuclei whose centroids lie in the half-open box;
    near: centroids (M, 2) of all nuclei in and round it, level-0 px; area_mm2: of the box;
    tissue_mm2: tissue in it, of which analysed_mm2 is analysed.
    """

    box: Box
    mpp: Mpp
    cells: Cells
    near: NDArray[np.float32]
    area_mm2: float
    tissue_mm2: float
    analysed_mm2: float

    @property
    def n_nuclei(self) -> int:
        """Number of nuclei."""
        return len(self.cells.centroids)

    @property
    def per_mm2(self) -> float | None:
        """Nuclei per mm² of analysed tissue, None where there is none."""
        return self.n_nuclei / self.analysed_mm2 if self.analysed_mm2 > 0 else None

    @property
    def typed(self) -> bool:
        """Whether types of nuclei were told apart."""
        return len(self.cells.type_names) > 1

    @cached_property
    def types(self) -> Mapping[str, int]:
        """Number of nuclei of each type."""
        names = self.cells.type_names
        return dict(zip(names, np.bincount(self.cells.types, minlength=len(names)).tolist(), strict=True))

    @cached_property
    def nearest_um(self) -> NDArray[np.float64]:
        """Distance of each nucleus to the nearest other one, µm; NaN where there is none."""
        if len(self.near) < 2 or not self.n_nuclei:
            return np.full(self.n_nuclei, np.nan)
        tree = cKDTree(self.near * np.asarray(self.mpp))
        distances, _ = tree.query(self.cells.centroids * np.asarray(self.mpp), k=2, workers=-1)
        return np.asarray(distances)[:, 1]

    def spread(self, measure: str) -> Spread | None:
        """Return the spread of a column of the cell table, or of ELONGATION or SPACING.

        None where the result does not hold it, or there is no nucleus.
        """
        table = self.cells.table
        if measure == SPACING:
            values = self.nearest_um
        elif measure == ELONGATION and "minor_axis_um" in table:
            values = (table["major_axis_um"] / table["minor_axis_um"]).to_numpy(np.float64)
        elif measure in table:
            values = table[measure].to_numpy(np.float64)
        else:
            return None
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        low, median, high = np.percentile(values, (25, 50, 75))
        return Spread(len(values), float(median), float(low), float(high))


@dataclass(frozen=True)
class Facts:
    """The facts of a view, each computed when it is first looked at; made by :func:`measure`.

    box: the view, level-0 px; whole: it is the whole slide, of which what is analysed counts.
    """

    result: Hierarchy
    box: Box
    whole: bool

    @property
    def name(self) -> str:
        """What sentences call the view."""
        return "the analysed slide" if self.whole else "this view"

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
        return Patches(len(rows), int(rows["valid"].sum()), len(kept), self._places(kept, "relevance"))

    def best_patches(self, phrase: str, count: int = 3) -> tuple[PatchPlace, ...]:
        """Return the patches of the view that score highest for one of the result's phrases."""
        rows = self._patch_rows
        rows = rows[rows["valid"]].sort_values(phrase, ascending=False, kind="stable")
        return self._places(rows[:count], phrase)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know to weigh numbers of this view."""
        view = self.view
        notes = [f"Nuclei are those that the segmenter “{self.result.segmenter}” found."]
        if view.analysed_mm2 < 0.995 * view.tissue_mm2:
            notes.append(
                f"Only {view.analysed_mm2 / view.tissue_mm2:.0%} of the tissue of {self.name} is analysed; "
                "numbers are about that part."
            )
        if min(box_size_um(self.box, self.mpp)) < SIDE_UM:
            notes.append(f"This view is smaller than a patch of {SIDE_UM:.0f} µm, and so are its places.")
        if self.result.slide_facts["stain"] != "h&e":
            notes.append("This slide does not look like H&E, which these measurements are made for.")
        return tuple(notes)

    @cached_property
    def _analysed(self) -> TissueMask:
        """The tissue of the regions whose cells are done."""
        tissue = self.result.tissue
        done = np.zeros_like(tissue.mask)
        regions = self.result.regions
        for box in regions.loc[regions["cells"], ["y0", "x0", "y1", "x1"]].to_numpy():
            y0, x0, y1, x1 = np.rint(box / np.tile(tissue.downsample, 2)).astype(int)
            done[y0:y1, x0:x1] = True
        return TissueMask(tissue.mask & done, tissue.downsample)

    @cached_property
    def _extreme_places(self) -> tuple[tuple[Place, ...], tuple[Place, ...]]:
        return extreme_places(self.view.cells.centroids, self.box, self.mpp, self._analysed)

    @cached_property
    def _by_area(self) -> NDArray[np.int64]:
        return np.argsort(self.view.cells.table[AREA].to_numpy(), kind="stable")

    @cached_property
    def _patch_rows(self) -> pd.DataFrame:
        table = self.result.patches
        y0, x0, y1, x1 = self.box
        return table[(table["y0"] < y1) & (table["y1"] > y0) & (table["x0"] < x1) & (table["x1"] > x0)]

    def _scene(self, box: Box) -> Scene:
        cells, mpp = self.result.cells, self.mpp
        mm2 = mpp[0] * mpp[1] * 1e-6
        margin = (_NEAR_UM / mpp[0], _NEAR_UM / mpp[1])
        around = (box[0] - margin[0], box[1] - margin[1], box[2] + margin[0], box[3] + margin[1])
        return Scene(
            box=box,
            mpp=mpp,
            cells=cells.in_box(box),
            near=cells.centroids[cells.inside(around)],
            area_mm2=(box[2] - box[0]) * (box[3] - box[1]) * mm2,
            tissue_mm2=self.result.tissue.area_in(box) * mm2,
            analysed_mm2=self._analysed.area_in(box) * mm2,
        )

    def _nuclei(self, rows: NDArray[np.int64]) -> tuple[Nucleus, ...]:
        cells = self.view.cells.select(rows)
        bounds = cells.contours.bounds
        corners = np.hstack([np.floor(bounds[:, :2]), np.ceil(bounds[:, 2:])]).astype(int)
        boxes = (intersect((y0, x0, y1, x1), self.box) for y0, x0, y1, x1 in corners.tolist())
        return tuple(
            Nucleus(box, float(area))
            for box, area in zip(boxes, cells.table[AREA], strict=True)
            if box is not None
        )

    def _places(self, rows: pd.DataFrame, score: str) -> tuple[PatchPlace, ...]:
        columns = ["y0", "x0", "y1", "x1", score, "region", "patch"]
        return tuple(
            PatchPlace(box, float(value), int(region), int(patch))
            for y0, x0, y1, x1, value, region, patch in rows[columns].itertuples(index=False)
            if (box := intersect((int(y0), int(x0), int(y1), int(x1)), self.box)) is not None
        )


def measure(result: Hierarchy, box: Box | None = None) -> Facts:
    """Return the facts of ``box`` (level-0 px, on the slide; None: all of the slide that is analysed)."""
    return Facts(result, result.grid.extent if box is None else box, box is None)
