"""How sure a score is: bootstrap intervals, by patient where patients are known."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Scorer: TypeAlias = Callable[[NDArray[np.int64]], float]
"""A score of case numbers int64 (M,), which may repeat; NaN where it is not defined."""


@dataclass(frozen=True)
class Interval:
    """A score of all cases and the middle 95 % of its bootstrap repeats.

    groups: how many patients (or single cases) were drawn; repeats: how many draws gave a score; a draw
    in which the score is not defined, such as one class only, gives none. low and high are NaN where no
    draw did.
    """

    score: float
    low: float
    high: float
    groups: int
    repeats: int

    def __str__(self) -> str:
        return f"{self.score:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    score: Scorer,
    groups: Sequence[Hashable],
    repeats: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return ``score`` of all cases with its 95 % percentile interval.

    groups: of each of the N
    cases, its patient: whole groups are drawn with replacement, since the cases of one patient are not
    independent (cluster bootstrap; Davison & Hinkley, Bootstrap Methods, 1997, section 3.8). Raises
    InputError where there is no case.
    """
    if not len(groups):
        raise InputError("There is no case to score.")
    numbers: dict[Hashable, list[int]] = {}
    for number, group in enumerate(groups):
        numbers.setdefault(group, []).append(number)
    members = [np.array(of_group, np.int64) for of_group in numbers.values()]
    generator = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(repeats):
        chosen = generator.integers(len(members), size=len(members))
        value = score(np.concatenate([members[i] for i in chosen]))
        if np.isfinite(value):
            drawn.append(value)
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (np.nan, np.nan)
    whole = score(np.arange(len(groups)))
    return Interval(float(whole), float(low), float(high), len(members), len(drawn))


def mean_of(values: NDArray[Any]) -> Scorer:
    """Return a score of case numbers: the mean of their values (N,)."""
    return lambda rows: float(values[rows].mean())
