"""File > Open Sample: the synthetic slide that comes with the package."""

from __future__ import annotations

from ..sample_data import sample_slide as sample_path
from .layers import LayerData
from .reader import read

__all__ = ["sample_path", "sample_slide"]


def sample_slide() -> list[LayerData]:
    """Return the layer of the built-in synthetic slide."""
    return read(str(sample_path()))
