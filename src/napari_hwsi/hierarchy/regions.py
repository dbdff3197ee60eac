"""What is computed of one region: the vectors of its patches, and its cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cells import Segmenter, segment_owned
from ..slides import RGB, Slide, stream_patches
from ..tissue import PATCH_PX, PER_SIDE
from ..units import Box
from .adaptive import grow
from .cell_arrays import arrays_from_cells
from .journal import Arrays
from .plan import MIN_ON_SLIDE, MIN_TISSUE, Plan

if TYPE_CHECKING:
    from ..encoders.places import Placed, PocketPlaces
    from ..encoders.region import Hipt

PATCH_ARRAYS = (
    "patch",
    "boxes",
    "tissue_fraction",
    "on_slide",
    "readable",
    "valid",
    "set_aside",
    "encoded",
    "adaptive",
    "vectors",
)
_BATCH = 32


def encode_region(plan: Plan, slide: Slide, region: int, beat: Callable[[], None]) -> Arrays:
    """Return the arrays of a region's 256 patches, named as in ``docs/store.md``.

    Patches less than half on the slide, with less than a tenth of tissue, or with a pixel that cannot
    be read, are not valid and have zero vectors. With a two-step filter those that its first step sets aside
    are not valid either, and have none unless the region is audited. Where the plan has an encoder of the
    pixels of regions, it sees all patches, those that cannot be read or lie off the slide as background, and
    ``region_vector`` (1, G) is what it makes of them; where it has one of places, that sees the vectors of
    the valid patches, and ``attention`` (256,) is the share of each in its region. Where regions are grown,
    from the vectors of the first step if there is one, ``adaptive_vectors`` (A, G) are those of the regions,
    by their numbers. ``beat`` is called after each batch. Raises SlideUnavailableError where the slide's file
    does not answer.
    """
    grid, encoder, step, whole_region = plan.grid, plan.encoder, plan.first_step, plan.regions
    boxes, on_slide = grid.patch_boxes(region), grid.on_slide(region)
    fraction = np.array([plan.tissue.coverage(_box(box)) for box in boxes], np.float32)
    tissue = (on_slide >= MIN_ON_SLIDE) & (fraction >= MIN_TISSUE)
    first = encoder if step is None else step.encoder
    vectors = np.zeros((len(boxes), first.width), np.float32)
    readable = np.ones(len(boxes), bool)
    held: dict[int, RGB] = {}  # pixels that the second step may want
    wanted = np.flatnonzero(tissue if whole_region is None else on_slide > 0)
    features = np.zeros((len(boxes), 0 if whole_region is None else whole_region.features), np.float32)
    if whole_region is not None:
        features[:] = _glass(whole_region, slide)
    for batch in stream_patches(slide, boxes[wanted, :2], grid.mpp, (PATCH_PX, PATCH_PX), _BATCH):
        rows, whole = wanted[batch.indices], batch.readable
        images = batch.images[whole]
        if plan.normaliser is not None:
            images = plan.normaliser(images)
        scored = tissue[rows[whole]]
        vectors[rows[whole][scored]] = first.encode(images[scored])
        if step is not None:
            held.update(zip(rows[whole][scored].tolist(), images[scored], strict=True))
        if whole_region is not None:
            features[rows[whole]] = whole_region.encode_patches(images)
        readable[rows] = whole
        beat()
    tissue &= readable
    adaptive = grow(vectors, tissue) if plan.adaptive else np.full(len(boxes), -1, np.int16)
    valid = encoded = tissue
    if step is not None:
        valid = step.passing(vectors, tissue)
        encoded = tissue if region in plan.audited else valid
        vectors = np.zeros((len(boxes), encoder.width), np.float32)
        for part in _batches(np.flatnonzero(encoded)):
            vectors[part] = encoder.encode(np.stack([held[row] for row in part.tolist()]))
            beat()
    arrays: dict[str, NDArray[Any]] = {
        "patch": np.arange(len(boxes), dtype=np.int16),
        "boxes": boxes,
        "tissue_fraction": fraction,
        "on_slide": on_slide,
        "readable": readable,
        "valid": valid,
        "set_aside": tissue & ~valid,
        "encoded": encoded,
        "adaptive": adaptive,
        "vectors": vectors,
    }
    if whole_region is not None:
        arrays["region_vector"] = whole_region.encode_grid(features.reshape(PER_SIDE, PER_SIDE, -1))[None]
    members = adaptive == np.arange(adaptive.max() + 1)[:, None]
    if plan.places is not None:
        parts = [_placed(plan.places, vectors, valid & member) for member in (valid, *members)]
        arrays["region_vector"] = np.where(valid.any(), parts[0].vector, np.float32(0))[None]
        means = [part.vector for part in parts[1:]]
        arrays["attention"] = np.zeros(len(boxes), np.float32)
        for seen in parts[1:] if plan.adaptive else parts[:1]:
            arrays["attention"] += seen.shares
    elif whole_region is None:
        means = [pooled(vectors, valid & member) for member in members]
    else:
        glass = _glass(whole_region, slide) if len(members) else features
        alone = [np.where(member[:, None], features, glass) for member in members]
        means = [whole_region.encode_grid(one.reshape(PER_SIDE, PER_SIDE, -1)) for one in alone]
    arrays["adaptive_vectors"] = np.array(means, np.float32).reshape(len(members), plan.region_width)
    return arrays


def pooled(vectors: NDArray[np.float32], rows: NDArray[np.bool_]) -> NDArray[np.floating[Any]]:
    """Return the mean of some vectors (N, W), rows bool (N,); 0 where there are none."""
    return vectors[rows].mean(0, dtype=np.float64) if rows.any() else np.zeros(vectors.shape[1])


def _placed(places: PocketPlaces, vectors: NDArray[np.float32], rows: NDArray[np.bool_]) -> Placed:
    """Return what some patches of a square, rows bool (256,), are made into by their places."""
    side = (PER_SIDE, PER_SIDE)
    return places.region(vectors.reshape(*side, -1), rows.reshape(side))


def segment_region(
    plan: Plan, slide: Slide, region: int, segmenter: Segmenter, beat: Callable[[], None]
) -> Arrays:
    """Return the cells of a region's tissue as arrays, named as in ``docs/store.md``.

    Cells whose centroid lies in the region, whatever is segmented elsewhere; offsets count from
    the region's first vertex. ``beat`` is called after each tile.
    """
    box = plan.grid.region_box(region)
    cells = segment_owned(
        slide,
        box,
        segmenter,
        progress=lambda _: beat(),
        tissue=plan.tissue,
        batch=plan.settings["cells"]["batch"],
    )
    return arrays_from_cells(cells)


def _box(values: Any) -> Box:
    y0, x0, y1, x1 = (int(value) for value in values)
    return y0, x0, y1, x1


def _batches(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)]


def _glass(encoder: Hipt, slide: Slide) -> NDArray[np.float32]:
    """Return what the encoder of regions makes of a patch without tissue, float32 (1, features)."""
    return encoder.encode_patches(np.full((1, PATCH_PX, PATCH_PX, 3), slide.background, np.uint8))
