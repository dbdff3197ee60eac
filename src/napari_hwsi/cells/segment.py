"""Cells of a slide or an image: tile by tile, each cell once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError, TissueError
from ..progress import Progress, tell
from ..slides import Slide, slide_from_array
from ..tissue import TissueMask, measurable_stain, tissue_of
from ..units import Box, Mpp, as_box, as_mpp, intersect
from .cells import Cells
from .contours import Contours, trace
from .fields import working_mpp
from .morphology import measure_stains
from .seams import resolve_seams
from .segmenter import Segmenter, find_segmenter
from .store import TileStore

TILE_PX = 1024
"""Side of a tile, at the resolution the segmenter works at."""

_GRAIN = 32  # vertices lie on 1/32 px, which float32 holds exactly on any slide


def segment_cells(
    slide_or_image: Slide | NDArray[np.uint8],
    box: Sequence[float] | None = None,
    segmenter: str | Segmenter | None = None,
    device: str = "auto",
    mpp: float | Sequence[float] | None = None,
    store: str | Path | None = None,
    progress: Progress | None = None,
    tissue: TissueMask | None = None,
) -> Cells:
    """Find the cells of a slide, or of an image (Y, X, 3) uint8 RGB; RGBA is laid on white.

    box: (y0, x0, y1, x1) level-0 px, the cells whose centroid lies in it; the whole slide where
    None. segmenter: a name, one made by hand, or None for the best that ships. mpp: µm per
    level-0 pixel where the slide states none. tissue: what :func:`tissue_of` gives where None; cells
    are kept where it allows them (:attr:`TissueMask.allowed`). Only tiles with tissue are visited, with
    a margin round each; rows stand in order of the tiles, then of y and x. store: a folder; tiles are
    kept there as they are done and a later run goes on from them. progress hears of what
    comes before and of 'tiles', at the start of each, and may raise Cancelled.

    Raises InputError (not an RGB image, fluorescence, a box off the slide, an unknown
    segmenter, a mask of another slide), ResolutionError (no mpp), TissueError (a whole slide
    without tissue), StoreError.
    """
    slide = _as_slide(slide_or_image, mpp)
    chosen = find_segmenter(segmenter, device)
    tell(progress, 0, 1, "looking at the stain")
    measurable_stain(slide)
    slide.require_mpp()
    within = slide.bounds if box is None else intersect(as_box(box), (0, 0, *slide.shape))
    if within is None:
        size = f"{slide.shape[0]} x {slide.shape[1]} px"
        raise InputError(f"The box {tuple(box or ())} does not meet {slide.name}, {size}.")
    tissue = tissue_of(slide, progress) if tissue is None else tissue
    tissue.check(slide)
    tiles = _tiles(slide, within, chosen)
    visited = [i for i, tile in enumerate(tiles) if tissue.coverage(tile) > 0]
    if box is None and not visited:
        raise TissueError(f"No tissue was found on {slide.name}. Give a box to segment a place all the same.")
    tell(progress, 0, 1, "sampling the stain")
    fitted = chosen.fit(slide, tissue)
    kept = None if store is None else TileStore.open(store, _facts(slide, fitted, within, tissue))
    parts = []
    for done, i in enumerate(visited):
        tell(progress, done, len(visited), "tiles")
        cells = kept.read(i) if kept else None
        if cells is None:
            cells = _segment_tile(slide, tiles[i], fitted, tissue)
            if kept:
                kept.write(i, cells)
        parts.append(cells)
    tell(progress, len(visited), len(visited), "tiles")
    return _joined(parts, [tiles[i] for i in visited], slide, fitted)


def segment_owned(
    slide: Slide,
    box: Box,
    segmenter: str | Segmenter | None = None,
    mpp: float | Sequence[float] | None = None,
    progress: Progress | None = None,
    tissue: TissueMask | None = None,
) -> Cells:
    """Find the cells whose centroid lies in the half-open ``box`` (level-0 px).

    Pixels are read with the segmenter's margin round the box, so the result does not depend on
    what is segmented elsewhere. mpp: µm per level-0 pixel where the slide states none; tissue:
    cells are kept where it allows them, anywhere where None. Give a segmenter that is fitted to the
    slide when calling this box after box.
    """
    _as_slide(slide, mpp)
    chosen = find_segmenter(segmenter).fit(slide)
    within = intersect(box, (0, 0, *slide.shape))
    tiles = [] if within is None else _tiles(slide, within, chosen)
    if tissue is not None:
        tiles = [tile for tile in tiles if tissue.coverage(tile) > 0]
    parts = []
    for done, tile in enumerate(tiles):
        tell(progress, done, len(tiles), "tiles")
        parts.append(_segment_tile(slide, tile, chosen, tissue))
    tell(progress, len(tiles), len(tiles), "tiles")
    return _joined(parts, tiles, slide, chosen)


def _as_slide(slide_or_image: Any, mpp: float | Sequence[float] | None) -> Slide:
    if isinstance(slide_or_image, Slide):
        if mpp is not None and slide_or_image.mpp != as_mpp(mpp):
            slide_or_image.set_mpp(mpp)
        return slide_or_image
    if isinstance(slide_or_image, str | Path):
        raise InputError(f"Open the slide first: segment_cells(open_slide({str(slide_or_image)!r})).")
    image = np.asarray(slide_or_image)
    if image.ndim == 2:
        raise InputError(
            f"An image of shape {image.shape} is grey or holds labels; "
            "cells are found on RGB, (Y, X, 3) uint8."
        )
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8:
        raise InputError(f"Cells are found on RGB images, (Y, X, 3) uint8, not {image.dtype} {image.shape}.")
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.float32) / 255
        image = np.rint(image[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return slide_from_array(image, mpp=mpp)


def _tiles(slide: Slide, box: Box, segmenter: Segmenter) -> list[Box]:
    """Return the tiles of a box, row by row, 1024 px at the segmenter's resolution."""
    own, resolution = slide.require_mpp(), working_mpp(slide, segmenter.mpp)
    ys, xs = (
        np.append(np.arange(box[i], box[i + 2], max(1, round(TILE_PX * resolution[i] / own[i]))), box[i + 2])
        for i in (0, 1)
    )
    return [(int(y0), int(x0), int(y1), int(x1)) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def _segment_tile(slide: Slide, tile: Box, segmenter: Segmenter, tissue: TissueMask | None) -> Cells:
    """Find the cells whose centroid lies in a tile, where the tissue allows, in order of y and x."""
    own, resolution = slide.require_mpp(), working_mpp(slide, segmenter.mpp)
    margin = [math.ceil(segmenter.margin_um / step) for step in own]
    # Nothing is made up beyond the slide's edge: there a nucleus ends with the pixels.
    y0, x0 = max(tile[0] - margin[0], 0), max(tile[1] - margin[1], 0)
    y1, x1 = min(tile[2] + margin[0], slide.shape[0]), min(tile[3] + margin[1], slide.shape[1])
    scale = np.array(resolution) / own
    height, width = np.maximum(np.round(np.array([y1 - y0, x1 - x0]) / scale), 1).astype(int)
    rgb, readable = slide.read_masked((y0, x0), (int(height), int(width)), mpp=resolution)
    rgb[~readable] = slide.background  # a made-up pattern would have nuclei
    found = segmenter.segment(rgb, resolution)
    traced = trace(found.labels)
    placed = np.round((traced.vertices.astype(np.float64) * scale + (y0, x0)) * _GRAIN) / _GRAIN
    cells = Cells.of(
        Contours(placed.astype(np.float32), traced.offsets),
        types=found.types,
        type_names=segmenter.type_names,
        probabilities=found.probabilities,
        mpp=own,
        measurements=measure_stains(found.labels, rgb),
    )
    if not readable.all():
        cells = cells.select(_whole(found.labels, readable))
    owned = cells.in_box(tile)
    if tissue is not None:
        owned = owned.select(tissue.allows(owned.centroids))
    return owned.select(np.lexsort((owned.centroids[:, 1], owned.centroids[:, 0])))


def _whole(labels: NDArray[np.int32], readable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which labels 1 … N keep clear of pixels that could not be read: others may be cut."""
    near = ndimage.binary_dilation(~readable, iterations=2)
    return ~np.isin(np.arange(1, labels.max(initial=0) + 1), labels[near])


def _joined(parts: list[Cells], tiles: list[Box], slide: Slide, segmenter: Segmenter) -> Cells:
    if not parts:
        empty = np.zeros((1, 1), np.int32)
        measured = measure_stains(empty, np.zeros((1, 1, 3), np.uint8))
        return Cells.of([], type_names=segmenter.type_names, mpp=slide.mpp, measurements=measured)
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return resolve_seams(Cells.concatenate(parts), owners, tiles)


def _facts(slide: Slide, segmenter: Segmenter, box: Box, tissue: TissueMask) -> dict[str, Any]:
    mpp: Mpp = slide.require_mpp()
    return {
        "slide": slide.name,
        "fingerprint": slide.fingerprint,
        "mpp": mpp,
        "box": box,
        "tile_px": TILE_PX,
        "tissue": tissue.digest,
        "segmenter": dict(segmenter.settings()),
    } | ({"icc": slide.icc_profile_name} if slide.icc else {})
