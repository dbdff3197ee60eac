"""A tiny model that has learned, shared by the tests that only look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_hwsi.training.config import read_config
from napari_hwsi.training.stages import Trained, train

from .tiny import write_config, write_slides


@pytest.fixture(scope="session")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the features of nine slides of three kinds, and questions about them."""
    folder = tmp_path_factory.mktemp("slides")
    write_slides(folder)
    return folder


@pytest.fixture(scope="session")
def second(slides: Path) -> Trained:
    """Stage 2 on these slides, until it tells the kinds apart."""
    changes = {"steps": 45, "rate": 0.008, "micro": 4, "warmup": 5, "validate": 15, "save": 50}
    named = {f"schedule__{name}": value for name, value in changes.items()}
    file = write_config(slides, "second", losses={"contrast": 0.0}, **named)
    return train("stage2", read_config(file), device="cpu")
