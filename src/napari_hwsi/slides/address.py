"""Where a slide is: a file or folder of this machine, or an address that fsspec knows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

Place: TypeAlias = Path | str
"""A path of this machine, or the text of an address."""

_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def as_place(given: str | Path) -> Place:
    """Return an address (``https://…``, ``s3://…``) as its text, anything else as a path."""
    if isinstance(given, str) and _ADDRESS.match(given):
        return given.rstrip("/")
    return Path(given).expanduser()


def name_of(place: Place) -> str:
    """Return the last part of a place, for people to read."""
    return place.name if isinstance(place, Path) else place.split("?")[0].rsplit("/", 1)[-1]
