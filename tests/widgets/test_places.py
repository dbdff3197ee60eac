"""Going to coordinates and to bookmarks, in the Slide dock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_hwsi.errors import InputError
from napari_hwsi.viewer.bookmarks import Bookmarks
from napari_hwsi.viewer.region import view_box
from napari_hwsi.widgets.places import UM, Places, read_place
from napari_hwsi.widgets.slide_dock import SlideDock

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def dock(make_napari_viewer: Callable[..., napari.Viewer], cmu: Path) -> SlideDock:
    viewer = make_napari_viewer(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    dock.open(str(cmu))
    viewer.scene.camera.zoom = 2.0
    return dock


def middle(dock: SlideDock) -> tuple[float, float]:
    y0, x0, y1, x1 = view_box(dock.viewer, dock.layer)
    return (y0 + y1) / 2, (x0 + x1) / 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("1200, 3400", (1200, 3400)),
        ("(1200.5 3400)", (1200.5, 3400)),
        ("[12; 34]", (12, 34)),
        ("x 3400 y 1200", (1200, 3400)),
        ("X: 34, Y=12", (12, 34)),
    ],
)
def test_places_as_people_write_them(text: str, place: tuple[float, float]) -> None:
    assert read_place(text) == place


@pytest.mark.parametrize("text", ["", "12", "1 2 3", "far away", "x 12", "x 12 34", "1,200,300"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(InputError, match="is not a place"):
        read_place(text)


def test_go_to_pixels_and_micrometres(dock: SlideDock, qtbot) -> None:
    places = dock.places
    places.place_edit.setText("1500, 700")
    qtbot.mouseClick(places.go_button, LEFT)
    assert middle(dock) == pytest.approx((1500, 700))
    places.unit_box.setCurrentText(UM)
    places.place_edit.setText("x 499 y 998")
    qtbot.keyClick(places.place_edit, Qt.Key.Key_Return)
    assert middle(dock) == pytest.approx((2000, 1000))
    assert dock.viewer.scene.camera.zoom == 2.0
    for wrong, words in (
        ("here", "is not a place"),
        ("1500, 700", "y 1480.53, x 1107.78 µm"),
        ("-1, 5", "0, 0"),
    ):
        places.place_edit.setText(wrong)
        qtbot.mouseClick(places.go_button, LEFT)
        assert words in dock.task.words.text()
        assert middle(dock) == pytest.approx((2000, 1000))


def keep(places: Places, name: str, qtbot) -> None:
    places.name_edit.setText(name)
    qtbot.mouseClick(places.keep_button, LEFT)


def test_bookmarks_live_with_the_slide(dock: SlideDock, qtbot, cmu: Path, tmp_path: Path) -> None:
    places, viewer = dock.places, dock.viewer
    assert not places.list.isVisible()
    places.go_to(2900, 100)
    kept = view_box(viewer, dock.layer)
    keep(places, "lower edge", qtbot)
    viewer.reset_view()
    keep(places, "whole", qtbot)
    assert places.name_edit.text() == ""
    assert [places.list.item(i).text() for i in range(places.list.count())] == ["lower edge", "whole"]
    places.list.setCurrentRow(0)
    qtbot.mouseClick(places.fly_button, LEFT)
    assert view_box(viewer, dock.layer) == pytest.approx(kept)
    keep(places, "whole", qtbot)
    assert "already" in dock.task.words.text()
    # Renamed in place, by the keyboard.
    places.list.setCurrentRow(0)
    qtbot.mouseClick(places.rename_button, LEFT)
    editor = places.list.findChild(QLineEdit)
    editor.setText("margin")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    marks = Bookmarks(dock.slide.fingerprint)
    qtbot.waitUntil(lambda: list(marks.places()) == ["margin", "whole"], timeout=1000)
    places.list.item(0).setText("whole")
    assert "already" in dock.task.words.text()
    assert places.list.item(0).text() == "margin"
    # A copy of the file elsewhere is the same slide; another slide has its own.
    copy = tmp_path / "copy é.svs"
    copy.write_bytes(cmu.read_bytes())
    viewer.layers.clear()
    assert places.list.count() == 0
    dock.open(str(copy))
    assert [places.list.item(i).text() for i in range(places.list.count())] == ["margin", "whole"]
    places.list.setCurrentRow(0)
    places.list.itemActivated.emit(places.list.item(0))
    assert view_box(viewer, dock.layer) == pytest.approx(kept)
    places.list.setCurrentRow(1)
    qtbot.mouseClick(places.delete_button, LEFT)
    assert list(marks.places()) == ["margin"]


def test_no_micrometres_without_a_pixel_size(
    make_napari_viewer: Callable[..., napari.Viewer], data: Path
) -> None:
    viewer = make_napari_viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-hwsi", "Slide")
    assert not dock.places.isEnabled()
    dock.open(str(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"))
    assert not dock.places.unit_box.isEnabled()
    dock.set_mpp("0.25")
    assert dock.places.unit_box.isEnabled()
    dock.places.go_to(250, 500, UM)
    assert middle(dock) == pytest.approx((1000, 2000))


def test_damaged_bookmarks_are_told(dock: SlideDock, home: Path) -> None:
    marks = Bookmarks(dock.slide.fingerprint)
    marks.path.parent.mkdir(exist_ok=True)
    marks.path.write_text("{")
    dock.refresh()
    assert marks.path.name in dock.task.words.text()


def test_a_refusal_goes_with_the_next_success(dock: SlideDock, qtbot) -> None:
    keep(dock.places, "", qtbot)
    assert "name" in dock.task.words.text()
    keep(dock.places, "edge", qtbot)
    assert dock.task.words.text() == ""
