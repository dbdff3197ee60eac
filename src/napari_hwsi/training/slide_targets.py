"""What is learnt of a slide: a class, an ordered class, a number, or survival; each with its loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError

TargetKind: TypeAlias = Literal["class", "ordinal", "continuous", "survival"]

KINDS: tuple[TargetKind, ...] = get_args(TargetKind)

_TIMES = 4  # intervals that a survival time is told apart by


@dataclass(frozen=True)
class Target:
    """What is learnt, and how outputs are read.

    kind; classes: names in order, of a class; mean and spread: of a number; cuts: ends of the intervals of
    survival, (_TIMES − 1,).
    """

    kind: TargetKind
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    spread: float = 1.0
    cuts: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers a network gives for it."""
        return {
            "class": len(self.classes),
            "ordinal": len(self.classes) - 1,
            "continuous": 1,
            "survival": _TIMES,
        }[self.kind]

    def numbers(self, rows: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
        """Return what the rows of a table say, (S, 2): class number, value, or (interval, event); else 0."""
        out = np.zeros((len(rows), 2))
        for i, row in enumerate(rows):
            if self.classes:
                out[i, 0] = self.classes.index(row["label"])
            elif self.kind == "continuous":
                out[i, 0] = (float(row["label"]) - self.mean) / self.spread
            else:
                out[i] = np.searchsorted(self.cuts, float(row["time"]), "right"), _event(row["event"])
        return out

    def loss(self, output: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss of each slide (B,), of outputs (B, K) and the numbers (B, 2).

        class: cross-entropy. ordinal: binary cross-entropy of "above class k" (Cheng et al., IJCNN 2008).
        continuous: squared error in spreads. survival: negative log-likelihood of the hazards of the
        intervals, given whether the event was seen (Zadeh & Schmid, IEEE TPAMI 2021).
        """
        first = wanted[:, 0]
        if self.kind == "class":
            return functional.cross_entropy(output, first.long(), reduction="none")
        if self.kind == "ordinal":
            above = (first[:, None] > torch.arange(output.shape[1])).float()
            return functional.binary_cross_entropy_with_logits(output, above, reduction="none").mean(1)
        if self.kind == "continuous":
            return (output[:, 0] - first).square()
        interval, event = first.long(), wanted[:, 1]
        survived = functional.logsigmoid(-output)
        before = (survived * (torch.arange(output.shape[1]) < interval[:, None])).sum(1)
        at = torch.arange(len(output))
        return -(
            before
            + event * functional.logsigmoid(output[at, interval])
            + (1 - event) * survived[at, interval]
        )

    def probabilities(self, output: Tensor, temperature: float = 1.0) -> Tensor:
        """Return the probability of each class (B, C) of a class or ordered class, after calibration."""
        if self.kind == "class":
            return (output / temperature).softmax(1)
        above = torch.sigmoid(output / temperature).cummin(1).values  # "above k + 1" implies "above k"
        ones, none = torch.ones(len(output), 1), torch.zeros(len(output), 1)
        return torch.cat([ones, above], 1) - torch.cat([above, none], 1)

    def value(self, output: Tensor) -> Tensor:
        """Return the number of a continuous target in its own unit, or the risk of survival, (B,)."""
        if self.kind == "continuous":
            return output[:, 0] * self.spread + self.mean
        return -functional.logsigmoid(-output).cumsum(1).exp().sum(1)


def target_of(kind: str, rows: Sequence[Mapping[str, str]]) -> Target:
    """Return the target that the rows of a table give: ``label``, or ``time`` and ``event``.

    Raises InputError, naming what is wrong, for an unknown kind, a value that is none, one class only, an
    ordered class that is no whole number, and survival without an event.
    """
    if kind not in KINDS:
        raise InputError(f"A target is one of {', '.join(KINDS)}, not {kind!r}.")
    if kind == "survival":
        times = np.array([_number(row["time"], "time") for row in rows])
        events = np.array([_event(row["event"]) for row in rows])
        if not events.any():
            raise InputError("No slide has an event: there is nothing to learn of survival.")
        if (times <= 0).any():
            raise InputError("A time of survival is above 0.")
        cuts = np.quantile(times[events == 1], np.arange(1, _TIMES) / _TIMES)
        return Target(kind, cuts=tuple(float(cut) for cut in cuts))
    labels = [row["label"] for row in rows]
    if kind == "continuous":
        values = np.array([_number(label, "label") for label in labels])
        if np.ptp(values) == 0:
            raise InputError(f"All slides have the label {labels[0]}: there is nothing to learn.")
        return Target(kind, mean=float(values.mean()), spread=float(values.std()))
    counts = Counter(labels)
    if len(counts) < 2:
        raise InputError(f"All slides are of the class {labels[0]!r}: there is nothing to tell apart.")
    if kind == "ordinal":
        if wrong := [label for label in counts if not label.lstrip("-").isdigit()]:
            raise InputError(f"An ordered class is a whole number, not {wrong[0]!r}.")
        return Target(kind, tuple(sorted(counts, key=int)))
    return Target("class", tuple(sorted(counts)))


def _number(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"The {column} {text!r} is no number.") from None
    if not np.isfinite(value):
        raise InputError(f"The {column} {text!r} is no finite number.")
    return value


def _event(text: str) -> int:
    if text.strip().lower() in ("1", "true", "yes", "dead", "event"):
        return 1
    if text.strip().lower() in ("0", "false", "no", "alive", "censored"):
        return 0
    raise InputError(f"An event is 1 or 0, not {text!r}.")
