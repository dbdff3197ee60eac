"""The units of language of a batch, as strings and their places, for a text encoder to turn into vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..model.losses import Units
from .queue import Queue
from .units import TextUnits, string_number, text_units

_MOST = 64
"""Units of a scale that a report gives at the most, the first ones."""

_split: Callable[[str], TextUnits] = lru_cache(maxsize=65536)(text_units)


def units_of(texts: Sequence[str], scale: str) -> tuple[list[str], list[int]]:
    """Return the units of a scale of B texts, and which text each is of."""
    strings: list[str] = []
    rows: list[int] = []
    for row, text in enumerate(texts):
        own = _split(text).of(scale)[:_MOST]
        strings += own
        rows += [row] * len(own)
    return strings, rows


def embedded(
    texts: Sequence[str],
    scale: str,
    encode: Callable[[Sequence[str]], Tensor],
    queue: Queue | None = None,
    remember: bool = False,
) -> Units | None:
    """Return the units of a scale of B texts as vectors, those of earlier batches behind them.

    encode: strings to (M, D); remember: take these in for later batches. None where no text has any.
    """
    strings, rows = units_of(texts, scale)
    if not strings:
        return None
    vectors = encode(strings)
    numbers = torch.tensor([string_number(string) for string in strings], device=vectors.device)
    units = Units(vectors, torch.tensor(rows, device=vectors.device), numbers)
    if queue is None:
        return units
    together = queue.behind(units)
    if remember:
        queue.remember(units)
    return together


def pooled_texts(
    texts: Sequence[str], scale: str, encode: Callable[[Sequence[str]], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return one vector a text, (B, D), the mean of its units, and bool (B,) where it has any."""
    strings, rows = units_of(texts, scale)
    there = torch.zeros(len(texts), dtype=torch.bool)
    if not strings:
        return torch.zeros(len(texts), 1), there
    vectors, index = encode(strings), torch.tensor(rows)
    there[index] = True
    index = index.to(vectors.device)
    sums = vectors.new_zeros(len(texts), vectors.shape[1]).index_add(0, index, vectors)
    counts = torch.bincount(index, minlength=len(texts)).clamp(min=1)
    return sums / counts[:, None], there.to(vectors.device)
