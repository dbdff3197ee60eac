"""Guides on a picture: fractions along its edges, so that a model can name places."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...slides import RGB

_STEPS = 10
_MARGIN = 26


def with_guides(pixels: RGB) -> RGB:
    """Return a picture (Y, X, 3) with a white margin at the top and the left that carries tenths.

    Fractions are of the picture without its margin, and faint ticks stand where tenths cross its edges; the
    pixels themselves are not drawn on.
    """
    h, w = pixels.shape[:2]
    page = Image.new("RGB", (w + _MARGIN, h + _MARGIN), "white")
    page.paste(Image.fromarray(pixels), (_MARGIN, _MARGIN))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(11)
    for k in range(_STEPS + 1):
        part = k / _STEPS
        x, y = _MARGIN + min(round(part * w), w - 1), _MARGIN + min(round(part * h), h - 1)
        pen.line((x, _MARGIN - 5, x, _MARGIN - 1), fill="black")
        pen.line((_MARGIN - 5, y, _MARGIN - 1, y), fill="black")
        label = f"{part:.1f}".lstrip("0") if 0 < k < _STEPS else f"{round(part)}"
        pen.text((x, 2), label, "black", font, anchor="ma")
        pen.text((2, y), label, "black", font, anchor="lm")
    return np.asarray(page)
