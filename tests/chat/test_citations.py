"""Places that a model names."""

from __future__ import annotations

import time

import pytest

from napari_hwsi.chat.citations import MOST_PLACES, citation, cited_places

VIEW = (1000, 2000, 1400, 2800)


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("Crowded here [[0.0, 0.5, 0.25, 1]].", [(1000, 2400, 1100, 2800)]),
        ("Two [[0,0,0.5,0.5],[0.5,0.5,1,1]].", [(1000, 2000, 1200, 2400), (1200, 2400, 1400, 2800)]),
        ("A [[0, 0, 1, 1]] and B [[0.5, 0, 1, 0.5]].", [VIEW, (1200, 2000, 1400, 2400)]),
        ("[[0.001, 0.001, 0.002, 0.002]]", [(1000, 2000, 1001, 2002)]),
    ],
)
def test_reads(text: str, boxes: list[tuple[int, int, int, int]]) -> None:
    places, unread = cited_places(text, VIEW)
    assert [place.box for place in places] == boxes
    assert {place.source for place in places} == {"crop"}
    assert unread == 0


@pytest.mark.parametrize(
    "text",
    [
        "[[0.5, 0.5, 0.4, 0.9]]",  # upside down
        "[[0.5, 0.5, 0.5, 0.9]]",  # empty
        "[[100, 200, 300, 400]]",  # pixels
        "[[-0.1, 0, 1, 1]]",
        "[[0, 0, 1]]",
        "[[0, 0, 1, NaN]]",
        "[[true, false, true, true]]",
        '[["0", "0", "1", "1"]]',
        "[[__import__('os'), 0, 1, 1]]",
    ],
)
def test_leaves_out_what_is_no_place(text: str) -> None:
    assert cited_places(f"Here {text} it is.", VIEW) == ((), 1)


@pytest.mark.parametrize("text", ["Nothing.", "An array [0, 0, 1, 1]", "[[", "[[[[]]]]", "see [1]"])
def test_other_brackets_are_no_citations(text: str) -> None:
    assert cited_places(text, VIEW)[0] == ()


def test_the_note_is_the_sentence() -> None:
    text = "First one. Small nuclei crowd here [[0, 0, 0.5, 0.5]], in a band. Last one."
    ((place,), _) = cited_places(text, VIEW)
    assert place.note == "Small nuclei crowd here, in a band"


def test_a_citation_comes_back_as_its_place() -> None:
    place = (1100, 2400, 1300, 2600)
    ((read,), _) = cited_places(f"x {citation(place, VIEW)}", VIEW)
    assert read.box == place


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("First.\nSmall nuclei\t crowd  here [[0, 0, 1, 1]]!\nLast.", "Small nuclei crowd here"),
        ("First one. Nuclei crowd here. [[0, 0, 1, 1]] Last one.", "Nuclei crowd here"),
        ("First one.\n- [[0, 0,\n 1, 1]] holds much fat.", "holds much fat"),
        ("[[0, 0, 1, 1]]", "a place the model named"),
    ],
)
def test_notes(text: str, note: str) -> None:
    ((place,), _) = cited_places(text, VIEW)
    assert place.note == note


def test_places_beyond_the_most_are_left_out() -> None:
    places, left_out = cited_places("[[0, 0, 1, 1]]" * (MOST_PLACES + 3), VIEW)
    assert (len(places), left_out) == (MOST_PLACES, 3)


@pytest.mark.parametrize(
    "text",
    [
        "[[0, 0, 1, 1]]" + " " * 200_000 + "x",
        "Here [[0, 0, 1, 1]]. " * 20_000,
        "[[0, 0, 1, 1]]" * 20_000,
        "[[0, 0, 1, 1]" + " " * 200_000,
        "[[" * 100_000,
    ],
)
def test_degenerate_replies_are_read_in_no_time(text: str) -> None:
    start = time.process_time()
    cited_places(text, VIEW)
    assert time.process_time() - start < 2
