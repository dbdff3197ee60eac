"""Label images drawn when looked at, coloured by class without a colour a label.

A label is ``1 + row * n_classes + class``: napari's cyclic colormap of ``n_classes`` colours then
shows the class, at the same cost for a thousand objects and for a million, and the label still
names the row of its table.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.array.core import normalize_chunks
from napari.utils.colormaps import CyclicLabelColormap, ensure_colormap
from numpy.typing import NDArray

from ..units import Box, Mpp

if TYPE_CHECKING:
    from ..cells import Cells

Labels = NDArray[np.int32]
Render = Callable[[Box, int], Labels]
"""Draw a box of base pixels at a step: (h // step, w // step) labels."""

OKABE_ITO = ("#F0E442", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#0072B2", "#E69F00", "#000000")
"""Eight colours told apart with any colour vision (Okabe & Ito 2008); first those that stand out on H&E."""

TISSUE_COLOURS = ("transparent", "#009E73", "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#F0E442")
"""Of the classes of a tissue mask, in their order: empty glass shows the slide."""

SCORE_CLASSES = 64
_CHUNK = 512
_COARSE_ENOUGH = 1024
_OUTLINES_UM_PX = 2.0  # coarser than this a nucleus is a pixel or two


def encode(classes: NDArray[Any], n_classes: int) -> Labels:
    """Return the labels of rows 0 … N-1 with these classes (each below ``n_classes``), int32 (N,)."""
    return (1 + np.arange(len(classes), dtype=np.int64) * n_classes + classes).astype(np.int32)


def class_colours(n_classes: int) -> CyclicLabelColormap:
    """Return the colormap of labels whose classes are kinds."""
    colours = [OKABE_ITO[i % len(OKABE_ITO)] for i in range(n_classes)]
    return CyclicLabelColormap(colors=["transparent", *colours])


def flat_colour(colour: str) -> CyclicLabelColormap:
    """Return the colormap that shows all labels alike."""
    return CyclicLabelColormap(colors=["transparent", colour])


def tissue_colours() -> CyclicLabelColormap:
    """Return the colormap of a map of tissue classes."""
    return CyclicLabelColormap(colors=list(TISSUE_COLOURS))


def score_colours(name: str = "viridis") -> CyclicLabelColormap:
    """Return the colormap of labels whose classes are the SCORE_CLASSES steps of a score."""
    colours = ensure_colormap(name).map(np.linspace(0, 1, SCORE_CLASSES))
    return CyclicLabelColormap(colors=np.vstack([np.zeros((1, 4)), colours]))


def score_classes(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the step of each score between the smallest and the largest; all alike are in the middle."""
    finite = np.asarray(scores, np.float64)
    low, high = np.nanmin(finite), np.nanmax(finite)
    if not high > low:
        return np.full(len(finite), SCORE_CLASSES // 2)
    steps = np.nan_to_num((finite - low) / (high - low)) * SCORE_CLASSES
    return np.clip(steps.astype(np.int64), 0, SCORE_CLASSES - 1)


def pyramid(shape: tuple[int, int], render: Render, coarsest_step: int | None = None) -> list[da.Array]:
    """Return lazy int32 levels, each half the one before, drawn by ``render`` in tiles of 512 px.

    shape: (Y, X) of the base. It is padded at its end to a multiple of the coarsest step, so that
    every level is exactly in place. coarsest_step: a power of two, else until 1024 px a side.
    """
    steps = [1, 2]  # a single level would be no pyramid to napari
    while steps[-1] < coarsest_step if coarsest_step else max(shape) / steps[-1] > _COARSE_ENOUGH:
        steps.append(steps[-1] * 2)
    step = steps[-1]
    padded = (-(-shape[0] // step) * step, -(-shape[1] // step) * step)
    return [_level(padded, step, render) for step in steps]


def draw_cells(cells: Cells, labels: Labels, mpp: Mpp, step_limit: float = _OUTLINES_UM_PX) -> Render:
    """Draw nuclei in level-0 px: their areas, or a pixel each where a nucleus is hardly larger than one.

    labels: (N,) of the rows of ``cells``; mpp: (y, x) µm per level-0 px.
    """
    lookup = np.concatenate([[np.int32(0)], labels])
    centres = np.asarray(cells.centroids)

    def render(box: Box, step: int) -> Labels:
        resolution = (mpp[0] * step, mpp[1] * step)
        if max(resolution) <= step_limit:
            return lookup[cells.labels(box, resolution)]
        out = np.zeros(((box[2] - box[0]) // step, (box[3] - box[1]) // step), np.int32)
        inside = np.flatnonzero(((centres >= box[:2]) & (centres < box[2:])).all(1))
        y, x = ((centres[inside] - box[:2]) // step).astype(np.int64).T
        out[y, x] = labels[inside]
        return out

    return render


def draw_squares(grid: Labels, side: int) -> Render:
    """Draw each value of a (rows, columns) grid as a square of ``side`` base px."""

    def render(box: Box, step: int) -> Labels:
        rows, columns = (np.arange(box[i], box[i + 2], step) // side for i in (0, 1))
        return np.ascontiguousarray(grid[np.ix_(rows, columns)])

    return render


def draw_boxes(boxes: NDArray[np.int64], labels: Labels) -> Render:
    """Draw boxes (N, 4) of base px, wherever they lie, a pixel each at least; later over earlier."""

    def render(box: Box, step: int) -> Labels:
        out = np.zeros(((box[2] - box[0]) // step, (box[3] - box[1]) // step), np.int32)
        met = np.flatnonzero(((boxes[:, :2] < box[2:]) & (boxes[:, 2:] > box[:2])).all(1))
        last = -((box[:2] - boxes[met, 2:]) // step)
        first = np.maximum(np.minimum(-((box[:2] - boxes[met, :2]) // step), last - 1), 0)
        for (y0, x0), (y1, x1), label in zip(first, last, labels[met], strict=True):
            out[y0:y1, x0:x1] = label
        return out

    return render


def _level(shape: tuple[int, int], step: int, render: Render) -> da.Array:
    size = (shape[0] // step, shape[1] // step)

    def draw(block_info: Any) -> Labels:
        (y0, y1), (x0, x1) = block_info[None]["array-location"]
        return render((y0 * step, x0 * step, y1 * step, x1 * step), step)

    # A name of its own: napari's cache must not take one drawing for another.
    return da.map_blocks(
        draw,
        chunks=normalize_chunks((_CHUNK, _CHUNK), size),
        dtype=np.int32,
        meta=np.empty((0, 0), np.int32),
        name=f"labels-{uuid.uuid4().hex}",
    )
