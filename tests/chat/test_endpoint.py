"""A question to a model: what leaves, what comes back, and what is made of it."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import numpy as np
import pytest

from napari_hwsi.chat import Answer, ask, ask_stream, list_models, picture
from napari_hwsi.errors import Cancelled, EndpointError, InputError
from napari_hwsi.evidence import Evidence
from napari_hwsi.hierarchy import Hierarchy
from napari_hwsi.progress import Step

VIEW = (200, 300, 1200, 1800)


def name(server: Any) -> str:
    return f"endpoint:{server.url}#see-7b"


def test_the_server_sees_exactly_the_pixels_of_the_view(server: Any, result: Hierarchy) -> None:
    answer = ask(result, "What is here?", VIEW, name(server))
    assert answer.picture_mpp is not None
    seen = server.requests[0].picture
    shown = picture(result, VIEW)
    np.testing.assert_array_equal(seen, shown.pixels)
    np.testing.assert_array_equal(seen, result.slide.read(VIEW[:2], seen.shape[:2], mpp=answer.picture_mpp))
    assert max(seen.shape) == 1024
    own = result.slide.require_mpp()
    assert seen.shape[0] * answer.picture_mpp[0] == pytest.approx((VIEW[2] - VIEW[0]) * own[0], rel=0.01)
    assert seen.shape[1] * answer.picture_mpp[1] == pytest.approx((VIEW[3] - VIEW[1]) * own[1], rel=0.01)


def test_a_small_view_is_sent_as_scanned(server: Any, result: Hierarchy) -> None:
    box = (700, 800, 1000, 1300)
    answer = ask(result, "What is here?", box, name(server))
    np.testing.assert_array_equal(server.requests[0].picture, result.slide.read(box[:2], (300, 500)))
    assert answer.picture_mpp == result.slide.mpp


def test_nothing_else_leaves(server: Any, result: Hierarchy) -> None:
    earlier = ask(result, "How many nuclei are in this view, and where are they densest?", VIEW)
    ask(result, "What is here?", VIEW, name(server), history=[earlier])
    (request,) = server.requests
    sent = request.head + request.body + request.picture_file
    slide = result.slide
    assert slide.path is not None
    secrets = {slide.path.name, slide.path.stem, str(slide.path.parent), result.path.name, slide.fingerprint}
    secrets |= {value for value in slide.properties.values() if len(value) > 8}
    assert not {secret for secret in secrets if secret.encode() in sent}
    assert b"tEXt" not in request.picture_file
    assert b"eXIf" not in request.picture_file
    assert set(request.json) == {"model", "messages", "stream"}


def test_facts_and_history_go_as_text(server: Any, result: Hierarchy) -> None:
    earlier = ask(result, "How large are the nuclei?", VIEW)
    ask(result, "Is that large?", VIEW, name(server), history=[earlier])
    system, question, said, now = server.requests[0].json["messages"]
    n = len(result.cells.in_box(VIEW))
    assert f"There are {n:,} nuclei in this view." in system["content"]
    assert (question, said) == (
        {"role": "user", "content": earlier.question},
        {"role": "assistant", "content": earlier.text},
    )
    assert now["content"][1] == {"type": "text", "text": "Is that large?"}


def test_an_answer_with_places(server: Any, result: Hierarchy) -> None:
    server.behave = server.says("Dense ", "here [[0.0, 0.0, 0.5, 0.5]]. ", "Not here [[5, 5, 9, 9]].")
    events = list(ask_stream(result, "Where?", VIEW, name(server)))
    *pieces_and_places, answer = events
    assert isinstance(answer, Answer)
    assert "".join(e for e in pieces_and_places if isinstance(e, str)).strip() == answer.text
    assert tuple(e for e in pieces_and_places if isinstance(e, Evidence)) == answer.evidence
    cited, whole = answer.evidence
    assert (cited.box, cited.source) == ((200, 300, 700, 1050), "crop")
    assert "Dense" in cited.note
    assert whole.box == VIEW
    assert any("1 of the places" in note for note in answer.notes)
    assert (answer.where, answer.model) == ("local", "see-7b")
    assert answer.answerer == f"endpoint:{server.url}/v1#see-7b"
    assert "Research use only." in str(answer)
    assert "see-7b" in str(answer)


def test_an_answer_without_places_rests_on_the_whole_picture(server: Any, result: Hierarchy) -> None:
    answer = ask(result, "What is here?", VIEW, name(server))
    assert [(e.box, e.source) for e in answer.evidence] == [(VIEW, "crop")]
    assert any("named no place" in note for note in answer.notes)


def test_the_whole_slide(server: Any, result: Hierarchy) -> None:
    answer = ask(result, "What is here?", answerer=name(server))
    assert answer.box == result.slide.bounds
    assert answer.evidence[-1].scale == "slide"
    np.testing.assert_array_equal(server.requests[0].picture, picture(result).pixels)


def test_an_answer_cut_short_by_the_server_says_so(server: Any, result: Hierarchy) -> None:
    server.behave = server.says("Many nu", finish="length")
    answer = ask(result, "What is here?", VIEW, name(server))
    assert any("length limit" in note for note in answer.notes)


def test_what_came_before_a_fault_is_kept(server: Any, result: Hierarchy) -> None:
    server.behave = server.sends(server.event("Many "), server.event("nu"))
    came: list[object] = []
    with pytest.raises(EndpointError, match="stopped in the middle") as caught:
        came.extend(ask_stream(result, "What is here?", VIEW, name(server)))
    assert came == ["Many ", "nu"]
    assert caught.value.partial == "Many nu"


def test_cancel_within_a_second(server: Any, result: Hierarchy) -> None:
    closed = threading.Event()

    def behave(connection: Any) -> None:
        if connection.wait_until_closed(10):
            closed.set()

    def progress(step: Step) -> None:
        if step.what == "answer" and server.requests:
            raise Cancelled("stopped")

    server.behave = behave
    start = time.monotonic()
    with pytest.raises(Cancelled):
        ask(result, "What is here?", VIEW, name(server), progress=progress)
    assert closed.wait(1)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "wrong", ["endpoint:", "endpoint:http://localhost:1", "endpoint:#m", "endpoint:http://x#"]
)
def test_names_need_a_server_and_a_model(result: Hierarchy, wrong: str) -> None:
    with pytest.raises(InputError, match=re.escape("endpoint:<url>#<model>")):
        ask_stream(result, "What?", VIEW, wrong)


def test_models_of_an_address(server: Any) -> None:
    assert list_models(server.url) == ("see-7b", "see-72b")
