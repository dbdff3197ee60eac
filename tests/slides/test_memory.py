"""What is remembered for the user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.slides import slide_from_array
from napari_hwsi.slides.memory import recall_mpp, remember_mpp


def test_each_slide_keeps_its_own(home: Path) -> None:
    remember_mpp("a", (0.25, 0.26))
    remember_mpp("b", (0.5, 0.5))
    assert recall_mpp("a") == (0.25, 0.26)
    assert recall_mpp("c") is None
    assert [file.name for file in home.iterdir()] == ["mpp.json"]


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "fine"}', '{"a": [null, 1]}', '{"a": 1000}'])
def test_a_damaged_memory_is_forgotten_and_said(
    home: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "mpp.json").write_text(content)
    assert recall_mpp("a") is None
    assert "again" in caplog.text
    remember_mpp("a", (0.5, 0.5))
    assert recall_mpp("a") == (0.5, 0.5)


def test_a_folder_that_cannot_be_written_stops_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HWSI_HOME", str(home / "file"))
    slide = slide_from_array(np.zeros((9, 9, 3), np.uint8))
    slide.set_mpp(0.25)
    assert slide.mpp == (0.25, 0.25)
    assert "cannot be remembered" in caplog.text


def test_a_memory_that_cannot_be_read_is_left_alone(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "mpp.json").mkdir()
    assert recall_mpp("a") is None
    remember_mpp("a", (0.5, 0.5))
    assert "not remembered" in caplog.text
