"""Evidence checks itself."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.evidence import SCALES, SOURCES, Evidence

GOOD = {"scale": "patch", "box": (10, 20, 30, 40), "score": 0.5, "source": "filter", "note": "kept"}


def test_holds_what_it_is_given() -> None:
    evidence = Evidence("patch", (10, 20, 30, 40), 0.5, "filter", "kept")
    assert (evidence.scale, evidence.box, evidence.score) == ("patch", (10, 20, 30, 40), 0.5)
    assert "y 10–30, x 20–40" in str(evidence)
    with pytest.raises(FrozenInstanceError):
        evidence.score = 1.0  # type: ignore[misc]


def test_numbers_of_arrays_become_plain_ones() -> None:
    evidence = Evidence("cell", tuple(np.array([1, 2, 3, 4])), np.float32(0.25), "measurement", "")
    assert [type(v) for v in evidence.box] == [int] * 4
    assert type(evidence.score) is float


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("source", SOURCES)
def test_every_scale_and_source(scale: str, source: str) -> None:
    assert Evidence(**{**GOOD, "scale": scale, "source": source, "score": None}).score is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("scale", "organ", "scale of evidence"),
        ("source", "guess", "source of evidence"),
        ("score", float("nan"), "finite"),
        ("box", (10, 20, 10, 40), "empty"),
        ("box", (10, 20, 30), "A box is"),
    ],
)
def test_refuses(field: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Evidence(**{**GOOD, field: value})
