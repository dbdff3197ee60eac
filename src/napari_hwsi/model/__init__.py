"""From the vectors of four scales to an answer: projectors, fusion, resampler, language model.

Importing this folder does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bridge import Bridge, Bridged, load_bridge
    from .mllm import MLLM, SlideVectors, load

_MODULES = {
    "MLLM": "mllm",
    "Bridge": "bridge",
    "Bridged": "bridge",
    "SlideVectors": "mllm",
    "load": "mllm",
    "load_bridge": "bridge",
}

__all__ = ["MLLM", "Bridge", "Bridged", "SlideVectors", "load", "load_bridge"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
