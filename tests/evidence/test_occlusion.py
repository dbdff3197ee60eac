"""Leaving out units one at a time, and asking several times."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hwsi.errors import Cancelled, InputError
from napari_hwsi.evidence import Occlusion, Repeats, occlusion, repeats
from napari_hwsi.progress import Step

BOXES = np.array([[0, 10 * i, 10, 10 * i + 10] for i in range(5)], np.int64)


def test_units_are_left_out_in_batches() -> None:
    batches: list[int] = []

    def scoring(changes):
        batches.append(len(changes))
        assert all(change.kind == "without" for change in changes)
        return [change.box[1] / 10 - 1 for change in changes]

    steps: list[Step] = []
    scores = occlusion(BOXES, scoring, batch=2, progress=steps.append)
    assert batches == [2, 2, 1]
    assert [(step.done, step.total) for step in steps] == [(0, 5), (2, 5), (4, 5), (5, 5)]
    np.testing.assert_array_equal(scores, [-1, 0, 1, 2, 3])
    found = Occlusion("Where?", "Here.", "patch", BOXES, scores, "log-probability").evidence(most=4)
    assert [place.box[1] for place in found] == [40, 30, 20]
    assert {place.source for place in found} == {"occlusion"}
    assert "less likely by 3" in found[0].note

    def stop(step: Step) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        occlusion(BOXES, scoring, progress=stop)
    with pytest.raises(InputError, match="batch"):
        occlusion(BOXES, scoring, batch=0)


def test_the_share_that_agrees() -> None:
    said = iter(["Dense stroma here.", "Pale glass.", "Dense stroma here!", "Pale glass."])
    found = repeats("Dense stroma here", lambda: next(said), 4)
    assert found.groups == (0, 0, 1, 0, 1)
    assert found.agreeing == 0.5
    assert str(found) == "2 of 4 more answers say the same; 2 different answers in all."
    assert Repeats.from_dict(found.to_dict()) == found
    with pytest.raises(InputError, match="once more"):
        repeats("Dense.", lambda: "Dense.", 0)
