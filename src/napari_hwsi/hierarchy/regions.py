"""What is computed of one region: the vectors of its patches, and its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..cells import Segmenter, segment_owned
from ..slides import Slide, stream_patches
from ..tissue import PATCH_PX
from ..units import Box
from .cell_arrays import arrays_from_cells
from .journal import Arrays
from .plan import MIN_ON_SLIDE, MIN_TISSUE, Plan

PATCH_ARRAYS = ("patch", "boxes", "tissue_fraction", "on_slide", "readable", "valid", "vectors")
_BATCH = 32


def encode_region(plan: Plan, slide: Slide, region: int, beat: Callable[[], None]) -> Arrays:
    """Return the arrays of a region's 256 patches, named as in :mod:`.store`.

    Patches less than half on the slide, with less than a tenth of tissue, or with a pixel that cannot
    be read, are not valid and have zero vectors. ``beat`` is called after each batch. Raises
    SlideUnavailableError where the slide's file does not answer.
    """
    grid, encoder = plan.grid, plan.encoder
    boxes, on_slide = grid.patch_boxes(region), grid.on_slide(region)
    fraction = np.array([plan.tissue.coverage(_box(box)) for box in boxes], np.float32)
    valid = (on_slide >= MIN_ON_SLIDE) & (fraction >= MIN_TISSUE)
    vectors = np.zeros((len(boxes), encoder.width), np.float32)
    wanted, readable = np.flatnonzero(valid), np.ones(len(boxes), bool)
    for batch in stream_patches(slide, boxes[wanted, :2], grid.mpp, (PATCH_PX, PATCH_PX), _BATCH):
        rows, whole = wanted[batch.indices], batch.readable
        vectors[rows[whole]] = encoder.encode(batch.images[whole])
        readable[rows] = whole
        beat()
    return {
        "patch": np.arange(len(boxes), dtype=np.int16),
        "boxes": boxes,
        "tissue_fraction": fraction,
        "on_slide": on_slide,
        "readable": readable,
        "valid": valid & readable,
        "vectors": vectors,
    }


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
