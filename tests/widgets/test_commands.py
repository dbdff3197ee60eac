"""The manifest, and what napari's menus make of it."""

from __future__ import annotations

from pathlib import Path

import napari
import numpy as np
import pytest
from napari._app_model import get_app_model
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

import napari_hwsi
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import show_slide
from napari_hwsi.viewer.state import part_layer
from napari_hwsi.widgets.analyse_dock import AnalyseDock
from napari_hwsi.widgets.ask_dock import AskDock
from napari_hwsi.widgets.ccaf_dock import CcafDock
from napari_hwsi.widgets.cells_dock import CellsDock
from napari_hwsi.widgets.commands import open_all, open_dock
from napari_hwsi.widgets.correct_dock import CorrectDock
from napari_hwsi.widgets.count_dock import CountDock
from napari_hwsi.widgets.minimap_dock import MinimapDock
from napari_hwsi.widgets.slide_dock import SlideDock
from napari_hwsi.widgets.table_dock import TableDock


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(Path(napari_hwsi.__file__).with_name("napari.yaml"))


def test_every_command_is_there(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    commands = {command.id for command in manifest.contributions.commands}
    in_menus = {item.command for items in manifest.contributions.menus.values() for item in items}
    assert in_menus <= commands
    assert {widget.display_name for widget in manifest.contributions.widgets} == {
        "Slide",
        "Minimap",
        "Segment cells",
        "Correct nuclei",
        "Nuclei table",
        "Count nuclei",
        "Analyse",
        "CCAF",
        "Maps",
        "Ask",
        "Walk",
    }


def test_layers_menus_carry_the_commands(viewer: napari.Viewer) -> None:
    menus = get_app_model().menus
    for menu, expected in (
        ("napari/layers/segment", {"napari-hwsi.segment_visible", "napari-hwsi.cells_dock"}),
        ("napari/layers/measure", {"napari-hwsi.measure_cells", "napari-hwsi.analyse_visible"}),
    ):
        assert expected <= {item.command.id for item in menus.get_menu(menu) if hasattr(item, "command")}


def test_commands_run(viewer: napari.Viewer, tissue, qtbot) -> None:
    def execute(name: str) -> None:
        get_app_model().commands.execute_command(f"napari-hwsi.{name}").result()

    execute("segment_visible")
    cells = open_dock(viewer, CellsDock)
    qtbot.waitUntil(lambda: cells.cells is not None, timeout=60000)
    execute("analyse_visible")
    analyse = open_dock(viewer, AnalyseDock)
    qtbot.waitUntil(lambda: not analyse.task.busy, timeout=60000)
    assert part_layer(viewer, tissue, "patches") is not None
    execute("measure_cells")
    ask = open_dock(viewer, AskDock)
    qtbot.waitUntil(lambda: len(ask.talk.answers()) == 1, timeout=60000)
    assert "nuclei in this view" in ask.talk.answers()[0].text


def test_all_docks_are_opened_once(viewer: napari.Viewer) -> None:
    ask = open_all(viewer)
    assert open_all(viewer) is ask
    names = set(viewer.window._wrapped_dock_widgets)
    assert len([name for name in names if "napari-hwsi" in name]) == 6
    assert open_dock(viewer, MinimapDock).minimumSizeHint().width() <= 260
    assert open_dock(viewer, SlideDock).slide is not None
    for kind in (
        SlideDock,
        CellsDock,
        AnalyseDock,
        CcafDock,
        CorrectDock,
        TableDock,
        CountDock,
        AskDock,
    ):  # nothing is cut in a column of 300 px
        dock = open_dock(viewer, kind)
        assert dock.minimumSizeHint().width() <= 300
        assert dock.scroll_area.widget().minimumSizeHint().width() <= 270
        assert "Research use only." in {label.text() for label in dock.findChildren(QLabel)}


def test_docks_of_the_plugins_menu_are_tabs_until_they_are_moved(viewer: napari.Viewer, qtbot) -> None:
    window = viewer.window._qt_window
    docks = [
        viewer.window.add_plugin_dock_widget("napari-hwsi", name)[0]
        for name in ("Slide", "Minimap", "Segment cells", "Analyse", "Ask")
    ]
    minimap, forms = docks[1], [docks[0], *docks[2:]]
    qtbot.waitUntil(lambda: set(window.tabifiedDockWidgets(forms[0])) == set(forms[1:]))
    assert minimap not in window.tabifiedDockWidgets(forms[0])
    forms[1].setFloating(True)
    forms[1].hide()
    forms[1].show()
    qtbot.wait(50)
    assert forms[1] not in window.tabifiedDockWidgets(forms[0])


def test_slides_are_chosen_in_any_dock(viewer: napari.Viewer, qtbot) -> None:
    dock, ask = open_dock(viewer, SlideDock), open_dock(viewer, AskDock)
    (first,) = viewer.layers
    assert not ask.slides_box.isVisible()
    second = show_slide(viewer, slide_from_array(np.full((90, 90, 3), 200, np.uint8), mpp=0.5, name="second"))
    assert ask.slides_box.isVisible()
    assert not ask.slide_label.isVisible()
    assert [ask.slides_box.itemText(i) for i in range(2)] == ["skin", "second"]
    assert ask.slides_box.currentText() == "second"
    qtbot.keyClick(ask.slides_box, Qt.Key.Key_Up)
    assert (first.visible, second.visible) == (True, False)
    assert dock.layer is ask.layer is first
    assert dock.slides_box.currentText() == "skin"
    first.name = "mine"
    assert ask.slides_box.currentText() == "mine"
    viewer.layers.remove(second)
    assert not ask.slides_box.isVisible()
    assert ask.slide_label.isVisible()
