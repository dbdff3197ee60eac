"""Training and validation that share no patient."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from ..errors import InputError
from .examples import Example

_TCGA = re.compile(r"TCGA-\w\w-\w{4}(?=-|$)")


def patient_of(example: Example) -> str:
    """Return whose slide it is: as stated, by TCGA's names, else the slide stands for its own patient."""
    found = _TCGA.match(example.slide)
    return example.patient or (found[0] if found else example.slide)


def split(
    examples: Iterable[Example], share: float, seed: int = 0
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Return examples for training and for validation, whole patients each.

    share: of the patients that go to validation, at least one where there are two. Which ones depends on
    their names and the seed alone, so that another patient added moves no other. Raises InputError for a
    share that is not between 0 and 1, or for one patient only.
    """
    if not 0 <= share < 1:
        raise InputError(f"The share of patients for validation is between 0 and 1, not {share}.")
    table = list(examples)
    people = sorted({patient_of(example) for example in table}, key=lambda name: _draw(name, seed))
    if share == 0:
        return tuple(table), ()
    if len(people) < 2:
        raise InputError(
            f"All examples are of one patient, {people[0] if people else 'none'}: no validation."
        )
    held = {name for name in people if _draw(name, seed) < share} or {people[0]}
    if len(held) == len(people):
        held.discard(people[-1])
    train = tuple(example for example in table if patient_of(example) not in held)
    return train, tuple(example for example in table if patient_of(example) in held)


def check_disjoint(train: Iterable[Example], validation: Iterable[Example]) -> None:
    """Raise InputError, naming one, where a patient is in both."""
    shared = {patient_of(e) for e in train} & {patient_of(e) for e in validation}
    if shared:
        raise InputError(
            f"{len(shared)} patients are in training and in validation, the first is {min(shared)}. "
            "Take them out of one of the files."
        )


def _draw(name: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
