"""Pixel sizes that the user gave for slides whose files have none.

Forgetting is no failure: where nothing can be kept, a slide still opens with the size that is given.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from ..disk import write_whole
from ..home import home
from ..units import Mpp, as_mpp

logger = logging.getLogger(__name__)


def recall_mpp(fingerprint: str) -> Mpp | None:
    """Return the (y, x) µm/px given earlier for this slide, or None, with a warning where it is lost."""
    try:
        value = _read().get(fingerprint)
        return None if value is None else as_mpp(value)
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s cannot be read (%s). Give the pixel size of this slide again.", _file(), error)
        return None


def remember_mpp(fingerprint: str, mpp: Mpp) -> None:
    """Keep ``mpp`` for this slide; warns where the folder cannot be written."""
    file = _file()
    try:
        known = _read()
    except ValueError:  # damaged: what it held is lost
        known = {}
    except OSError:  # not ours to overwrite
        logger.warning("The pixel size is not remembered: %s cannot be read.", file)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(known | {fingerprint: list(mpp)}, indent=1).encode())
    except OSError as error:
        logger.warning("The pixel size cannot be remembered in %s: %s.", file, error)


def _file() -> Path:
    return home() / "mpp.json"


def _read() -> dict[str, Any]:
    """Return what is remembered; raises OSError, or ValueError where the file is damaged."""
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if not isinstance(known, dict):
        raise ValueError("it holds no pixel sizes by slide")
    return known
