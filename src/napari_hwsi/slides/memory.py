"""Pixel sizes that the user gave for slides whose files have none."""

from __future__ import annotations

import json
import os
from pathlib import Path

from platformdirs import user_data_path

from ..errors import SlideError
from ..units import Mpp, as_mpp


def home() -> Path:
    """Return the folder for what the package remembers; ``HWSI_HOME`` moves it."""
    return Path(os.environ.get("HWSI_HOME") or user_data_path("napari-hwsi"))


def recall_mpp(fingerprint: str) -> Mpp | None:
    """Return the (y, x) µm/px given earlier for this slide, or None."""
    value = _read().get(fingerprint)
    return None if value is None else as_mpp(value)


def remember_mpp(fingerprint: str, mpp: Mpp) -> None:
    """Keep ``mpp`` for this slide. Raises SlideError where the folder cannot be written."""
    known = _read() | {fingerprint: list(mpp)}
    file = _file()
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(known, indent=1))
        draft.replace(file)
    except OSError as error:
        raise SlideError(
            f"The pixel size cannot be remembered in {file}: {error}. Make that folder writable."
        ) from error


def _file() -> Path:
    return home() / "mpp.json"


def _read() -> dict[str, list[float]]:
    try:
        known: dict[str, list[float]] = json.loads(_file().read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise SlideError(
            f"{_file()} is damaged ({error}). Delete it; pixel sizes can be given again."
        ) from error
    return known
