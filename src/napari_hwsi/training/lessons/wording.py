"""How lessons state numbers and places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...units import Box


def rounded(n: float) -> int:
    """Return a number to two figures."""
    if n < 10:
        return round(n)
    size: int = 10 ** (len(str(round(n))) - 2)
    return round(n / size) * size


def percent(share: float) -> str:
    """Return a share in words, to two figures."""
    return "less than 1 %" if share < 0.01 else f"about {rounded(100 * share)} %"


def place_words(y: float, x: float) -> str:
    """Return a place of a view, y and x in parts of its sides, in words and numbers."""
    row = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else ""
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    words = " ".join(word for word in (row, column) if word)
    where = f"in the {words} part" if words else "in the middle"
    return f"{where}, around x {x:.1f}, y {y:.1f}"


def listed(parts: Sequence[str]) -> str:
    """Return parts as a list in a sentence; there is at least one."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def one_of(rng: np.random.Generator, of: Sequence[str]) -> str:
    """Return one of several wordings."""
    return of[int(rng.integers(len(of)))]


def drawn_box(rng: np.random.Generator, shape: tuple[int, int], grid_px: int) -> Box:
    """Return a view as people take them: the whole slide of (Y, X) px, or a part of it of any shape.

    Half of the parts lie on a grid of ``grid_px`` level-0 px.
    """
    if rng.random() < 0.3:
        return 0, 0, *shape
    sides = [max(2 * grid_px, int(side * rng.uniform(0.25, 0.8))) for side in shape]
    starts = [
        int(rng.integers(0, max(1, whole - side + 1))) for whole, side in zip(shape, sides, strict=True)
    ]
    if rng.random() < 0.5:
        starts = [start // grid_px * grid_px for start in starts]
        sides = [max(2, side // grid_px) * grid_px for side in sides]
    y1, x1 = (min(start + side, whole) for start, side, whole in zip(starts, sides, shape, strict=True))
    return starts[0], starts[1], y1, x1
