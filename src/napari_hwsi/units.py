"""Places and sizes.

Axis order is (y, x). A *place* is in level-0 pixels of the slide, a *size on the
ground* in micrometres (names end in ``_um``), a *resolution* is ``mpp``, µm per
pixel, always as a (y, x) pair once inside the package.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from .errors import InputError, ResolutionError

Box: TypeAlias = tuple[int, int, int, int]
"""(y0, x0, y1, x1), half open, level-0 pixels."""

Mpp: TypeAlias = tuple[float, float]
"""(y, x) micrometres per pixel."""


def as_mpp(value: float | Sequence[float]) -> Mpp:
    """Return ``value`` (one number, or y and x) as a checked (y, x) pair.

    Raises ResolutionError unless both numbers are finite and within 0.01–100 µm/px.
    """
    pair = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(pair) != 2:
        raise ResolutionError(f"A resolution is one number or (y, x) in µm per pixel, not {value!r}.")
    y, x = float(pair[0]), float(pair[1])
    if not all(math.isfinite(v) and 0.01 <= v <= 100 for v in (y, x)):
        raise ResolutionError(f"{value!r} µm per pixel is not a resolution of a slide (0.01 to 100).")
    return y, x


def as_box(value: Sequence[float]) -> Box:
    """Return ``value`` as a whole-pixel box that covers it.

    Raises InputError when it is not (y0, x0, y1, x1) with y0 < y1 and x0 < x1.
    """
    if len(value) != 4 or not all(math.isfinite(v) for v in value):
        raise InputError(f"A box is (y0, x0, y1, x1) in level-0 pixels, not {value!r}.")
    y0, x0, y1, x1 = math.floor(value[0]), math.floor(value[1]), math.ceil(value[2]), math.ceil(value[3])
    if y0 >= y1 or x0 >= x1:
        raise InputError(f"The box {tuple(value)!r} is empty: it must run from a top left to a bottom right.")
    return y0, x0, y1, x1


def intersect(a: Box, b: Box) -> Box | None:
    """Return the box common to ``a`` and ``b``, or None where they do not meet."""
    y0, x0, y1, x1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def box_size_um(box: Box, mpp: Mpp) -> tuple[float, float]:
    """Return height and width of ``box`` on the ground, in µm."""
    return (box[2] - box[0]) * mpp[0], (box[3] - box[1]) * mpp[1]
