"""From the vectors of four scales to an answer: projectors, fusion, resampler, language model.

Importing this folder does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .scales import SCALES, WIDTHS, Scale

if TYPE_CHECKING:
    from .atlas import Atlas
    from .bridge import Bridge, Bridged, load_bridge
    from .chat import Chat
    from .concatenated import Concatenated
    from .folder import load, save
    from .generation import Attended, Generation
    from .language import Lora, new_language, open_language
    from .mllm import MLLM
    from .vectors import ScaleVectors, SlideVectors

_MODULES = {
    "Atlas": "atlas",
    "Attended": "generation",
    "Bridge": "bridge",
    "Bridged": "bridge",
    "Chat": "chat",
    "Concatenated": "concatenated",
    "Generation": "generation",
    "Lora": "language",
    "MLLM": "mllm",
    "ScaleVectors": "vectors",
    "SlideVectors": "vectors",
    "load": "folder",
    "load_bridge": "bridge",
    "new_language": "language",
    "open_language": "language",
    "save": "folder",
}

__all__ = [
    "MLLM",
    "SCALES",
    "WIDTHS",
    "Atlas",
    "Attended",
    "Bridge",
    "Bridged",
    "Chat",
    "Concatenated",
    "Generation",
    "Lora",
    "Scale",
    "ScaleVectors",
    "SlideVectors",
    "load",
    "load_bridge",
    "new_language",
    "open_language",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
