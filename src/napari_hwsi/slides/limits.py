"""Saying no to sizes that would fill the memory, before anything is allocated."""

from __future__ import annotations

import psutil

from ..errors import SlideError

_SHARE = 0.8


def require_memory(n_bytes: int, what: str) -> None:
    """Raise SlideError unless ``n_bytes`` fit into four fifths of the memory that is free now."""
    free = psutil.virtual_memory().available
    if n_bytes > _SHARE * free:
        raise SlideError(
            f"{what} would take {n_bytes / 2**30:.1f} GiB of memory, and {free / 2**30:.1f} GiB are free. "
            "Convert it to a tiled pyramid (OME-TIFF, OME-Zarr), which is read piece by piece"
        )
