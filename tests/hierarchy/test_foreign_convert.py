"""napari-hwsi convert."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi.cli import main
from napari_hwsi.commands import convert
from napari_hwsi.hierarchy.foreign import LAYOUTS, write_features

from .foreign import tiles


def test_a_result_becomes_files_of_trident(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(whole), "--to", "trident", "-o", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    result = hwsi.open_result(whole)
    assert facts["patches"] == result.patches["valid"].sum()
    assert any("regions" in text for text in facts["left_out"])
    with h5py.File(next(file for file in facts["written"] if "/features_" in file)) as held:
        assert held["features"].shape == (facts["patches"], facts["width"])


def test_from_one_layout_to_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tiles(precision="float16", slide=False)
    source = write_features(made, tmp_path, "stamp").files[0]
    line = ["convert", str(source), "--to", "csv", "-o", str(tmp_path / "out")]
    assert main([*line, "--mpp", "0.25"]) == 0
    out = capsys.readouterr().out
    assert "written: " in out
    assert "left out: the encoder's name, uni_v1" in out
    again = hwsi.open_features(tmp_path / "out" / "case-1.DX1.csv")
    np.testing.assert_array_equal(again.patch_vectors, made.vectors)
    np.testing.assert_array_equal(again.boxes, made.boxes)


def test_refusals_are_one_sentence_and_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: Path
) -> None:
    source = write_features(tiles(slide=False), tmp_path, "stamp").files[0]
    for line, wrong in (
        ([str(source), "--to", "csv"], "in µm"),
        ([str(source), "--to", "release", "--mpp", "0.25"], "regions of 16 x 16"),
        ([str(source), "--to", "csv", "--from", "clam"], "not in the layout clam"),
        ([str(whole), "--to", "csv", "--mpp", "0.5"], "says all of itself"),
    ):
        assert main(["convert", *line, "-o", str(tmp_path / "out")]) == 1
        told = capsys.readouterr()
        assert wrong in told.err
        assert told.err.startswith("napari-hwsi: ")
        assert told.err.count("\n") == 1
        assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_the_command_offers_all_layouts() -> None:
    assert (*LAYOUTS,) == convert.LAYOUTS
