"""Cutting windows out of a level, for backends that can read whole pixels of what lies on it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .backend import RGB

_STEPS = 128  # a place between pixels is known to 1/128, as in the compositor that OpenSlide draws with


def paste_inside(
    shape: tuple[int, int],
    origin: tuple[int, int],
    size: tuple[int, int],
    background: tuple[int, int, int],
    read_inside: Callable[[int, int, int, int], RGB],
) -> RGB:
    """Return (h, w, 3): ``read_inside(y0, y1, x0, x1)`` where the window meets the level, else background.

    shape: (Y, X) of the level; origin, size: (y, x) and (h, w) of the window, pixels of the level.
    """
    top, left = origin
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + size[0], shape[0]), min(left + size[1], shape[1])
    if (y0, x0, y1, x1) == (top, left, top + size[0], left + size[1]):
        return read_inside(y0, y1, x0, x1)
    out = np.empty((*size, 3), np.uint8)
    out[:] = background
    if y0 < y1 and x0 < x1:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = read_inside(y0, y1, x0, x1)
    return out


def between_pixels(
    read_whole: Callable[[tuple[int, int], tuple[int, int]], RGB],
    origin: tuple[float, float],
    size: tuple[int, int],
) -> RGB:
    """Return the window at ``origin``, bilinear where that lies between the pixels of ``read_whole``.

    read_whole: gives (h, w, 3) at a whole (y, x) origin.
    """
    whole, share = zip(*(_split(o) for o in origin), strict=True)
    if not any(share):
        return read_whole((whole[0], whole[1]), size)
    more = [s + (part > 0) for s, part in zip(size, share, strict=True)]
    mixed: np.ndarray = read_whole((whole[0], whole[1]), (more[0], more[1])).astype(np.int32)
    for axis, part in enumerate(share):
        if part:
            first, second = (np.delete(mixed, end, axis) for end in (-1, 0))
            mixed = first * (_STEPS - part) + second * part
        else:
            mixed = mixed * _STEPS
    return ((mixed + _STEPS * _STEPS // 2) // (_STEPS * _STEPS)).astype(np.uint8)


def _split(value: float) -> tuple[int, int]:
    steps = math.floor(value * _STEPS + 0.5)
    return steps // _STEPS, steps % _STEPS
