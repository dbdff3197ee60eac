"""Named views, kept by a slide's content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_hwsi.errors import InputError, StoreError
from napari_hwsi.viewer.bookmarks import Bookmarks

BOX, OTHER = (10.5, 20.25, 110.5, 220.25), (-50.0, 0.0, 900.0, 1000.0)


def test_kept_in_order_for_one_slide(home: Path) -> None:
    marks = Bookmarks("a1")
    assert marks.places() == {}
    marks.add(" Tumour edge é ", BOX)
    marks.add("whole", OTHER)
    again = Bookmarks("a1")
    assert list(again.places().items()) == [("Tumour edge é", BOX), ("whole", OTHER)]
    assert again["whole"] == OTHER
    assert Bookmarks("b2").places() == {}
    again.rename("Tumour edge é", "edge")
    assert list(marks.places()) == ["edge", "whole"]
    assert marks["edge"] == BOX
    marks.delete("edge")
    assert list(again.places()) == ["whole"]
    assert [path.name for path in home.rglob("*") if path.is_file()] == ["a1.json"]


def test_names_that_cannot_be(home: Path) -> None:
    marks = Bookmarks("a1")
    marks.add("edge", BOX)
    marks.add("whole", OTHER)
    with pytest.raises(InputError, match="already"):
        marks.add("edge", OTHER)
    with pytest.raises(InputError, match="Give the bookmark a name"):
        marks.add("  ", OTHER)
    with pytest.raises(InputError, match="already"):
        marks.rename("edge", "whole")
    with pytest.raises(InputError, match="no bookmark 'gone'; it has edge, whole"):
        marks.delete("gone")
    with pytest.raises(InputError, match="no bookmark"):
        marks["gone"]
    marks.rename("edge", "edge")
    assert marks.places() == {"edge": BOX, "whole": OTHER}


@pytest.mark.parametrize(
    "content", ["{", "[1]", '{"edge": [1, 2]}', '{"edge": [5, 5, 1, 1]}', '{"edge": null}']
)
def test_a_damaged_file_is_named_and_left_alone(home: Path, content: str) -> None:
    marks = Bookmarks("a1")
    marks.path.parent.mkdir(parents=True)
    marks.path.write_text(content)
    for action in (marks.places, lambda: marks.add("edge", BOX)):
        with pytest.raises(StoreError, match=r"a1\.json"):
            action()
    assert marks.path.read_text() == content


def test_a_folder_that_cannot_be_written_is_an_error(home: Path) -> None:
    (home / "bookmarks").write_text("a file in the way")
    with pytest.raises(StoreError, match="bookmark"):
        Bookmarks("a1").add("edge", BOX)
    (home / "bookmarks").unlink()
    Bookmarks("a1").add("edge", BOX)
    assert json.loads((home / "bookmarks" / "a1.json").read_text()) == {"edge": list(BOX)}
