"""Whether an answer depends on the image: the same question, asked again with the image changed.

A blind answer can be fluent and even right (Goyal et al., CVPR 2017), so it is not the text that tells, but
what becomes of it when the image is withheld, exchanged, or cut into pieces and shuffled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from ..errors import Cancelled, HwsiError, InputError
from ..progress import Progress, Step, tell
from .agreement import Agreement, agreement
from .change import Change, ChangeKind

Answering: TypeAlias = Callable[[Change, Progress], str]
"""Answers the question under a change, in plain text; calls the progress at least every second."""

Verdict: TypeAlias = Literal["depends", "independent", "unspecific", "unsteady", "unknown"]

_WARNINGS: Mapping[Verdict, str] = {
    "independent": "The answer did not depend on the image: it is the same without it.",
    "unspecific": "The answer is not particular to this place: the same is said of another.",
    "unsteady": "The answer changes even when nothing is changed, so it cannot be told what it depends on.",
}


@dataclass(frozen=True)
class Trial:
    """The same question under one change. what: the change in words; text: what was answered then."""

    kind: ChangeKind
    what: str
    text: str
    agreement: Agreement

    def __str__(self) -> str:
        return f"{self.what}: {'the same' if self.agreement.same else 'another'} answer ({self.agreement})"


@dataclass(frozen=True)
class Dependence:
    """What became of an answer when the image was changed.

    trials: in the order of asking; left_out: what was not tried, and why.
    """

    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What the trials say.

        'independent': the answer is the same without the image; 'unspecific': the same of another place;
        'unsteady': asked again unchanged it is another; 'depends': none of these, and it changed without the
        image or elsewhere; 'unknown': none of this was tried. A shuffled image may well be answered alike:
        that says that the arrangement did not count.
        """
        same = {trial.kind: trial.agreement.same for trial in self.trials}
        if same.get("nothing"):
            return "independent"
        if same.get("elsewhere"):
            return "unspecific"
        if not {"nothing", "elsewhere"} & same.keys():
            return "unknown"
        return "depends" if same.get("unchanged", True) else "unsteady"

    @property
    def warning(self) -> str | None:
        """What a reader must be warned of, None where there is nothing."""
        return _WARNINGS.get(self.verdict)

    def __str__(self) -> str:
        if self.verdict == "depends":
            said = ["The answer changes with the image."]
        else:
            said = [self.warning or "Whether the answer depends on the image was not found out."]
        said += [f"{_sentence(str(trial))}" for trial in self.trials]
        said += [f"Not tried: {reason}" for reason in self.left_out]
        return " ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values that JSON can hold."""
        return {**asdict(self), "verdict": self.verdict, "warning": self.warning}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Dependence:
        """Read what :meth:`to_dict` gave."""
        trials = (
            Trial(**{**trial, "agreement": Agreement(**trial["agreement"])}) for trial in values["trials"]
        )
        return cls(tuple(trials), tuple(values["left_out"]))


class _TimeIsUp(Cancelled):
    """The budget of seconds is spent."""


def dependence(
    text: str,
    answering: Answering,
    changes: Sequence[Change],
    *,
    left_out: Sequence[str] = (),
    max_calls: int = 4,
    seconds: float = 120.0,
    progress: Progress | None = None,
) -> Dependence:
    """Ask again under each change, and compare each answer with ``text``, the first one.

    answering: asks under a change; left_out: what could not be tried, in sentences. At most ``max_calls``
    questions are asked and ``seconds`` spent, in the order of ``changes``; what is left then, or refused by
    the answerer, is told in ``left_out``. Raises InputError for a budget that allows nothing, Cancelled where
    ``progress`` stops it.
    """
    if max_calls < 1 or not seconds > 0:
        raise InputError("A check needs at least one call and some seconds.")
    end = time.monotonic() + seconds
    trials: list[Trial] = []
    missing = list(left_out)
    missing += [f"{change}; {max_calls} calls were allowed." for change in changes[max_calls:]]
    planned = changes[:max_calls]

    def in_time(step: Step) -> None:
        if time.monotonic() > end:
            raise _TimeIsUp("The time of the check is up.")
        tell(progress, done, len(planned), "check")

    for done, change in enumerate(planned):
        try:
            in_time(Step(done, len(planned), "check"))
            answered = answering(change, in_time)
        except _TimeIsUp:
            missing += [f"{left}; {seconds:g} s were allowed." for left in planned[done:]]
            break
        except Cancelled:
            raise
        except HwsiError as error:
            missing.append(f"{change}. {error}")
            continue
        trials.append(Trial(change.kind, str(change), answered, agreement(text, answered)))
    tell(progress, len(planned), len(planned), "check")
    return Dependence(tuple(trials), tuple(missing))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
