"""The command ``train slide`` on features, from table to attention on the slide."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import napari_hwsi as hwsi
from napari_hwsi.cli import main


def test_slides_are_learnt_from_a_table_and_their_attention_lies_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    features = tmp_path / "features"
    features.mkdir()
    rows = []
    for i in range(16):
        vectors = generator.normal(0, 1, (6, 4)).round(4)
        vectors[2] += 6 * (i % 2)
        table = pd.DataFrame(vectors, columns=list("abcd"))
        places = {"x": np.arange(6) * 256, "y": 512, "width": 256, "height": 256}
        table.assign(**places)[[*places, *"abcd"]].to_csv(features / f"S{i}.csv", index=False)
        rows.append({"slide": f"S{i}.svs", "label": ("low", "high")[i % 2], "patient": f"P{i}"})
    rows.append({"slide": "S99.svs", "label": "low", "patient": "P99"})
    table = tmp_path / "labels.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    out = tmp_path / "out"
    command = [
        "train",
        "slide",
        str(table),
        "--results",
        str(features),
        "-o",
        str(out),
        "--folds",
        "2",
        "--json",
    ]
    assert main([*command, "--rate", "0.01"]) == 0
    report = json.loads(capsys.readouterr().out)
    scores = {row["system"]: row for row in report["tables"][0]["rows"]}
    assert scores["model"]["balanced accuracy"]["score"] > 0.8
    assert scores["most frequent class"]["balanced accuracy"]["score"] == 0.5
    assert report["left_out"][0]["reason"] == "S99 has neither a result nor features"
    predictions = pd.read_csv(out / "predictions.csv")
    assert len(predictions) == 16
    assert (predictions[["p_high", "p_low"]].sum(axis=1) - 1).abs().max() < 1e-6
    shown = hwsi.open_features(out / "attention" / "S1.csv")  # opens on the slide as features do
    assert shown.boxes[2].tolist() == [512, 512, 768, 768]
    assert shown.patch_vectors.argmax() == 2
    assert json.loads((out / "attention" / "S1.geojson").read_text())["features"]

    table.write_text("slide,label,patient\nS0,low,P0\nS1,low,P1\n")
    assert main(command) == 1
    assert "All slides are of the class 'low'" in capsys.readouterr().err
