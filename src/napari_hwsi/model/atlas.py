"""All vectors of one slide by place, from which what a question is about is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..hierarchy import FeatureHierarchy, Hierarchy
from ..units import Box, Mpp, as_box
from .cell_measures import measured_cells
from .scales import SCALES, Scale
from .vectors import ScaleVectors, SlideVectors

BUDGET = 2048
"""Tokens that a slide may become."""

_BOX = ["y0", "x0", "y1", "x1"]
_REGION_UM = 2048.0


@dataclass(frozen=True)
class Atlas:
    """What a result holds of a slide, in memory: R regions, P patches that are valid, C patches with cells.

    slide: float32 (W,); regions, patches: places, all seen; relevance: float32 (P,), what the filter said of
    each patch, −inf where nothing; kept: bool (P,), whether the filter kept it; cells: of C patches, those
    whose cells were looked at; cells_of: int64 (C,), their rows among the patches; extent: box of all
    regions, level-0 px; mpp: (y, x) µm per level-0 px.
    """

    name: str
    slide: NDArray[np.float32]
    regions: ScaleVectors
    patches: ScaleVectors
    relevance: NDArray[np.float32]
    kept: NDArray[np.bool_]
    cells: ScaleVectors
    cells_of: NDArray[np.int64]
    extent: Box
    mpp: Mpp

    @classmethod
    def of(cls, result: Hierarchy | FeatureHierarchy) -> Atlas:
        """Read a result, or the features of another tool that have regions.

        Where cells have a segmenter's vectors, those of a kept patch are what CCAF made of them. Where they
        have none, those of every patch are measured (:mod:`.cell_measures`), and what CCAF made of the same
        measurements of a kept patch stands behind, zeros for others.
        Raises InputError where there are no regions, no valid patch, or numbers that are not finite.
        """
        try:
            return _of_features(result) if isinstance(result, FeatureHierarchy) else _of_result(result)
        except InputError as error:
            raise InputError(f"{result.path}: {error}") from error

    @property
    def widths(self) -> dict[str, int]:
        """Numbers a vector, by scale; 0 where there are no cells."""
        return {
            "slide": len(self.slide),
            "region": self.regions.width,
            "patch": self.patches.width,
            "cell": self.cells.width,
        }

    def see(
        self,
        box: Sequence[float] | None = None,
        budget: int = BUDGET,
        scales: Sequence[Scale] = SCALES,
        kept_only: bool = False,
        filtered: bool = True,
        census: bool = False,
    ) -> SlideVectors:
        """Return what a question about a box of the slide is answered from.

        box: (y0, x0, y1, x1), level-0 px: the regions that meet it, all patches that do, and the cells of
        these; None: the whole slide, with the patches that the filter kept. The slide's own vector is always
        there. kept_only: of a box, too, only what the filter kept, as the release. budget: the most tokens
        that may come of it, in the scales that the model uses; kept patches go before others, then the more
        relevant ones. filtered: False takes patches whatever the filter says, in an order that is random and
        always the same, for ablations. census: whether all patches that meet the box come along to be
        summed over. Raises InputError for a box where nothing is analysed.
        """
        view = self.extent if box is None else as_box(box)
        near = np.flatnonzero(_meets(self.regions.boxes, view))
        if not len(near):
            raise InputError(f"Nothing of {self.name} is analysed within {view}.")
        inside = _meets(self.patches.boxes, view)
        if filtered and (box is None or kept_only):
            inside = inside & self.kept
        if filtered:
            first = np.lexsort([-self.relevance, ~self.kept])  # the most telling first
        else:
            first = np.random.default_rng(0).permutation(len(self.patches))
        first = first[inside[first]]
        cell_row = np.full(len(self.patches), -1)
        cell_row[self.cells_of] = np.arange(len(self.cells_of))

        room = budget - ("slide" in scales)
        regions = near
        if "region" in scales:
            regions = np.sort(near[np.argsort(-self._telling()[near], kind="stable")[: max(room, 1)]])
            room -= len(regions)
        cost = int("patch" in scales) + int("cell" in scales) * (cell_row[first] >= 0)
        fits = np.cumsum(cost) <= room
        patches = np.sort(first[fits & np.isin(self.patches.regions[first], regions)])
        with_cells = patches[cell_row[patches] >= 0]
        new = np.full(len(self.regions), -1)
        new[regions] = np.arange(len(regions))

        def taken(table: ScaleVectors, rows: NDArray[np.int64]) -> ScaleVectors:
            seen = table.vectors[rows], table.boxes[rows], table.mask[rows]
            return ScaleVectors(*seen, new[table.regions[rows]] if len(rows) else table.regions[rows])

        own = ScaleVectors.of(self.slide[None], np.array([self.extent]))
        region_places = ScaleVectors.of(self.regions.vectors[regions], self.regions.boxes[regions])
        left_out = {
            "region": len(near) - len(regions),
            "patch": len(first) - len(patches),
            "cell": int((cell_row[first] >= 0).sum()) - len(with_cells),
        }
        return SlideVectors(
            own,
            region_places,
            taken(self.patches, patches),
            taken(self.cells, cell_row[with_cells]),
            np.searchsorted(patches, with_cells),
            view,
            self.mpp,
            {scale: count for scale, count in left_out.items() if count},
            self._census(view, near, scales) if census else None,
        )

    def _census(self, view: Box, regions: NDArray[np.int64], scales: Sequence[Scale]) -> ScaleVectors | None:
        """Return all patches that meet a box, of these regions, with what the scales in use say of each."""
        inside = np.flatnonzero(_meets(self.patches.boxes, view))
        parts = [self.patches.vectors[inside]] if "patch" in scales else []
        if "cell" in scales:
            cells = np.zeros((len(self.patches), self.cells.width), np.float32)
            cells[self.cells_of] = self.cells.vectors
            parts.append(cells[inside])
        if not parts:
            return None
        owners = np.searchsorted(regions, self.patches.regions[inside])
        return ScaleVectors.of(np.concatenate(parts, 1), self.patches.boxes[inside], regions=owners)

    def _telling(self) -> NDArray[np.float64]:
        """Return the mean relevance of the kept patches of each region, −inf where there are none."""
        rows = self.patches.regions[self.kept]
        scores = np.maximum(self.relevance[self.kept].astype(np.float64), -1)
        counts = np.bincount(rows, minlength=len(self.regions))
        sums = np.bincount(rows, scores, minlength=len(self.regions))
        return np.where(counts > 0, sums / np.maximum(counts, 1), -np.inf)


def _meets(boxes: NDArray[np.int64], box: Box) -> NDArray[np.bool_]:
    y0, x0, y1, x1 = box
    return (boxes[:, 0] < y1) & (boxes[:, 2] > y0) & (boxes[:, 1] < x1) & (boxes[:, 3] > x0)


def _of_result(result: Hierarchy) -> Atlas:
    table = result.patches
    valid = np.flatnonzero(table["valid"].to_numpy(bool))
    if not len(valid):
        raise InputError("no patches with tissue yet. Analyse the slide first.")
    patches = table.iloc[valid]
    regions, rows = np.unique(patches["region"].to_numpy(np.int64), return_inverse=True)
    boxes = result.regions[_BOX].to_numpy(np.int64)[regions]
    row_of = np.full(len(table), -1)
    row_of[valid] = np.arange(len(valid))
    fused_of, fused = np.empty(0, np.int64), np.empty((0, 0), np.float32)
    if result.fuses:
        found = result.cell_tokens
        done = ~np.isnan(found).all(1) if found.size else np.zeros(len(found), bool)
        fused_of, fused = row_of[result.selected_patches.index.to_numpy()[done]], found[done]
    cells_of, tokens = fused_of, fused
    if not result.has_cell_vectors and result.regions["cells"].any():
        looked = result.regions["cells"].to_numpy(bool)[patches["region"]]
        cells_of = np.flatnonzero(looked)
        numbers = (patches[name].to_numpy(np.int64)[looked] for name in ("region", "patch"))
        measured = measured_cells(result, *numbers)
        behind = np.zeros((len(valid), fused.shape[1]), np.float32)
        behind[fused_of] = fused
        tokens = np.concatenate(
            [measured, np.where((measured != 0).any(axis=1, keepdims=True), behind[cells_of], 0)], 1
        )
    y, x = result.slide_facts["mpp"]
    return _atlas(
        str(result.slide_facts["name"]),
        result.slide_vector,
        _places("region", result.region_vectors[regions], boxes),
        _places("patch", result.patch_vectors[valid], patches[_BOX].to_numpy(np.int64), rows.reshape(-1)),
        patches["relevance"].to_numpy(np.float32),
        patches["selected"].to_numpy(bool),
        tokens,
        cells_of,
        (float(y), float(x)),
    )


def _of_features(result: FeatureHierarchy) -> Atlas:
    groups = result.features.regions
    if groups is None:
        raise InputError("these features have no regions, which the model reads. Analyse the slide.")
    table = result.patches
    valid = np.flatnonzero(table["valid"].to_numpy(bool))
    ranks = table["rank"].to_numpy(np.int64) if "rank" in table else np.zeros(len(table), np.int64)
    row_of = np.full(len(table), -1)
    row_of[valid] = np.arange(len(valid))
    cells_of, tokens = np.empty(0, np.int64), np.empty((0, 0), np.float32)
    if groups.tokens is not None and groups.kept is not None:
        region, place = np.nonzero(groups.kept >= 0)
        rows = row_of[region * groups.per_region + groups.kept[region, place]]
        looked = groups.tokens[region, place].any(1) & (rows >= 0)  # zeros: no cells, which the release masks
        cells_of, tokens = rows[looked], groups.tokens[region, place][looked]
    height, width = np.ptp(groups.boxes[0, ::2]), np.ptp(groups.boxes[0, 1::2])
    return _atlas(
        result.features.facts.name,
        result.slide_vector,
        _places("region", result.region_vectors, np.rint(groups.boxes).astype(np.int64)),
        _places(
            "patch",
            result.patch_vectors[valid],
            table[_BOX].to_numpy(np.int64)[valid],
            table["region"].to_numpy(np.int64)[valid],
        ),
        -ranks[valid].astype(np.float32),
        ranks[valid] >= 0,
        tokens,
        cells_of,
        (_REGION_UM / float(height), _REGION_UM / float(width)),
    )


def _places(
    scale: Scale,
    vectors: NDArray[np.float32],
    boxes: NDArray[np.int64],
    regions: NDArray[np.int64] | None = None,
) -> ScaleVectors:
    try:
        return ScaleVectors.of(vectors, boxes, regions=regions)
    except InputError as error:
        raise InputError(f"of the {scale} scale: {error}") from error


def _atlas(
    name: str,
    slide: NDArray[np.float32],
    regions: ScaleVectors,
    patches: ScaleVectors,
    relevance: NDArray[np.float32],
    kept: NDArray[np.bool_],
    tokens: NDArray[np.float32],
    cells_of: NDArray[np.int64],
    mpp: Mpp,
) -> Atlas:
    order = np.argsort(cells_of, kind="stable")
    cells_of, tokens = cells_of[order], tokens[order]
    low, high = regions.boxes[:, :2].min(0), regions.boxes[:, 2:].max(0)
    return Atlas(
        name,
        np.asarray(slide, np.float32),
        regions,
        patches,
        np.where(np.isfinite(relevance), relevance, -np.inf).astype(np.float32),
        kept,
        _places("cell", tokens, patches.boxes[cells_of], patches.regions[cells_of]),
        cells_of,
        (int(low[0]), int(low[1]), int(high[0]), int(high[1])),
        mpp,
    )
