"""What is computed of one region: the vectors of its patches, and its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells import Segmenter, segment_owned
from ..slides import Slide, stream_patches
from ..tissue import PATCH_PX, PER_SIDE
from ..units import Box
from .cell_arrays import arrays_from_cells
from .journal import Arrays
from .plan import MIN_ON_SLIDE, MIN_TISSUE, Plan

PATCH_ARRAYS = ("patch", "boxes", "tissue_fraction", "on_slide", "readable", "valid", "vectors")
_BATCH = 32


def encode_region(plan: Plan, slide: Slide, region: int, beat: Callable[[], None]) -> Arrays:
    """Return the arrays of a region's 256 patches, named as in :mod:`.store`.

    Patches less than half on the slide, with less than a tenth of tissue, or with a pixel that cannot
    be read, are not valid and have zero vectors. Where the plan has an encoder of regions, it sees all
    patches, those that cannot be read or lie off the slide as background, and ``region_vector`` (1, width)
    is what it makes of them. ``beat`` is called after each batch. Raises SlideUnavailableError where the
    slide's file does not answer.
    """
    grid, encoder, whole_region = plan.grid, plan.encoder, plan.regions
    boxes, on_slide = grid.patch_boxes(region), grid.on_slide(region)
    fraction = np.array([plan.tissue.coverage(_box(box)) for box in boxes], np.float32)
    valid = (on_slide >= MIN_ON_SLIDE) & (fraction >= MIN_TISSUE)
    vectors = np.zeros((len(boxes), encoder.width), np.float32)
    readable = np.ones(len(boxes), bool)
    wanted = np.flatnonzero(valid if whole_region is None else on_slide > 0)
    features = np.zeros((len(boxes), 0 if whole_region is None else whole_region.features), np.float32)
    if whole_region is not None:
        glass = np.full((1, PATCH_PX, PATCH_PX, 3), slide.background, np.uint8)
        features[:] = whole_region.encode_patches(glass)
    for batch in stream_patches(slide, boxes[wanted, :2], grid.mpp, (PATCH_PX, PATCH_PX), _BATCH):
        rows, whole = wanted[batch.indices], batch.readable
        images = batch.images[whole]
        if plan.normaliser is not None:
            images = plan.normaliser(images)
        scored = valid[rows[whole]]
        vectors[rows[whole][scored]] = encoder.encode(images[scored])
        if whole_region is not None:
            features[rows[whole]] = whole_region.encode_patches(images)
        readable[rows] = whole
        beat()
    arrays: dict[str, NDArray[Any]] = {
        "patch": np.arange(len(boxes), dtype=np.int16),
        "boxes": boxes,
        "tissue_fraction": fraction,
        "on_slide": on_slide,
        "readable": readable,
        "valid": valid & readable,
        "vectors": vectors,
    }
    if whole_region is not None:
        arrays["region_vector"] = whole_region.encode_grid(features.reshape(PER_SIDE, PER_SIDE, -1))[None]
    return arrays


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
