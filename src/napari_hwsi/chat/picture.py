"""The picture of a view: what a model sees, and what a person can look at before it is sent."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from ..evidence import Change
from ..hierarchy import Hierarchy
from ..slides import RGB, Slide
from ..units import Box, Mpp, intersect

MAX_SIDE = 1024
_PIECES = 8  # along the longer side of a shuffled picture


@dataclass(frozen=True)
class Picture:
    """Pixels of a view.

    pixels: (h, w, 3) uint8 RGB; box: what they show, level-0 px; mpp: (y, x) µm per picture pixel.
    """

    pixels: RGB
    box: Box
    mpp: Mpp

    def png(self) -> bytes:
        """Return the pixels, losslessly and with nothing beside them, as a PNG file."""
        file = io.BytesIO()
        Image.fromarray(self.pixels).save(file, "PNG")
        return file.getvalue()


def picture(result: Hierarchy, box: Box | None = None) -> Picture:
    """Return what a model would be sent about ``box`` (level-0 px; None: the whole slide).

    Nothing else of the slide, its file or its labels is in it. Raises ResolutionError,
    SlideError, and StoreError where the slide is not where it was.
    """
    return picture_of(result.slide, result.slide.bounds if box is None else box)


def picture_under(result: Hierarchy, box: Box | None, change: Change) -> Picture | None:
    """Return what a model would be sent about ``box`` under a change, None where it is sent no picture.

    'shuffled': whole squares, eight along the longer side, in another order; a rest at the edge stays.
    'without': the unit is filled with the mean colour of the picture. Raises what :func:`picture` raises.
    """
    if change.kind == "nothing":
        return None
    if change.kind == "elsewhere":
        return picture(change.result or result, change.box)
    seen = picture(result, box)
    if change.kind == "shuffled":
        return replace(seen, pixels=_shuffled(seen.pixels, change.seed))
    if change.kind == "without" and change.box is not None:
        return replace(seen, pixels=_without(seen, change.box))
    return seen


def _shuffled(pixels: RGB, seed: int) -> RGB:
    side = max(1, max(pixels.shape[:2]) // _PIECES)
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    whole = pixels[: rows * side, : columns * side]
    pieces = whole.reshape(rows, side, columns, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    pieces = pieces[np.random.default_rng(seed).permutation(len(pieces))]
    out = pixels.copy()
    out[: rows * side, : columns * side] = (
        pieces.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(whole.shape)
    )
    return out


def _without(seen: Picture, unit: Box) -> RGB:
    out = seen.pixels.copy()
    part = intersect(unit, seen.box)
    if part is not None:
        scale = np.divide(out.shape[:2], (seen.box[2] - seen.box[0], seen.box[3] - seen.box[1]))
        y0, x0 = np.floor(np.subtract(part[:2], seen.box[:2]) * scale).astype(int)
        y1, x1 = np.ceil(np.subtract(part[2:], seen.box[:2]) * scale).astype(int)
        out[y0:y1, x0:x1] = np.rint(seen.pixels.mean((0, 1)))
    return out


def picture_of(slide: Slide, box: Box, max_side: int = MAX_SIDE) -> Picture:
    """Read ``box`` as finely as ``max_side`` pixels allow, and as the slide has it."""
    own = slide.require_mpp()
    shrink = max(1.0, (box[2] - box[0]) / max_side, (box[3] - box[1]) / max_side)
    size, mpp = _size(slide, box, shrink)
    if max(size) > max_side:  # a level up to 5 % finer was near enough: ask past it
        shrink *= 1.06
        size, mpp = _size(slide, box, shrink)
    return Picture(slide.read(box[:2], size, mpp=(own[0] * shrink, own[1] * shrink)), box, mpp)


def _size(slide: Slide, box: Box, shrink: float) -> tuple[tuple[int, int], Mpp]:
    """Return (h, w) in picture px and the true mpp of ``box`` read ``shrink`` times smaller than level 0."""
    own = slide.require_mpp()
    y, x = slide.scale_at((own[0] * shrink, own[1] * shrink)).downsample
    size = (max(1, round((box[2] - box[0]) / y)), max(1, round((box[3] - box[1]) / x)))
    return size, (own[0] * y, own[1] * x)
