"""Which patches an answer rests on, of measurements and of a server that looks at what it is sent."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from napari_hwsi.chat import Answer, ask, occlude, repeat
from napari_hwsi.errors import Cancelled, InputError
from napari_hwsi.hierarchy import Hierarchy
from napari_hwsi.progress import Step

VIEW = (1100, 800, 1500, 1400)


def name(server: Any) -> str:
    return f"endpoint:{server.url}#see-7b"


def looks_at(server: Any, y: int, x: int, log_probabilities: bool) -> Any:
    """Answer yes where that pixel is as in the first picture; unlikelier without it, where that is told."""

    def behave(connection: Any) -> None:
        first, now = server.requests[0].picture, connection.request.picture
        yes = math.exp(-0.1) if (first[y, x] == now[y, x]).all() else 0.25
        said = {"Yes": math.log(yes), "No": math.log(1 - yes)}
        told = [{"token": token, "logprob": value} for token, value in said.items()]
        token = max(said, key=said.__getitem__)
        choice: dict[str, Any] = {"index": 0, "delta": {"content": token}, "finish_reason": None}
        if log_probabilities:
            assert connection.request.json["logprobs"] is True
            choice["logprobs"] = {"content": [{"token": token, "logprob": said[token], "top_logprobs": told}]}
        connection.start()
        connection.send(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        connection.send(server.event(", it is.", "stop"), server.done)

    return behave


def test_measured_counts_fall_by_what_is_left_out(result: Hierarchy) -> None:
    found = occlude(result, "How many nuclei are in this view?", VIEW)
    assert found.measure == "difference"
    total = len(result.cells.in_box(VIEW))
    expected = [len(result.cells.in_box(box)) / total for box in found.boxes.tolist()]
    np.testing.assert_allclose(found.scores, expected, atol=1e-6)
    assert max(expected) > 0
    assert found.evidence(1)[0].box == tuple(found.boxes[np.argmax(expected)].tolist())
    json.dumps(found.to_dict())


@pytest.mark.parametrize("told", [True, False])
def test_the_patch_that_a_server_looks_at(server: Any, result: Hierarchy, told: bool) -> None:
    server.behave = looks_at(server, 200, 300, told)
    found = occlude(result, "Is it dense?", VIEW, answerer=name(server))
    at = (VIEW[0] + 200, VIEW[1] + 300)
    holds = [b[0] <= at[0] < b[2] and b[1] <= at[1] < b[3] for b in found.boxes.tolist()]
    assert sum(holds) == 1
    assert found.measure == ("log-probability" if told else "difference")
    fall = -0.1 - math.log(0.25) if told else 1.0
    np.testing.assert_allclose(found.scores, np.where(holds, fall, 0.0), atol=1e-5)
    assert len(server.requests) == 1 + len(found.boxes)


def test_choices_are_told_when_asked_for(server: Any, result: Hierarchy) -> None:
    server.behave = looks_at(server, 200, 300, True)
    answer = ask(result, "Is it dense?", VIEW, name(server), choices=True)
    assert answer.choices[0] == ("Yes", pytest.approx(-0.1))
    assert "“Yes” 90%, “No” 10%" in str(answer)
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


def test_too_many_and_none(result: Hierarchy) -> None:
    with pytest.raises(InputError, match="max_calls=") as caught:
        occlude(result, "How many nuclei?", VIEW, max_calls=2)
    assert "or regions" in str(caught.value)
    with pytest.raises(InputError, match="No patch with tissue"):
        occlude(result, "How many nuclei?", (0, 0, 40, 40))


def test_a_stop_stops_all_that_are_asked(server: Any, result: Hierarchy) -> None:
    server.behave = server.says("Dense.")

    def stop(step: Step) -> None:
        if step.what == "occlusion" and len(server.requests) > 1:
            server.behave = lambda connection: connection.wait_until_closed(5)
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        occlude(result, "Is it dense?", VIEW, answerer=name(server), progress=stop)


def test_how_steady_a_server_is(server: Any, result: Hierarchy) -> None:
    answer = ask(result, "Is it dense?", VIEW, name(server))
    said = iter(["Yes, very.", "No.", "Yes."])
    server.behave = lambda connection: server.says(next(said))(connection)
    found = repeat(answer, 3)
    assert found.texts[0] == "Yes."
    assert found.agreeing == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="says the same"):
        repeat(ask(result, "How many nuclei?", VIEW))
