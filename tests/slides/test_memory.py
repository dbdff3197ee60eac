"""What is remembered for the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_hwsi.errors import SlideError
from napari_hwsi.slides.memory import recall_mpp, remember_mpp


def test_each_slide_keeps_its_own(home: Path) -> None:
    remember_mpp("a", (0.25, 0.26))
    remember_mpp("b", (0.5, 0.5))
    assert recall_mpp("a") == (0.25, 0.26)
    assert recall_mpp("c") is None


def test_a_damaged_memory_says_so(home: Path) -> None:
    (home / "mpp.json").write_text("{")
    with pytest.raises(SlideError, match="damaged"):
        recall_mpp("a")


def test_a_folder_that_cannot_be_written_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("HWSI_HOME", str(home / "file"))
    with pytest.raises(SlideError, match="cannot be remembered"):
        remember_mpp("a", (0.5, 0.5))
