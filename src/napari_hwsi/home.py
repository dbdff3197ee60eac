"""Where the package keeps what it remembers for its user."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path


def home() -> Path:
    """Return the folder for what the package remembers; ``HWSI_HOME`` moves it."""
    return Path(os.environ.get("HWSI_HOME") or user_data_path("napari-hwsi"))
