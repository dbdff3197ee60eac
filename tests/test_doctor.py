"""What the doctor finds on machines that are not this one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_hwsi.chat import FORMS
from napari_hwsi.doctor import examine, qt_binding


def test_qt_of_the_essentials_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "PySide6").mkdir()
    facts = tmp_path / "PySide6_Essentials-6.8.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: PySide6-Essentials\nVersion: 6.8.1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = qt_binding()
    assert (found.state, found.detail) == ("ok", "PySide6-Essentials 6.8.1")


def test_no_qt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert qt_binding().state == "missing"


def test_names_every_answerer() -> None:
    (answerers,) = [finding for finding in examine() if finding.subject == "Answerers"]
    assert answerers.detail == ", ".join(FORMS)


def test_a_room_that_does_not_load_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "napari_hwsi.cells", None)
    (segmenters,) = [finding for finding in examine() if finding.subject == "Segmenters"]
    assert segmenters.state == "missing"


def test_what_a_profile_lacks_is_named() -> None:
    found = {f.detail: f for f in examine("release") if f.subject == "Profile release"}
    assert found["HIPT ViT-4K: vectors of regions"].state == "missing"
    assert "vit4k_xs_dino.pth" in found["HIPT ViT-4K: vectors of regions"].remedy
    assert [f.state for f in examine() if f.subject == "Profile pocket"] == ["ok"]


def test_each_segmenter_says_what_it_needs_and_lacks(home: Path) -> None:
    found = {finding.subject: finding for finding in examine()}
    assert found["Segmenter classical"].state == "ok"
    without = found["Segmenter cellvit"]
    assert without.state == "optional"
    assert "put it into" in without.remedy
    (home / "weights" / "cellvit").mkdir(parents=True)
    (home / "weights" / "cellvit" / "CellViT-256-x40.pth").touch()
    assert {finding.subject: finding for finding in examine()}["Segmenter cellvit"].state == "ok"
    assert "unverified" in found["Segmenter stardist"].detail
