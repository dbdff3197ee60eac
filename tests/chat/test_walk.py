"""A walk with a scripted server that decodes the pictures it gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi import Walk, ask, walk
from napari_hwsi.chat.walk import ActionError, Budget, Step, read_action, walk_stream
from napari_hwsi.cli import main
from napari_hwsi.errors import Cancelled, EndpointError, InputError
from napari_hwsi.hierarchy import Hierarchy

from .conftest import ChatStub, Connection

QUESTION = "What is the densest tissue here?"


def script(server: ChatStub, *replies: object) -> None:
    """Let the server give these replies in turn, the last one for ever."""
    said = [reply if isinstance(reply, str) else json.dumps(reply) for reply in replies]

    def behave(connection: Connection) -> None:
        reply = said[min(len(server.requests), len(said)) - 1]
        ChatStub.says(reply)(connection)

    server.behave = behave


def at(server: ChatStub) -> str:
    return f"{server.url}#see-7b"


LOOK = {"action": "look", "box": [0.25, 0.25, 0.5, 0.75]}
MARK = {"action": "mark", "box": [0.0, 0.0, 0.5, 0.5], "note": "crowded nuclei"}
ANSWER = {"action": "answer", "text": "The upper left is the densest."}


def test_it_looks_closer_marks_and_answers(server: ChatStub, result: Hierarchy, tmp_path: Path) -> None:
    script(server, LOOK, MARK, ANSWER)
    done = walk(result, QUESTION, at(server), keep=tmp_path / "walk.json")
    assert [step.kind for step in done.steps] == ["look", "mark"]
    height, width = result.slide_facts["shape"]
    y0, x0, y1, x1 = done.steps[0].box or (0, 0, 0, 0)
    assert (y0, x0) == pytest.approx((height / 4, width / 4), abs=1)
    assert (y1, x1) == pytest.approx((height / 2, 3 * width / 4), abs=1)
    (place, note) = done.marks[0]
    assert note == "crowded nuclei"
    assert place[2] == pytest.approx(y0 + (y1 - y0) / 2, abs=1)  # of the picture that was seen then
    assert done.answer == ANSWER["text"]
    assert Walk.load(tmp_path / "walk.json") == done


def test_the_pictures_sent_are_those_of_the_steps(server: ChatStub, result: Hierarchy) -> None:
    script(server, LOOK, ANSWER)
    done = walk(result, QUESTION, at(server))
    first, second = (request.picture for request in server.requests)
    assert first.shape != second.shape
    box, mpp = done.steps[0].box, done.steps[0].mpp
    assert box is not None
    assert mpp is not None
    pixels = result.slide.read(box[:2], np.subtract(second.shape[:2], 26), mpp=mpp)
    np.testing.assert_array_equal(second[26:, 26:], pixels)  # beyond the guides: exactly the slide
    sent = b"".join(request.body for request in server.requests)
    for secret in (str(result.path), result.slide_facts["name"], str(result.slide_facts["path"])):
        assert secret.encode() not in sent


def test_measured_numbers_are_told_and_places_get_names(server: ChatStub, result: Hierarchy) -> None:
    box = [0.3, 0.3, 0.6, 0.6]
    script(
        server, {"action": "measure", "box": box}, {"action": "list_cells", "box": box},
        {"action": "compare", "box": box, "other": [0.0, 0.0, 0.3, 0.3]}, {"action": "similar", "box": box},
        {"action": "look", "place": "p1"}, {"action": "look", "place": "p99"}, ANSWER,
    )  # fmt: skip
    done = walk(result, QUESTION, at(server))
    told = {step.kind: step.told for step in done.steps[:4]}
    n = len(result.cells_in(done.steps[0].box or ()))
    assert f"{n:,} nuclei" in told["measure"]
    assert told["list_cells"].startswith(f"{n} nuclei")
    assert told["compare"].startswith("First: ")
    assert "p1 (similarity" in told["similar"]
    assert done.steps[4].box is not None
    assert "No place is called 'p99'" in done.steps[5].told
    assert done.answer == ANSWER["text"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ('```json\n{"action": "look", "place": "slide"}\n```', "look"),
        ('I will look. {"action": "look", "place": "slide",} Then on.', "look"),
        ("{'action': 'answer', 'text': 'It is {stroma}.'}", "answer"),
        ('{“action”: “answer”, “text”: “Stroma.”}', "answer"),
        ('{"action": "answer", "text": "a } in \\" text"}', "answer"),
    ],
)  # fmt: skip
def test_what_is_nearly_json_is_read(reply: str, kind: str) -> None:
    assert read_action(reply).kind == kind


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I see tumour.", "no JSON object"),
        ('{"action": "delete", "box": [0, 0, 1, 1]}', "is one of"),
        ('{"action": "look", "box": [0.5, 0, 0.2, 1]}', "top above bottom"),
        ('{"action": "look", "box": [0, 0, 1, NaN]}', "numbers from 0 to 1"),
        ('{"action": "look"}', 'either "box" or "place"'),
        ('{"action": "mark", "box": [0, 0, 1, 1]}', 'needs "note"'),
        ('{"action": "answer", "text": " "}', "not empty"),
        ('{"action": __import__("os").system("true")}', "cannot be read"),
        ("{" * 5000, "cannot be read"),
    ],
)
def test_anything_else_is_refused_in_words(reply: str, reason: str) -> None:
    with pytest.raises(ActionError, match=reason):
        read_action(reply)


def test_a_bad_reply_is_told_and_three_end_the_walk(server: ChatStub, result: Hierarchy) -> None:
    script(server, "Tumour, I think.", LOOK, ANSWER)
    done = walk(result, QUESTION, at(server))
    assert [step.kind for step in done.steps] == ["reply", "look"]
    assert "no JSON object" in server.requests[1].json["messages"][-1]["content"]
    server.requests.clear()
    script(server, "Hm.")
    stuck = walk(result, QUESTION, at(server))
    assert len(stuck.steps) == 3
    assert stuck.answer == "Hm."
    assert "could not be read" in stuck.ended


def test_the_budget_ends_it_with_an_answer(server: ChatStub, result: Hierarchy) -> None:
    script(server, LOOK, LOOK, ANSWER)
    done = walk(result, QUESTION, at(server), budget=Budget(steps=2))
    assert len(done.steps) == 2
    assert "budget is spent" in str(server.requests[-1].json["messages"][-1]["content"])
    assert (done.answer, done.ended) == (ANSWER["text"], "its budget was spent")


def test_a_model_that_looks_on_when_it_must_answer_gave_none(server: ChatStub, result: Hierarchy) -> None:
    script(server, LOOK)
    done = walk(result, QUESTION, at(server), budget=Budget(steps=1))
    assert (done.answer, done.ended) == ("It gave no answer.", "its budget was spent")
    server.requests.clear()
    script(server, LOOK, ANSWER)  # without the parts that were asked for: its words are kept
    assert (
        walk(result, QUESTION, at(server), budget=Budget(steps=1), structured=True).answer == ANSWER["text"]
    )


def test_a_structured_answer_has_its_parts_and_places(server: ChatStub, result: Hierarchy) -> None:
    parts = {
        "findings": [{"text": "crowded", "box": [0, 0, 0.5, 0.5]}, {"text": "no mitoses", "box": None}],
        "differential": [{"name": "a naevus", "for": "nests", "against": "size"}],
        "diagnosis": "skin", "would_change": "a deeper level",
    }  # fmt: skip
    script(server, ANSWER, ANSWER | parts)
    done = walk(result, QUESTION, at(server), structured=True)
    assert [step.kind for step in done.steps] == ["reply"]  # without its parts it is not taken
    assert done.structured["findings"][0]["box"][:2] == (0, 0)
    assert done.structured["differential"][0]["against"] == "size"


def test_a_walk_goes_on_where_it_was_stopped(server: ChatStub, result: Hierarchy, tmp_path: Path) -> None:
    script(server, LOOK, MARK, ANSWER)
    steps: list[Step] = []

    def stop(step: object) -> None:
        if len(server.requests) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        walk(result, QUESTION, at(server), keep=tmp_path / "walk.json", progress=stop)
    before = Walk.load(tmp_path / "walk.json")
    assert [step.kind for step in before.steps] == ["look"]
    script(server, MARK, ANSWER)
    server.requests.clear()
    for event in walk_stream(result, QUESTION, at(server), so_far=before):
        steps += [event] if isinstance(event, Step) else []
        done = event
    assert [step.kind for step in steps] == ["mark"]
    assert isinstance(done, Walk)
    assert [step.kind for step in done.steps] == ["look", "mark"]
    assert "You walked already" in str(server.requests[0].json["messages"][1])


def test_marks_are_asked_for_where_the_user_wants_that(server: ChatStub, result: Hierarchy) -> None:
    script(server, MARK, ANSWER)
    asked: list[str] = []

    def refuse(action: object, box: object) -> bool:
        asked.append(str(box))
        return False

    done = walk(result, QUESTION, at(server), confirm=refuse)
    assert len(asked) == 1
    assert not done.marks
    assert "does not want" in done.steps[0].told


def test_the_answerer_rests_on_what_was_marked(server: ChatStub, result: Hierarchy) -> None:
    script(server, LOOK, MARK, ANSWER)
    answer = ask(result, QUESTION, answerer=f"agent:{at(server)}")
    assert answer.text == ANSWER["text"]
    assert [place.note for place in answer.evidence] == ["crowded nuclei"]
    assert answer.where == "local"
    assert any("2 steps" in note for note in answer.notes)


def test_faults_are_told(server: ChatStub, result: Hierarchy, tmp_path: Path) -> None:
    server.behave = ChatStub.sends(
        b'{"error": {"message": "no pictures"}}', status=400, kind="application/json"
    )
    with pytest.raises(EndpointError, match="no pictures"):
        walk(result, QUESTION, at(server))
    bad: list[Callable[[], object]] = [
        lambda: walk(result, " ", at(server)),
        lambda: walk(result, QUESTION, "http://localhost:1"),
        lambda: walk(result, QUESTION, at(server), (-50, -50, -10, -10)),
        lambda: walk(result, QUESTION, at(server), so_far=Walk("another", QUESTION)),
        lambda: Walk.load(tmp_path / "none.json"),
        lambda: Budget(steps=0),
    ]
    for one in bad:
        with pytest.raises(InputError):
            one()


def test_the_command_prints_the_walk_and_keeps_it(
    server: ChatStub, result: Hierarchy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script(server, LOOK, MARK, ANSWER)
    kept = str(tmp_path / "walk.json")
    told = ["walk", str(result.path), QUESTION, "--endpoint", at(server), "--keep", kept]
    assert main(told) == 0
    out = capsys.readouterr().out
    assert "crowded nuclei" in out
    assert ANSWER["text"] in out
    assert main([*told, "--json", "--go-on"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == ANSWER["text"]
