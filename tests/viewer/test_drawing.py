"""Switching napari's asynchronous rendering."""

from __future__ import annotations

import threading
from collections.abc import Callable

import napari
import numpy as np
import pytest
from napari.settings import get_settings

from napari_hwsi.viewer.drawing import (
    decided_by_environment,
    draw_without_waiting,
    draws_without_waiting,
)


class Slow:
    """An array whose pixels come only when they are let through."""

    dtype, ndim, shape = np.dtype(np.uint8), 2, (64, 64)

    def __init__(self) -> None:
        self.gate, self.readers = threading.Event(), set[str]()

    def __getitem__(self, index: object) -> np.ndarray:
        self.readers.add(threading.current_thread().name)
        self.gate.wait(10)
        return np.full(self.shape, 7, np.uint8)[index]


def test_works_at_once_and_back(make_napari_viewer: Callable[..., napari.Viewer], qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    assert not draws_without_waiting()
    draw_without_waiting(True)
    assert get_settings().experimental.async_
    pixels = Slow()
    layer = viewer.add_image(pixels, contrast_limits=(0, 9))  # returns, though no pixel can be read yet
    assert not layer.loaded
    pixels.gate.set()
    qtbot.waitUntil(lambda: layer.loaded, timeout=5000)
    main = threading.main_thread().name
    assert main not in pixels.readers
    draw_without_waiting(False)
    layer.refresh()
    assert main in pixels.readers


def test_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAPARI_ASYNC", raising=False)
    assert not decided_by_environment()
    monkeypatch.setenv("NAPARI_ASYNC", "1")
    assert decided_by_environment()
