"""Nuclei counted by region: in what is drawn, what is on the screen, and all of the slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from napari.components import ViewerModel
from napari.layers import Layer
from numpy.typing import NDArray

from ..cells import Cells
from ..cells.counts import count_cells, polygon_of
from ..disk import written_whole
from ..errors import InputError, StoreError
from ..tissue import TissueMask
from ..units import Box
from .drawn import drawn_outlines
from .region import visible_box
from .state import slide_of

VISIBLE, WHOLE = "Visible region", "Whole slide"
_ALL = 0.995  # of a region: what is missing is a rim of rounding


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of a slide to count in.

    outlines: by name, boxes or polygons as :func:`.count_cells` takes them; refused: a sentence for each
    shape that has no inside.
    """

    outlines: Mapping[str, Any]
    refused: tuple[str, ...] = ()

    def box(self, name: str) -> Box:
        """Return the box round a region, level-0 px."""
        x0, y0, x1, y1 = polygon_of(self.outlines[name], name).bounds
        return int(y0), int(x0), int(np.ceil(y1)), int(np.ceil(x1))


def regions_of(viewer: ViewerModel, layer: Layer) -> Regions:
    """Return what is drawn on a slide's layer, what is visible of it, and all of it."""
    slide = slide_of(layer)
    assert slide is not None  # a slide's layer has its slide
    drawn, refused = drawn_outlines(viewer, layer)
    try:
        seen = visible_box(viewer, layer)
    except InputError as error:  # no flat view
        seen, refused = None, [*refused, str(error)]
    rows = {} if seen is None else {VISIBLE: seen}
    return Regions({**drawn, **rows, WHOLE: slide.bounds}, tuple(refused))


def count_by_region(
    cells: Cells, regions: Mapping[str, Any], searched: Any = None, tissue: TissueMask | None = None
) -> pd.DataFrame:
    """Count cells as :func:`.count_cells` does, tissue where none was looked for left out.

    searched: where cells were looked for, a shapely geometry in level-0 px (x, y), None where that is not
    known. A column more: ``searched``, the share of the region's area that was, missing where not known.
    """
    shares = {name: _share(polygon_of(shape, name), searched) for name, shape in regions.items()}
    part = None if tissue is None else tissue_within(tissue, searched)
    tables = [
        count_cells(cells, {name: shape}, part if shares[name] < _ALL else tissue).assign(
            searched=shares[name]
        )
        for name, shape in regions.items()
    ]
    return pd.concat(tables, ignore_index=True)


def not_searched(counts: pd.DataFrame) -> list[str]:
    """Return the regions in which cells were not looked for everywhere."""
    return list(dict.fromkeys(counts["region"][counts["searched"] < _ALL]))


def tissue_within(tissue: TissueMask, area: Any) -> TissueMask:
    """Return the tissue whose pixels lie, by their middle, in an area, level-0 px (x, y); all where None."""
    if area is None:
        return tissue
    rows, columns = np.nonzero(tissue.mask)
    (down, across), mask = tissue.downsample, np.zeros_like(tissue.mask)
    shapely.prepare(area)
    inside: NDArray[np.bool_] = shapely.contains_xy(area, (columns + 0.5) * across, (rows + 0.5) * down)
    mask[rows[inside], columns[inside]] = True
    return TissueMask(mask, tissue.downsample)


def save_counts(counts: pd.DataFrame, path: str | Path) -> None:
    """Write a table of counts as CSV. Raises StoreError."""
    try:
        with written_whole(Path(path)) as draft:
            counts.to_csv(draft, index=False)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}.") from error


def _share(region: shapely.Polygon, searched: Any) -> float:
    return np.nan if searched is None else region.intersection(searched).area / region.area
