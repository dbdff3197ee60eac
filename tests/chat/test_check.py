"""The check without the image, for answers that are measured and for those of a real server."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from napari_hwsi.chat import Answer, ask, check, picture, picture_under, planned
from napari_hwsi.errors import Cancelled, InputError
from napari_hwsi.evidence import Change
from napari_hwsi.evidence.elsewhere import far_place, fullest_place
from napari_hwsi.hierarchy import Hierarchy
from napari_hwsi.progress import Step
from napari_hwsi.units import intersect

VIEW = (1100, 800, 1500, 1400)


def name(server: Any) -> str:
    return f"endpoint:{server.url}#see-7b"


def test_the_far_place_is_like_it_and_clear_of_it(result: Hierarchy) -> None:
    there = far_place(result, VIEW)
    assert (there[2] - there[0], there[3] - there[1]) == (400, 600)
    assert intersect(there, VIEW) is None
    assert result.tissue.coverage(there) > min(0.25, result.tissue.coverage(VIEW) / 2) > 0
    assert far_place(result, result.grid.extent) is None
    full = fullest_place(result, (400, 600), analysed=True)
    assert result.tissue.coverage(full) >= result.tissue.coverage(there)


def test_only_what_is_analysed_is_measured(wide: Hierarchy) -> None:
    here = (100, 100, 400, 500)
    assert far_place(wide, here)[1] > 4000
    near = far_place(wide, here, analysed=True)
    assert near[3] < 4096
    assert wide.covers(near)


def test_measured_answers_are_checked_elsewhere(result: Hierarchy) -> None:
    answer = ask(result, "How many nuclei are in this view?", VIEW, check=True)
    (trial,) = answer.dependence.trials
    assert trial.kind == "elsewhere"
    n = len(result.cells.in_box(far_place(result, VIEW, analysed=True)))
    assert f"{n:,} nuclei" in trial.text
    assert answer.dependence.verdict == "depends"
    assert "only measures" in str(answer)
    same = ask(result, "What is the resolution of the slide?", VIEW, check=True).dependence
    assert same.verdict == "unspecific"


def test_a_whole_slide_has_no_other_place(result: Hierarchy, wide: Hierarchy) -> None:
    answer = ask(result, "How many nuclei are in the whole slide?", VIEW)
    assert check(answer).verdict == "unknown"
    found = check(answer, other=wide)
    assert found.trials[0].what == "with another slide"
    assert f"{len(wide.cells):,} nuclei" in found.trials[0].text


def test_facts_without_a_place(result: Hierarchy) -> None:
    from napari_hwsi.chat import measure

    unit = (1100, 800, 1300, 1100)
    facts, all_of_it = measure(result, VIEW, unit), measure(result, VIEW)
    assert facts.view.n_nuclei == all_of_it.view.n_nuclei - len(result.cells.in_box(unit))
    areas = facts.view.column("table/area_um2")
    assert len(areas) == facts.view.n_nuclei
    assert facts.view.tissue_mm2 < all_of_it.view.tissue_mm2
    whole = measure(result, None, unit)
    assert whole.view.n_nuclei == len(result.cells) - len(result.cells.in_box(unit))


def test_a_server_gets_the_same_words_and_only_other_pictures(server: Any, result: Hierarchy) -> None:
    answer = ask(result, "What is here?", VIEW, name(server), check=True)
    first, *again = [request.json["messages"] for request in server.requests]
    changes, left_out = planned(answer)
    assert [change.kind for change in changes] == ["nothing", "elsewhere", "shuffled", "unchanged"]
    assert not left_out
    for told, change, request in zip(again, changes, server.requests[1:], strict=True):
        assert told[:-1] == first[:-1]
        assert told[-1]["content"][-1] == {"type": "text", "text": "What is here?"}
        shown = picture_under(result, VIEW, change)
        if change.kind == "nothing":
            assert shown is None
            assert len(told[-1]["content"]) == 1
        else:
            np.testing.assert_array_equal(request.picture, shown.pixels)
    assert answer.dependence.verdict == "independent"
    assert "did not depend on the image" in str(answer)
    kept = Answer.from_dict(json.loads(json.dumps(answer.to_dict())))
    assert kept == answer
    with pytest.raises(InputError, match="read from a file"):
        check(kept)


def test_pictures_under_a_change(result: Hierarchy) -> None:
    seen = picture(result, VIEW).pixels
    mixed = picture_under(result, VIEW, Change("shuffled")).pixels
    assert not np.array_equal(mixed, seen)
    np.testing.assert_array_equal(np.sort(mixed.reshape(-1, 3), 0), np.sort(seen.reshape(-1, 3), 0))
    unit = (1100, 800, 1200, 1000)
    masked = picture_under(result, VIEW, Change("without", unit)).pixels
    assert np.ptp(masked[:100, :200].reshape(-1, 3), axis=0).max() == 0
    np.testing.assert_array_equal(masked[100:], seen[100:])


def test_a_check_can_be_stopped(server: Any, result: Hierarchy) -> None:
    answer = ask(result, "What is here?", VIEW, name(server))

    def stop(step: Step) -> None:
        if len(server.requests) > 1:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        check(answer, progress=stop)
    assert len(server.requests) == 2
