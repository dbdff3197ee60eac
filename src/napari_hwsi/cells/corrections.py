"""Nuclei corrected by hand: a label image of a part of a slide is edited and merged back into the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage.draw import line as pixels_of_line
from skimage.morphology import convex_hull_image

from ..errors import InputError
from ..slides import Slide
from ..units import Box, Mpp, as_box, intersect
from .cells import Cells
from .fields import working_mpp
from .neighbours import COLUMNS as NEIGHBOUR_COLUMNS
from .neighbours import REACH_UM
from .segmenter import Segmentation
from .split import split_touching
from .tiles import TilePixels, cells_of

EDITED = "edited"
"""The column of the table that is true of nuclei corrected by hand."""

EDIT_UM = 0.5
"""µm per pixel that nuclei are edited and measured at, as segmenters do."""

EDIT_SIDE_PX = 2048
"""Side of the largest part of a slide that is edited at once, at that resolution."""

_STRAY_UM2 = 5.0  # a smaller piece left over beside a larger one of its label is no nucleus


@dataclass(frozen=True, eq=False)
class Editable:
    """A part of a slide with the cells that can be edited there.

    box: (y0, x0, y1, x1) level-0 px; resolution: (y, x) µm per pixel of ``labels``, int32 (Y, X): row
    number of ``cells`` + 1. Nuclei that the box cuts are drawn, but stay as they are: ``cut``, their labels.
    """

    slide: Slide
    cells: Cells
    box: Box
    resolution: Mpp
    labels: NDArray[np.int32]
    cut: NDArray[np.int32]

    @classmethod
    def of(cls, slide: Slide, cells: Cells, box: Sequence[float]) -> Editable:
        """Draw the cells of a box. Raises InputError for a box off the slide or over 2048 px at 0.5 µm/px."""
        within = intersect(as_box(box), (0, 0, *slide.shape))
        if within is None:
            raise InputError(f"The box {tuple(box)} does not meet {slide.name}.")
        resolution = working_mpp(slide, EDIT_UM)
        size = np.subtract(within[2:], within[:2]) * slide.require_mpp()
        if (size > np.multiply(resolution, EDIT_SIDE_PX)).any():
            raise InputError(
                f"{size[0]:,.0f} x {size[1]:,.0f} µm are too large to edit nuclei one by one. "
                f"Zoom in, to at most {EDIT_SIDE_PX * resolution[0]:,.0f} µm either way."
            )
        labels = cells.labels(within, resolution)
        bounds = np.asarray(cells.contours.bounds)
        y0, x0, y1, x1 = within
        over = np.any(np.hstack([bounds[:, :2] < (y0, x0), bounds[:, 2:] > (y1, x1)]), axis=1)
        seen = np.unique(labels[labels > 0])
        return cls(slide, cells, within, resolution, labels, seen[over[seen - 1]])

    def unused(self, labels: NDArray[np.integer]) -> int:
        """Return a label that neither the cells nor an edited image have."""
        return max(len(self.cells), int(labels.max(initial=0))) + 1


@dataclass(frozen=True, eq=False)
class Reversal:
    """What takes a correction back: a few rows, not all cells.

    rows: int64 (K,), ascending, where ``replaced`` stood among the cells before; added: cells at the end
    that stand in their place; marked: whether the table had the column ``edited`` before.
    """

    rows: NDArray[np.int64]
    replaced: Cells
    added: int
    marked: bool

    def apply(self, cells: Cells) -> Cells:
        """Return the cells before the correction that led to ``cells``, to the last bit."""
        kept = cells.select(np.arange(len(cells) - self.added))
        if not self.marked:
            kept = replace(kept, table=kept.table.drop(columns=EDITED))
        whole = Cells.concatenate([kept, self.replaced])
        order = np.empty(len(whole), np.int64)
        others = np.setdiff1d(np.arange(len(whole)), self.rows, assume_unique=True)
        order[others] = np.arange(len(kept))
        order[self.rows] = np.arange(len(kept), len(whole))
        return whole.select(order)


@dataclass(frozen=True, eq=False)
class Correction:
    """Cells after a correction, and what takes it back."""

    cells: Cells
    reversal: Reversal

    def undone(self) -> Cells:
        """Return the cells before, to the last bit."""
        return self.reversal.apply(self.cells)


def correct(part: Editable, edited: ArrayLike, new_type: int = 0) -> Correction:
    """Merge an edited label image of a part back into its cells.

    edited: integers (Y, X) as ``part.labels``. Cells whose pixels did not change keep their rows, order and
    all, to the last bit; what their neighbours tell among it, which :meth:`Cells.with_neighbours` renews.
    Labels that are gone are deleted. Changed and new ones are traced and measured as cells of tiles are, come
    last, with probability 1 and true in the column ``edited``. They have the type of the nucleus most of
    their pixels belonged to, new ones ``new_type``; columns that are not measured here, and tokens, are NaN,
    or of that nucleus where they are no fractions. 4-connected pieces of a label become a nucleus each, but
    for those below 5 µm² beside a larger one. Cut nuclei stay, whatever was painted over them.

    Raises InputError for an image of another shape or kind, a type that has no name, pixels that cannot be
    read, and where nothing changed.
    """
    cells, before, after = part.cells, part.labels, _checked(part, edited)
    if not 0 <= new_type < max(len(cells.type_names), 1):
        raise InputError(f"Type {new_type} has no name among {cells.type_names}.")
    moved = before != after
    if not moved.any():
        raise InputError("No nucleus was changed.")
    changed = np.setdiff1d(np.union1d(before[moved], after[moved]), [0])
    gone = np.intersect1d(changed, before)
    pieces = _pieces(np.where(np.isin(after, changed), after, 0), part.resolution)
    origin = _origins(pieces, before)
    kept_rows = np.setdiff1d(np.arange(len(cells)), gone - 1, assume_unique=True)
    fresh = _measured(part, pieces, origin, new_type)
    marked = EDITED in cells.table
    kept = _marked(cells.select(kept_rows), False)
    joined = _with_neighbours(Cells.concatenate([kept, _marked(fresh, True)]), part, len(kept))
    rows = gone.astype(np.int64) - 1
    return Correction(joined, Reversal(rows, cells.select(rows), len(fresh), marked))


def merge(labels: NDArray[np.int32], which: Sequence[int]) -> NDArray[np.int32]:
    """Return labels (Y, X) with some of them as one, which has the first one's number.

    Where they do not touch, the background within their convex hull joins them. Raises InputError for fewer
    than two that are there, and where another nucleus lies between.
    """
    there = [label for label in dict.fromkeys(which) if label and (labels == label).any()]
    if len(there) < 2:
        raise InputError("Merging takes two nuclei or more.")
    whole = np.isin(labels, there)
    if ndimage.label(whole)[1] > 1:
        whole = convex_hull_image(whole) & (whole | (labels == 0))
        if ndimage.label(whole)[1] > 1:
            raise InputError("Another nucleus lies between these, so they cannot become one.")
    return np.where(whole, there[0], labels).astype(np.int32)


def split_by_line(labels: NDArray[np.int32], line: ArrayLike, unused: int) -> NDArray[np.int32]:
    """Return labels (Y, X) with those apart that a line crosses from edge to edge.

    line: (M, 2) places (y, x) in pixels, joined; unused: the first label for pieces, of which the largest
    keeps its label. The pixels of the line go to the nearest piece. Raises InputError where it crosses none.
    """
    points = np.rint(np.asarray(line, float).reshape(-1, 2)).astype(int)
    drawn = np.zeros(labels.shape, bool)
    for a, b in pairwise(points):
        y, x = pixels_of_line(*a, *b)
        inside = (y >= 0) & (x >= 0) & (y < labels.shape[0]) & (x < labels.shape[1])
        drawn[y[inside], x[inside]] = True
    result, found = labels.copy(), 0
    for label in np.setdiff1d(labels[drawn], [0]):
        pieces, count = ndimage.label((labels == label) & ~drawn)
        if count > 1:
            _, whole = ndimage.label(labels == label)
            if count > whole:
                result = _take_apart(result, label, pieces, unused + found)
                found += count - 1
    if not found:
        raise InputError("The line crosses no nucleus from edge to edge.")
    return result


def split_at_waist(labels: NDArray[np.int32], label: int, pixel_um: float, unused: int) -> NDArray[np.int32]:
    """Return labels (Y, X) with one of them apart where its outline is waisted (:func:`.split_touching`).

    Raises InputError where it is not there, or has no waist.
    """
    mask = labels == label
    if label == 0 or not mask.any():
        raise InputError(f"Nucleus {label} is not here.")
    pieces, origin = split_touching(mask.astype(np.int32), pixel_um)
    if len(origin) < 2:
        raise InputError("This nucleus has no waist to be split at. Draw a line across it.")
    return _take_apart(labels.copy(), label, pieces, unused)


def _take_apart(
    labels: NDArray[np.int32], label: int, pieces: NDArray[np.integer], unused: int
) -> NDArray[np.int32]:
    """Give each piece of a label but the largest a label of its own; what is in none joins the nearest."""
    sizes = np.bincount(pieces.ravel())
    order = np.argsort(-sizes[1:], kind="stable") + 1
    numbers = np.zeros(len(sizes), np.int32)
    numbers[order] = [label, *range(unused, unused + len(order) - 1)]
    (where,) = ndimage.find_objects((labels == label).astype(np.int8))
    inside, mask = pieces[where], labels[where] == label
    near = ndimage.distance_transform_edt(inside == 0, return_distances=False, return_indices=True)
    labels[where][mask] = numbers[inside[tuple(near)]][mask]
    return labels


def _checked(part: Editable, edited: ArrayLike) -> NDArray[np.int64]:
    """Return the edited labels, cut nuclei as they were."""
    after = np.asarray(edited)
    if after.shape != part.labels.shape or after.dtype.kind not in "iu":
        raise InputError(
            f"The edited labels are {after.dtype} {after.shape}; integers {part.labels.shape} are needed."
        )
    after = after.astype(np.int64)
    if after.min(initial=0) < 0:
        raise InputError("The edited labels hold numbers below 0.")
    after[np.isin(after, part.cut)] = 0
    return np.where(np.isin(part.labels, part.cut), part.labels, after)


def _pieces(labels: NDArray[np.int64], resolution: Mpp) -> NDArray[np.int32]:
    """Number the 4-connected pieces of labels 1 to N, without strays."""
    pieces = np.zeros(labels.shape, np.int32)
    count = 0
    flat, numbers = np.unique(labels, return_inverse=True)
    for i, where in enumerate(ndimage.find_objects(numbers.reshape(labels.shape))):
        if where is None or flat[i + 1] == 0:
            continue
        found, many = ndimage.label(labels[where] == flat[i + 1])
        sizes = np.bincount(found.ravel(), minlength=many + 1)[1:]
        keep = sizes * resolution[0] * resolution[1] >= _STRAY_UM2
        keep[sizes.argmax()] = True
        new = np.append(0, np.where(keep, count + np.cumsum(keep), 0)).astype(np.int32)
        pieces[where] = np.where(found > 0, new[found], pieces[where])
        count += int(keep.sum())
    return pieces


def _origins(pieces: NDArray[np.int32], before: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return for each piece the row that most of its pixels belonged to, -1 where they were background."""
    both = (pieces > 0) & (before > 0)
    pairs, counts = np.unique(np.stack([pieces[both], before[both]], 1), axis=0, return_counts=True)
    origin = np.full(int(pieces.max(initial=0)), -1, np.int64)
    rising = np.argsort(counts, kind="stable")  # the largest is written last
    origin[pairs[rising, 0] - 1] = pairs[rising, 1].astype(np.int64) - 1
    return origin


