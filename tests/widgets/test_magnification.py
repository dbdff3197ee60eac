"""The button that switches asynchronous drawing."""

from __future__ import annotations

import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt

from napari_hwsi.widgets.magnification import DrawingSwitch


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
