"""How far two answers agree: in words, in numbers, in what they choose."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

SAME_WORDS = 0.7
"""From this agreement in words on, with equal numbers, two answers say the same."""

_NUMBER = re.compile(r"(?<![\w.,])(?:(?<!\S)[-−])?\d+(?:,\d{3})*(?:\.\d+)?(?![\d])")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ARTICLES = frozenset({"a", "an", "the"})
_CHOICE = re.compile(
    r"\W*(?:(?:the )?(?:correct )?(?:answer|option|choice)(?: is)?\b\W*)?"
    r"(?:(?P<said>yes|no)\b|(?-i:(?P<letter>[A-Z]))(?=[).:]|\W*$))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Agreement:
    """How far a second answer agrees with a first.

    words: F1 of their words, 0 to 1, numbers aside; numbers: whether both hold the same ones, None where
    neither holds any; choice: whether both choose alike (yes, no, or a letter at the beginning), None where
    not both choose.
    """

    words: float
    numbers: bool | None
    choice: bool | None

    @property
    def same(self) -> bool:
        """Whether both say the same: they choose alike; else their numbers are equal and words >= 0.7."""
        if self.choice is not None:
            return self.choice
        return self.numbers is not False and self.words >= SAME_WORDS

    def __str__(self) -> str:
        parts = [f"words {self.words:.0%} alike"]
        if self.numbers is not None:
            parts.append("numbers equal" if self.numbers else "numbers differ")
        if self.choice is not None:
            parts.append("same choice" if self.choice else "another choice")
        return ", ".join(parts)


def agreement(first: str, second: str) -> Agreement:
    """Compare two answers as plain text, without the places they name.

    Words are compared as bags, in lower case and without articles, by F1 as in SQuAD (Rajpurkar et al.,
    EMNLP 2016, section 6.1); numbers by value, in any order.
    """
    a, b = numbers(first), numbers(second)
    choices = choice(first), choice(second)
    return Agreement(
        _f1(_words(first), _words(second)),
        sorted(a) == sorted(b) if a or b else None,
        choices[0] == choices[1] if None not in choices else None,
    )


def difference(first: str, second: str) -> float:
    """Return how much a second answer differs from a first, 0 to 1.

    1 where the choice differs or they hold unlike many numbers, 0 for the same choice; else the larger of
    1 − F1 of the words and the mean relative difference of their numbers, in order.
    """
    compared = agreement(first, second)
    if compared.choice is not None:
        return float(not compared.choice)
    a, b = numbers(first), numbers(second)
    if len(a) != len(b):
        return 1.0
    apart = [abs(x - y) / max(abs(x), abs(y)) if x != y else 0.0 for x, y in zip(a, b, strict=True)]
    return max(1.0 - compared.words, min(1.0, sum(apart) / len(apart)) if apart else 0.0)


def numbers(text: str) -> list[float]:
    """Return the numbers in a text, in its order; 1,234 is one number."""
    return [float(found.replace(",", "").replace("−", "-")) for found in _NUMBER.findall(text)]


def choice(text: str) -> str | None:
    """Return what a text chooses at its beginning: 'yes', 'no', a letter such as 'B', or None."""
    found = _CHOICE.match(text)
    if found is None:
        return None
    return found["said"].lower() if found["said"] else found["letter"]


def _words(text: str) -> Counter[str]:
    return Counter(word for word in _WORD.findall(text.lower()) if word not in _ARTICLES)


def _f1(a: Counter[str], b: Counter[str]) -> float:
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0
