"""The built-in sample: a small synthetic slide with its truth, and the spec that makes it again."""

from __future__ import annotations

from pathlib import Path

from ..synthetic import SlideSpec

__all__ = ["SPEC", "sample_slide"]

SPEC = SlideSpec(seed=7, shape=(7168, 7168), mpp=0.5)
"""`synthetic.write_slide(path, SPEC)` writes the sample."""


def sample_slide() -> Path:
    """Return the path of the sample slide; its truth lies beside it as .truth.json and .truth.npz."""
    return Path(__file__).with_name("synthetic.svs")
