"""What is computed of one region: the vectors of its patches, and its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells import Segmenter, segment_owned
from ..slides import Slide
from ..tissue import PATCH_PX, PER_SIDE, Grid
from ..units import Box
from .cell_arrays import arrays_from_cells
from .journal import Arrays
from .plan import MIN_ON_SLIDE, MIN_TISSUE, Plan

PATCH_ARRAYS = ("patch", "boxes", "tissue_fraction", "on_slide", "valid", "vectors")


def encode_region(plan: Plan, slide: Slide, region: int, beat: Callable[[], None]) -> Arrays:
    """Return the arrays of a region's 256 patches, named as in :mod:`.store`.

    Pixels are read a row of patches at a time, so memory does not grow with the region.
    Patches less than half on the slide, or with less than a tenth of tissue, are not valid
    and have zero vectors. ``beat`` is called after each row.
    """
    grid, encoder = plan.grid, plan.encoder
    boxes, on_slide = grid.patch_boxes(region), grid.on_slide(region)
    fraction = np.array([plan.tissue.coverage(_box(box)) for box in boxes], np.float32)
    valid = (on_slide >= MIN_ON_SLIDE) & (fraction >= MIN_TISSUE)
    vectors = np.zeros((len(boxes), encoder.width), np.float32)
    for row in np.arange(len(boxes)).reshape(PER_SIDE, PER_SIDE):
        wanted = row[valid[row]]
        if len(wanted):
            vectors[wanted] = encoder.encode(_patches(slide, grid, boxes, wanted))
        beat()
    return {
        "patch": np.arange(len(boxes), dtype=np.int16),
        "boxes": boxes,
        "tissue_fraction": fraction,
        "on_slide": on_slide,
        "valid": valid,
        "vectors": vectors,
    }


def _patches(
    slide: Slide, grid: Grid, boxes: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Read the patches ``wanted`` of one row in one piece, (N, 256, 256, 3)."""
    first, last = wanted[0], wanted[-1]
    y0, x0 = boxes[first, :2]
    band = slide.read((int(y0), int(x0)), (PATCH_PX, int(last - first + 1) * PATCH_PX), mpp=grid.mpp)
    tiles = band.reshape(PATCH_PX, -1, PATCH_PX, 3).swapaxes(0, 1)
    return np.ascontiguousarray(tiles[wanted - first])


def segment_region(
    plan: Plan, slide: Slide, region: int, segmenter: Segmenter, beat: Callable[[], None]
) -> Arrays:
    """Return the cells of a region's tissue as arrays, named as in :mod:`.store`.

    Cells whose centroid lies in the region, whatever is segmented elsewhere; offsets count from
    the region's first vertex. ``beat`` is called after each tile.
    """
    box = plan.grid.region_box(region)
    cells = segment_owned(slide, box, segmenter, progress=lambda _: beat(), tissue=plan.tissue)
    return arrays_from_cells(cells)


def _box(values: Any) -> Box:
    y0, x0, y1, x1 = (int(value) for value in values)
    return y0, x0, y1, x1