def _measured(part: Editable, pieces: NDArray[np.int32], origin: NDArray[np.int64], new_type: int) -> Cells:
    """Return pieces as cells with the columns of the others."""
    cells, count = part.cells, len(origin)
    if not count:
        return cells.select(np.empty(0, np.int64))
    height, width = part.labels.shape
    rgb, readable = part.slide.read_masked(part.box[:2], (height, width), mpp=part.resolution)
    mpp = part.slide.require_mpp()
    pixels = TilePixels(part.box, part.box[:2], rgb, readable, part.resolution, mpp)
    types = np.full(count, new_type, np.uint8)
    types[origin >= 0] = cells.types[origin[origin >= 0]]
    # Cells of tiles are sorted: their numbers ride along as tokens.
    numbers = np.arange(count, dtype=np.float32)[:, None]
    made = Segmentation(pieces, types, np.ones(count, np.float32), numbers)
    found = cells_of(pixels, made, cells.type_names)
    if len(found) < count or found.tokens is None:
        raise InputError(
            "A nucleus was changed where the slide's pixels cannot be read. Undo that, and keep."
        )
    came = origin[found.tokens[:, 0].astype(np.int64)]
    tokens = None if cells.tokens is None else np.full((count, cells.tokens.shape[1]), np.nan, np.float32)
    return replace(found, mpp=cells.mpp, table=_columns(found.table, cells.table, came), tokens=tokens)


