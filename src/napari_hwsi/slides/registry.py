"""Which backend opens a file, and why the others did not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import InputError, SlideError
from .backend import Backend
from .openslide_backend import OpenSlideBackend
from .tifffile_backend import TifffileBackend

BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "openslide": OpenSlideBackend,
    "tifffile": TifffileBackend,
}


def open_backend(path: Path, backend: str | None = None) -> tuple[Backend, dict[str, str]]:
    """Open ``path`` with the named backend, or the first that can.

    Returns the open backend and, by name, why those tried before it refused.
    Raises SlideError naming every refusal, InputError for an unknown backend.
    """
    if backend is not None and backend not in BACKENDS:
        raise InputError(f"There is no backend {backend!r}; there are {', '.join(BACKENDS)}.")
    try:
        path.stat()
    except OSError as error:
        raise SlideError(f"{path} cannot be opened: {error.strerror}.") from error
    if path.is_dir():
        raise SlideError(f"{path} is a folder, not a slide. Give one slide file.")
    if not path.stat().st_size:
        raise SlideError(f"{path} is empty. Copy it again.")
    refused: dict[str, str] = {}
    for name in [backend] if backend else _order(path):
        try:
            return BACKENDS[name](path), refused
        except SlideError as error:
            refused[name] = str(error)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    raise SlideError(
        f"{path} cannot be opened as a slide ({reasons}). If it once did, copy it again; "
        "the formats are listed by: napari-hwsi doctor."
    )


def _order(path: Path) -> list[str]:
    """Prefer tifffile for OME-TIFF, whose pyramid in SubIFDs OpenSlide does not see."""
    ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    return sorted(BACKENDS, key=lambda name: (name == "tifffile") != ome)
