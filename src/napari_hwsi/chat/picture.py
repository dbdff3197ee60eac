"""The picture of a view: what a model sees, and what a person can look at before it is sent."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from ..hierarchy import Hierarchy
from ..slides import RGB, Slide
from ..units import Box, Mpp

MAX_SIDE = 1024


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