def _columns(found: pd.DataFrame, table: pd.DataFrame, came: NDArray[np.int64]) -> pd.DataFrame:
    """Return measurements with the columns of a table; what is not measured as :func:`correct` says."""
    columns = {}
    for name, dtype in table.dtypes.items():
        if name in found:
            columns[name] = found[name].to_numpy().astype(dtype)
        elif dtype.kind == "f":
            columns[name] = np.full(len(found), np.nan, dtype)
        else:
            values = np.zeros(len(found), dtype)
            values[came >= 0] = table[name].to_numpy()[came[came >= 0]]
            columns[name] = values
    return pd.DataFrame(columns, index=range(len(found)))


def _marked(cells: Cells, fresh: bool) -> Cells:
    if not fresh and EDITED in cells.table:
        return cells
    flags = np.full(len(cells), fresh)
    return replace(cells, table=cells.table.assign(**{EDITED: flags}))


def _with_neighbours(cells: Cells, part: Editable, start: int) -> Cells:
    """Return cells with what neighbours tell of those from ``start`` on, where the table holds that."""
    names = [name for name in NEIGHBOUR_COLUMNS if name in cells.table]
    if not names or start == len(cells):
        return cells
    margin = 2 * REACH_UM / np.array(part.slide.require_mpp())
    low, high = np.array(part.box[:2]) - margin, np.array(part.box[2:]) + margin
    around = intersect((int(low[0]), int(low[1]), int(high[0]), int(high[1])), (0, 0, *part.slide.shape))
    assert around is not None  # the box lies on the slide
    near = np.flatnonzero(cells.inside(around))
    found = cells.select(near).with_neighbours(around).table
    rows = np.flatnonzero(near >= start)
    table = cells.table.copy()
    for name in names:
        column = table[name].to_numpy(copy=True)
        column[near[rows]] = found[name].to_numpy()[rows].astype(column.dtype)
        table[name] = column
    return replace(cells, table=table)
