"""Label images drawn when looked at, in tiles that are kept, with colours that cost nothing to change.

A nucleus has the label ``1 + row`` for good, and a :class:`LookupColormap` says which colour that
is: a million nuclei are recoloured without a pixel being drawn again. Things of fixed kinds, such as
patches, have the label ``1 + row * n_classes + class`` and napari's cyclic colours.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, ensure_colormap
from numpy.typing import NDArray
from pydantic import PrivateAttr

from ..cells.contours import Contours, draw
from ..units import Box, Mpp

if TYPE_CHECKING:
    from ..cells import CellIndex

Labels = NDArray[np.int32]
Render = Callable[[Box, int], Labels]
"""Draw a box of base pixels at a step: (h // step, w // step) labels."""

OKABE_ITO = ("#F0E442", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#0072B2", "#E69F00", "#000000")
"""Eight colours told apart with any colour vision (Okabe & Ito 2008); first those that stand out on H&E."""

TYPE_COLOURS = (
    *OKABE_ITO,
    *("#860DFF", "#682B0D", "#C2FFA4", "#0D0D86", "#492B49", "#E10D49", "#C268FF", "#FFFFFF"),
)
"""Eight more, each the farthest from all before it for the eye that tells it least (CIELAB; protanopia,
deuteranopia and tritanopia by Machado et al., IEEE TVCG 15, 2009), and from the cyan of what is selected."""

TISSUE_COLOURS = ("transparent", "#009E73", "#0072B2", "#E69F00", "#D55E00", "#56B4E9", "#F0E442")
"""Of the classes of a tissue mask, in their order: empty glass shows the slide."""

SCORE_CLASSES = 64
_CHUNK = 512
_KEPT = 96  # tiles of a drawing, 1 MiB each: more than a large screen shows
_COARSE_ENOUGH = 1024
_OUTLINES_UM_PX = 2.0  # coarser than this a nucleus is a pixel or two


def encode(classes: NDArray[Any], n_classes: int) -> Labels:
    """Return the labels of rows 0 … N-1 with these classes (each below ``n_classes``), int32 (N,)."""
    return (1 + np.arange(len(classes), dtype=np.int64) * n_classes + classes).astype(np.int32)


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


class LookupColormap(CyclicLabelColormap):  # type: ignore[misc]  # napari is not typed
    """Colours of labels by a lookup: label i has the colour ``colours[classes[i]]``, class 0 is not drawn.

    Labels beyond the lookup, such as newly painted ones, are of the last class.
    """

    _classes: NDArray[np.uint8] = PrivateAttr(default_factory=lambda: np.zeros(1, np.uint8))

    @classmethod
    def of(cls, classes: NDArray[np.uint8], colours: NDArray[np.floating[Any]]) -> LookupColormap:
        """Return the colormap. classes: (labels + 1,), label 0 first; colours: (up to 250, 4) RGBA."""
        made = cls(colors=colours)
        made._classes = classes
        return made

    def classes_of(self, labels: Any) -> Any:
        """Return the class of each label, uint8."""
        found = np.take(self._classes, labels, mode="clip")
        return np.where(labels == self.selection, found, 0) if self.use_selection else found

    def map(self, values: Any) -> NDArray[Any]:
        """napari: the colours (…, 4) of labels."""
        classes = self.classes_of(np.asarray(values, np.int64))
        return np.where((classes > 0)[..., None], self.colors[classes], 0)

    def _data_to_texture(self, values: Any) -> Any:
        # What napari uploads: classes in place of labels, for the colours of which its shader has room.
        return (
            np.uint8(self.classes_of(values))
            if np.ndim(values) == 0
            else self.classes_of(values).astype(np.uint8)
        )


class Drawing:
    """What a pyramid is drawn by, and the tiles of all its levels that were drawn last."""

    def __init__(self, render: Render) -> None:
        self.render = render
        self._tiles: OrderedDict[tuple[int, int, int], Labels] = OrderedDict()
        self._lock = threading.Lock()
        self._age = 0

    def tile(self, step: int, top: int, left: int, size: tuple[int, int]) -> Labels:
        """Return the tile of a level whose top left corner is at this pixel of it."""
        key = (step, top, left)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
            age = self._age
        drawn = self.render((top * step, left * step, (top + size[0]) * step, (left + size[1]) * step), step)
        with self._lock:
            if age == self._age:  # else it may have changed while it was drawn
                self._tiles[key] = drawn
            while len(self._tiles) > _KEPT:
                self._tiles.popitem(last=False)
        return drawn

    def forget(self, boxes: NDArray[Any]) -> None:
        """Draw anew, when looked at, what meets boxes (N, 4) of base pixels, a dot to the right and below."""
        with self._lock:
            self._age += 1
            for key in list(self._tiles):
                step, top, left = key
                y1, x1 = (
                    (place + side) * step for place, side in zip(key[1:], self._tiles[key].shape, strict=True)
                )
                if (
                    ((boxes[:, :2] < (y1, x1)) & (boxes[:, 2:] + step > (top * step, left * step)))
                    .all(1)
                    .any()
                ):
                    del self._tiles[key]


class DrawnLevel:
    """A level as napari takes it: int32 (Y, X), sliced like an array, drawn in tiles of 512 px."""

    dtype = np.dtype(np.int32)
    ndim = 2

    def __init__(self, shape: tuple[int, int], step: int, drawing: Drawing) -> None:
        self.shape, self.step, self.drawing = shape, step, drawing

    @property
    def size(self) -> int:
        """Numbers in the array."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes it would take at once."""
        return self.size * 4

    def __len__(self) -> int:
        return self.shape[0]

    def __deepcopy__(self, memo: Any) -> DrawnLevel:
        """A copied layer shows the same drawing."""
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[:, :], dtype)

    def __getitem__(self, key: Any) -> Any:
        """Return labels as numpy would: integers, slices and an ellipsis."""
        keys = key if isinstance(key, tuple) else (key,)
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = (*keys[:at], *(slice(None),) * (3 - len(keys)), *keys[at + 1 :])
        keys = (*keys, *(slice(None),) * (2 - len(keys)))
        wanted = [np.arange(n)[k] for k, n in zip(keys, self.shape, strict=True)]
        (y0, y1), (x0, x1) = ((int(w.min()), int(w.max()) + 1) if w.size else (0, 0) for w in wanted)
        rows, columns = (w - low for w, low in zip(wanted, (y0, x0), strict=True))
        window = self._window(y0, y1, x0, x1)
        return window[np.ix_(rows, columns)] if rows.ndim and columns.ndim else window[rows, columns]

    def _window(self, y0: int, y1: int, x0: int, x1: int) -> Labels:
        out = np.empty((y1 - y0, x1 - x0), np.int32)
        corners = product(*(range(a // _CHUNK * _CHUNK, b, _CHUNK) for a, b in ((y0, y1), (x0, x1))))
        for top, left in corners:
            size = (min(_CHUNK, self.shape[0] - top), min(_CHUNK, self.shape[1] - left))
            tile = self.drawing.tile(self.step, top, left, size)
            a, b, c, d = max(top, y0), min(top + size[0], y1), max(left, x0), min(left + size[1], x1)
            out[a - y0 : b - y0, c - x0 : d - x0] = tile[a - top : b - top, c - left : d - left]
        return out


def pyramid(shape: tuple[int, int], render: Render, coarsest_step: int | None = None) -> list[DrawnLevel]:
    """Return lazy int32 levels, each half the one before, drawn by ``render`` in tiles of 512 px.

    shape: (Y, X) of the base. It is padded at its end to a multiple of the coarsest step, so that
    every level is exactly in place. coarsest_step: a power of two, else until 1024 px a side.
    """
    steps = [1, 2]  # a single level would be no pyramid to napari
    while steps[-1] < coarsest_step if coarsest_step else max(shape) / steps[-1] > _COARSE_ENOUGH:
        steps.append(steps[-1] * 2)
    coarsest = steps[-1]
    padded = (-(-shape[0] // coarsest) * coarsest, -(-shape[1] // coarsest) * coarsest)
    drawing = Drawing(render)
    return [DrawnLevel((padded[0] // step, padded[1] // step), step, drawing) for step in steps]


def draw_cells(index: CellIndex, mpp: Mpp, step_limit: float = _OUTLINES_UM_PX) -> Render:
    """Draw nuclei as labels 1 + row: their areas, or dots where a nucleus is hardly larger than a pixel.

    mpp: (y, x) µm per level-0 px. A dot is 2 x 2 px: napari's halving on the way to the screen keeps it.
    """

    def render(box: Box, step: int) -> Labels:
        if max(mpp) * step <= step_limit:
            rows = index.meeting(box)
            near = index.cells.contours.take(rows)
            placed = Contours(((near.vertices - box[:2]) / np.float32(step)).astype(np.float32), near.offsets)
            labels = draw(placed, ((box[2] - box[0]) // step, (box[3] - box[1]) // step))
            return np.append(0, rows + 1).astype(np.int32)[labels]
        out = np.zeros(((box[2] - box[0]) // step, (box[3] - box[1]) // step), np.int32)
        rows = index.centred((box[0] - step, box[1] - step, box[2], box[3]))
        y, x = ((index.cells.centroids[rows] - box[:2]) // step).astype(np.int64).T
        for down, right in ((1, 1), (0, 1), (1, 0), (0, 0)):  # its own place last: no neighbour hides it
            inside = (
                (y + down >= 0) & (x + right >= 0) & (y + down < out.shape[0]) & (x + right < out.shape[1])
            )
            out[y[inside] + down, x[inside] + right] = rows[inside] + 1
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
