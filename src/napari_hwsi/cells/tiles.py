"""Tiles: where they lie, what is read of each, and which cells are its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..slides import RGB, Slide
from ..units import Box, Mpp
from .cells import Cells
from .contours import Contours, trace
from .fields import working_mpp
from .morphology import measure_stains
from .segmenter import Finish, Segmentation, Segmenter

TILE_PX = 1024
"""Side of a tile, at the resolution the segmenter works at."""

_GRAIN = 32  # vertices lie on 1/32 px, which float32 holds exactly on any slide


@dataclass(frozen=True, eq=False)
class TilePixels:
    """What is read of a tile, its margin with it.

    tile: the box whose cells are wanted, level-0 px; origin: (y, x) of the pixels' corner, level-0 px; rgb:
    uint8 (Y, X, 3) at ``resolution``, (y, x) µm/px; readable: bool (Y, X); mpp: of level 0.
    """

    tile: Box
    origin: tuple[int, int]
    rgb: RGB
    readable: NDArray[np.bool_]
    resolution: Mpp
    mpp: Mpp


def tiles_of(slide: Slide, box: Box, segmenter: Segmenter) -> list[Box]:
    """Return the tiles of a box, row by row, 1024 px at the segmenter's resolution."""
    own, resolution = slide.require_mpp(), working_mpp(slide, segmenter.mpp)
    ys, xs = (
        np.append(np.arange(box[i], box[i + 2], max(1, round(TILE_PX * resolution[i] / own[i]))), box[i + 2])
        for i in (0, 1)
    )
    return [(int(y0), int(x0), int(y1), int(x1)) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]


def read_tile(slide: Slide, tile: Box, segmenter: Segmenter) -> TilePixels:
    """Read a tile with the segmenter's margin; what cannot be read is background."""
    own, resolution = slide.require_mpp(), working_mpp(slide, segmenter.mpp)
    margin = [math.ceil(segmenter.margin_um / step) for step in own]
    # Nothing is made up beyond the slide's edge: there a nucleus ends with the pixels.
    y0, x0 = max(tile[0] - margin[0], 0), max(tile[1] - margin[1], 0)
    scale = np.array(resolution) / own
    # A network with strides sees the same pixels the same way only from places that agree with them.
    grid = np.maximum(np.rint(getattr(segmenter, "stride_px", 1) * scale), 1).astype(int)
    y0, x0 = (int(start // step * step) for start, step in zip((y0, x0), grid, strict=True))
    y1, x1 = min(tile[2] + margin[0], slide.shape[0]), min(tile[3] + margin[1], slide.shape[1])
    height, width = np.maximum(np.round(np.array([y1 - y0, x1 - x0]) / scale), 1).astype(int)
    rgb, readable = slide.read_masked((y0, x0), (int(height), int(width)), mpp=resolution)
    rgb[~readable] = slide.background  # a made-up pattern would have nuclei
    return TilePixels(tile, (y0, x0), rgb, readable, resolution, own)


def segmented(pixels: TilePixels, segmenter: Segmenter) -> Cells:
    """Return the cells of a tile, by a segmenter that is no network."""
    return cells_of(pixels, segmenter.segment(pixels.rgb, pixels.resolution), segmenter.type_names)


def finished(pixels: TilePixels, maps: Any, finish: Finish, type_names: tuple[str, ...]) -> Cells:
    """Return the cells of a tile from what a network said of it."""
    return cells_of(pixels, finish(pixels.rgb, maps, pixels.resolution), type_names)


def cells_of(pixels: TilePixels, found: Segmentation, type_names: Sequence[str]) -> Cells:
    """Return the cells whose centroid lies in a tile, measured, in order of y and x.

    Cells that pixels which could not be read may have cut are left out.
    """
    scale = np.array(pixels.resolution) / pixels.mpp
    traced = trace(found.labels)
    placed = np.round((traced.vertices.astype(np.float64) * scale + pixels.origin) * _GRAIN) / _GRAIN
    cells = Cells.of(
        Contours(placed.astype(np.float32), traced.offsets),
        types=found.types,
        type_names=type_names,
        probabilities=found.probabilities,
        mpp=pixels.mpp,
        measurements=measure_stains(found.labels, pixels.rgb),
        tokens=found.tokens,
    )
    if not pixels.readable.all():
        cells = cells.select(_whole(found.labels, pixels.readable))
    owned = cells.in_box(pixels.tile)
    return owned.select(np.lexsort((owned.centroids[:, 1], owned.centroids[:, 0])))


def no_cells(type_names: Sequence[str], mpp: Mpp | None) -> Cells:
    """Return no cells, with the columns that cells of tiles have."""
    measured = measure_stains(np.zeros((1, 1), np.int32), np.zeros((1, 1, 3), np.uint8))
    return Cells.of([], type_names=type_names, mpp=mpp, measurements=measured)


def _whole(labels: NDArray[np.int32], readable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which labels 1 … N keep clear of pixels that could not be read: others may be cut."""
    near = ndimage.binary_dilation(~readable, iterations=2)
    return ~np.isin(np.arange(1, labels.max(initial=0) + 1), labels[near])
