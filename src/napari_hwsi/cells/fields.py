"""A few fields of a slide that stand for its tissue."""

from __future__ import annotations

import numpy as np

from ..errors import SlideError
from ..slides import RGB, Slide
from ..tissue import TissueMask
from ..units import Box, Mpp

_FIELD_PX = 512
_FIELDS = 16
_ENOUGH = 0.5  # share of a field that is tissue


def working_mpp(slide: Slide, wanted: float) -> Mpp:
    """Return (y, x) µm/px to read a slide at: ``wanted``, or its coarser axis where that is coarser.

    Pixels come out square, within the 5 % that :meth:`Slide.scale_at` allows. Raises ResolutionError for
    a slide without mpp.
    """
    own = slide.require_mpp()
    scale = slide.scale_at(max(*own, wanted))
    return scale.mpp or own


def sample_fields(slide: Slide, mpp: float, tissue: TissueMask | None) -> list[tuple[RGB, Mpp]]:
    """Return up to 16 images (≤ 512, ≤ 512, 3), evenly spread over the tissue, and their (y, x) µm/px.

    All fields of a grid from the top left of the slide's bounds that are half tissue are
    candidates; where none is, or no mask is given, all are. A field that cannot be read is passed
    over; raises SlideError where that is so of all.
    """
    resolution = working_mpp(slide, mpp)
    step = [_FIELD_PX * r / own for r, own in zip(resolution, slide.require_mpp(), strict=True)]
    y0, x0, y1, x1 = slide.bounds
    boxes: list[Box] = [
        (round(y), round(x), min(round(y + step[0]), y1), min(round(x + step[1]), x1))
        for y in np.arange(y0, y1, step[0])
        for x in np.arange(x0, x1, step[1])
    ]
    held = [box for box in boxes if tissue is None or tissue.coverage(box) >= _ENOUGH] or boxes
    chosen = [held[i] for i in np.unique(np.linspace(0, len(held) - 1, _FIELDS).round().astype(int))]
    images: list[tuple[RGB, Mpp]] = []
    unreadable: list[SlideError] = []
    for top, left, bottom, right in chosen:
        height, width = ((bottom - top) / step[0], (right - left) / step[1])
        size = [max(1, round(part * _FIELD_PX)) for part in (height, width)]
        try:
            images.append((slide.read((top, left), size, mpp=resolution), resolution))
        except SlideError as error:
            unreadable.append(error)
    if not images:
        raise unreadable[0]
    return images
