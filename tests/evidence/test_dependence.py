"""What two answers have in common, and what a change of the image says of an answer."""

from __future__ import annotations

import json
import time

import pytest

from napari_hwsi.errors import Cancelled, EndpointError, InputError
from napari_hwsi.evidence import Change, Dependence, agreement, dependence, difference
from napari_hwsi.evidence.agreement import choice, numbers
from napari_hwsi.progress import Progress, Step

ALL = tuple(Change(kind) for kind in ("nothing", "elsewhere", "shuffled", "unchanged"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,234 nuclei, 5.5 per mm²", [1234, 5.5]),
        ("at y 10–20, −3 and -4", [10, 20, -3, -4]),
        ("CD20 at 20x, 3-fold", [20, 3]),
        ("none", []),
    ],
)
def test_numbers(text: str, found: list[float]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("Yes, it does.", "yes"),
        ("**No**", "no"),
        ("Answer: B", "B"),
        ("(C) carcinoma", "C"),
        ("The correct answer is D.", "D"),
        ("A nucleus is here.", None),
        ("Nothing to see", None),
        ("It is yes", None),
    ],
)
def test_choices(text: str, chosen: str | None) -> None:
    assert choice(text) == chosen


def test_agreement_of_answers() -> None:
    assert agreement("The gland is dark.", "A gland is dark").same
    assert not agreement("There are 12 nuclei.", "There are 13 nuclei.").same
    assert agreement("There are 12 nuclei.", "There are 13 nuclei.").words == 1.0
    assert agreement("Yes: it is inflamed.", "Yes. Nothing alike.").same
    assert not agreement("Yes, it is dark.", "No, it is dark.").same
    # Two of four words each in common: F1 by hand.
    assert agreement("dense round pale nuclei", "dense round large cells").words == 0.5
    assert agreement("", "").words == 1.0


def test_difference_is_graded_by_numbers() -> None:
    assert difference("100 nuclei", "90 nuclei") == pytest.approx(0.1)
    assert difference("100 nuclei", "100 nuclei") == 0.0
    assert difference("no nuclei", "100 nuclei") == 1.0
    assert difference("Yes.", "No.") == 1.0


@pytest.mark.parametrize(
    ("answers", "verdict", "words"),
    [
        ({"nothing": "Dense, 12 nuclei."}, "independent", "did not depend on the image"),
        ({"nothing": "I see nothing.", "elsewhere": "Dense, 12 nuclei."}, "unspecific", "of another"),
        ({"nothing": "I see nothing.", "elsewhere": "Pale stroma."}, "depends", "changes with the image"),
        (
            {"nothing": "No.", "elsewhere": "Pale.", "unchanged": "Rather pale."},
            "unsteady",
            "even when nothing",
        ),
    ],
)
def test_verdicts(answers: dict[str, str], verdict: str, words: str) -> None:
    first = "Dense, 12 nuclei."
    found = dependence(first, lambda change, _: answers.get(change.kind, first), ALL)
    assert found.verdict == verdict
    assert words in str(found)
    assert (found.warning is None) == (verdict == "depends")
    assert Dependence.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_calls_and_seconds_are_kept_to() -> None:
    asked: list[str] = []

    def slowly(change: Change, progress: Progress) -> str:
        asked.append(change.kind)
        while change.kind == "elsewhere":  # until the time is up
            time.sleep(0.01)
            progress(Step(0, 1, "answer"))
        return "Dense."

    found = dependence("Dense.", slowly, ALL, max_calls=3, seconds=0.2)
    assert asked == ["nothing", "elsewhere"]
    assert [trial.kind for trial in found.trials] == ["nothing"]
    assert len(found.left_out) == 3
    assert "3 calls were allowed" in str(found)
    assert "0.2 s were allowed" in str(found)
    with pytest.raises(InputError, match="at least one call"):
        dependence("Dense.", slowly, ALL, max_calls=0)


def test_what_is_refused_is_told_and_a_stop_stops() -> None:
    def answering(change: Change, _: Progress) -> str:
        if change.kind == "nothing":
            raise EndpointError("It wants a picture.")
        return "Dense."

    found = dependence("Dense.", answering, ALL[:2])
    assert found.verdict == "unspecific"
    assert "It wants a picture." in found.left_out[0]

    def stop(step: Step) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        dependence("Dense.", answering, ALL, progress=stop)
