"""An answer on paper, and as JSON."""

from __future__ import annotations

import json

import pytest

from napari_hwsi.chat import Answer
from napari_hwsi.chat.answer import mpp_in_words
from napari_hwsi.errors import InputError
from napari_hwsi.evidence import Agreement, Dependence, Evidence, Trial

ANSWER = Answer(
    question="How many?",
    text="Two nuclei.",
    evidence=(Evidence("patch", (0, 10, 20, 30), 2.0, "measurement", "2 nuclei"),),
    answerer="endpoint:http://localhost:1/v1#see-7b",
    box=(0, 0, 100, 100),
    model="see-7b",
    picture_mpp=(0.5, 0.5),
    notes=("Written by a model.",),
    dependence=Dependence((Trial("nothing", "without the image", "Three.", Agreement(0.5, None, None)),)),
)


def test_on_paper() -> None:
    assert str(ANSWER) == (
        "Two nuclei.\n\n"
        "Rests on:\n"
        "  1. patch at y 0–20, x 10–30 px (measurement): 2 nuclei\n\n"
        "Answered by endpoint:http://localhost:1/v1#see-7b, model see-7b (local), "
        "from a picture at 0.5 µm/px.\n"
        "Written by a model.\n"
        "Dependence on the image: The answer changes with the image. "
        "Without the image: another answer (words 50% alike).\n"
        "Research use only."
    )


def test_as_json() -> None:
    plain = json.loads(json.dumps(ANSWER.to_dict()))
    assert plain["text"] == "Two nuclei."
    assert plain["evidence"][0]["box"] == [0, 10, 20, 30]
    assert plain["disclaimer"] == "Research use only."
    assert plain["picture_mpp"] == [0.5, 0.5]
    assert plain["dependence"]["verdict"] == "depends"
    assert Answer.from_dict(plain) == ANSWER
    with pytest.raises(InputError, match="not an answer"):
        Answer.from_dict({"text": "Two."})


def test_an_answer_says_something() -> None:
    with pytest.raises(InputError, match="no text"):
        Answer("How many?", "  \n", (), "measured", (0, 0, 1, 1))


def test_an_answer_is_about_a_place() -> None:
    with pytest.raises(InputError, match="empty"):
        Answer("How many?", "Two.", (), "measured", (0, 0, 0, 1))


@pytest.mark.parametrize(
    ("mpp", "words"),
    [
        ((0.499, 0.499), "0.499 µm/px"),
        ((0.25, 0.2501), "0.25 µm/px"),
        ((0.5, 0.25), "0.5 × 0.25 µm/px (y, x)"),
    ],
)
def test_a_resolution_in_words(mpp: tuple[float, float], words: str) -> None:
    assert mpp_in_words(mpp) == words
