"""Two processes, started by accelerate, learn what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_hwsi.encoders.weights import read_weights
from napari_hwsi.training.config import read_config
from napari_hwsi.training.stages import train

from .tiny import write_config


def test_two_processes_learn_what_one_does(slides: Path) -> None:
    changes = {
        "losses": {"consistency": 0.1},
        "tokens__dropout": 0.0,
        "schedule__micro": 1,
        "schedule__steps": 3,
    }
    one = train("stage2", read_config(write_config(slides, "one", **changes)), device="cpu")
    file = write_config(slides, "both", **changes)
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "napari_hwsi.cli"]
    command = [sys.executable, *launch, "train", "stage2", str(file), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("bridge.safetensors", "language/model.safetensors"):
        wanted, found = (read_weights(folder / part)[0] for folder in (one.folder, slides / "both" / "model"))
        for name, value in wanted.items():
            assert found[name].numpy() == pytest.approx(value.numpy(), abs=2e-4), name
    lines = [(slides / name / "curve.csv").read_text().splitlines() for name in ("one", "both")]
    assert [len(each) for each in lines] == [4, 4]
    first = [each[1].split(",")[2] for each in lines]
    assert float(first[1]) == pytest.approx(float(first[0]), rel=1e-4)
