"""How steady an answer is: the same question, asked several times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from ..errors import InputError
from ..progress import Progress, tell
from .agreement import agreement

Repeating: TypeAlias = Callable[[], str]
"""Answers the question once more, in plain text."""


@dataclass(frozen=True)
class Repeats:
    """Several answers to one question.

    texts: the first answer and its repetitions; groups: a number for each: those that say the same share it.
    """

    texts: tuple[str, ...]
    groups: tuple[int, ...]

    @property
    def agreeing(self) -> float:
        """The share of the repetitions that say what the first answer said, 0 to 1."""
        return self.groups[1:].count(self.groups[0]) / (len(self.groups) - 1)

    def __str__(self) -> str:
        again = len(self.texts) - 1
        kinds = len(set(self.groups))
        several = f"; {kinds} different answers in all" if kinds > 1 else ""
        return f"{round(self.agreeing * again)} of {again} more answers say the same{several}."

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values that JSON can hold."""
        return {**asdict(self), "agreeing": self.agreeing}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Repeats:
        """Read what :meth:`to_dict` gave."""
        return cls(tuple(values["texts"]), tuple(values["groups"]))


def repeats(text: str, repeating: Repeating, times: int = 5, *, progress: Progress | None = None) -> Repeats:
    """Ask ``times`` more, and group the answers by what they say.

    An answer joins the first group whose first answer says the same
    (:attr:`~napari_hwsi.evidence.Agreement.same`). Raises InputError for less than once more.
    """
    if times < 1:
        raise InputError("Ask at least once more to see how steady an answer is.")
    texts = [text]
    for done in range(times):
        tell(progress, done, times, "repeats")
        texts.append(repeating())
    tell(progress, times, times, "repeats")
    return Repeats(tuple(texts), tuple(_groups(texts)))


def _groups(texts: Sequence[str]) -> list[int]:
    firsts: list[str] = []
    groups: list[int] = []
    for text in texts:
        like = [i for i, first in enumerate(firsts) if agreement(first, text).same]
        groups.append(like[0] if like else len(firsts))
        firsts += [] if like else [text]
    return groups
