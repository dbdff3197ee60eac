"""What every layout of feature files can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .features import PatchFeatures
from .hints import Hints


@dataclass(frozen=True)
class Written:
    """files: what was written; left_out: in words, what the layout has no room for, or holds less exactly."""

    files: tuple[Path, ...]
    left_out: tuple[str, ...]


class Layout(Protocol):
    """A module that knows one layout."""

    def mismatch(self, path: Path) -> str | None:
        """Return why a file or folder is not of this layout, None where it is; raises InputError for a
        damaged file."""
        ...

    def read(self, path: Path, hints: Hints) -> PatchFeatures:
        """Read the features of one slide; raises InputError, ResolutionError."""
        ...

    def write(self, features: PatchFeatures, folder: Path) -> Written:
        """Write the files of one slide below a folder; raises InputError, ResolutionError, OSError."""
        ...
