"""Magnification as people type it, and the button that switches asynchronous drawing."""

from __future__ import annotations

import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt

from napari_hwsi.slides import Slide
from napari_hwsi.viewer.region import magnification
from napari_hwsi.widgets.magnification import MAGNIFICATIONS, DrawingSwitch, Magnification
from napari_hwsi.widgets.task import TaskRow


def test_switched_by_a_click_only(make_napari_viewer, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_ASYNC", raising=False)
    make_napari_viewer()
    settings = get_settings().experimental
    switch = DrawingSwitch()
    qtbot.addWidget(switch)
    assert not settings.async_  # building it changes nothing
    assert "on" in switch.button.text()
    assert "waits" in switch.words.text()
    qtbot.mouseClick(switch.button, Qt.MouseButton.LeftButton)
    assert settings.async_
    assert "off" in switch.button.text()
    assert "stays free" in switch.words.text()
    settings.async_ = False  # in Preferences
    assert "waits" in switch.words.text()
    monkeypatch.setenv("NAPARI_ASYNC", "1")
    qtbot.mouseClick(switch.button, Qt.MouseButton.LeftButton)
    assert "until napari is closed" in switch.words.text()
    settings.async_ = False


@pytest.fixture
def shown(viewer, qtbot) -> Magnification:
    shown = Magnification(viewer, TaskRow())
    qtbot.addWidget(shown)
    shown.set_known(True)
    return shown


@pytest.mark.parametrize("text", ["10x", "10X", "10 x", " 10 X ", "10", "10×", "10,0x"])
def test_typed(shown: Magnification, text: str, tissue: Slide) -> None:
    for typed in ("ten", text):
        shown.edit.setText(typed)
        shown.edit.setModified(True)
        shown.edit.editingFinished.emit()
    assert magnification(shown.viewer) == pytest.approx(10)
    assert shown._task.words.text() == ""


def test_each_button_says_its_own_number(shown: Magnification, qtbot) -> None:
    for value in MAGNIFICATIONS:
        assert f"{value}x, {10 / value:g} µm" in shown.buttons[value].toolTip()
    shown._task.say("'ten' is not a magnification, such as 10x.")
    qtbot.mouseClick(shown.buttons[20], Qt.MouseButton.LeftButton)
    assert magnification(shown.viewer) == pytest.approx(20)
    assert shown._task.words.text() == ""
