"""Talk to a whole-slide image and see what every answer rests on.

The public surface of the package; each name is imported from its room when first used.
Research use only: not for diagnosis.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

__version__ = version("napari-hwsi")

if TYPE_CHECKING:
    from .cells import Cells, segment_cells
    from .chat import Answer
    from .chat.ask import ask, ask_stream
    from .chat.check import check
    from .chat.occlude import occlude
    from .chat.walk import Walk, walk, walk_stream
    from .errors import HwsiError
    from .evidence import Evidence
    from .hierarchy import Example, FeatureHierarchy, Hierarchy, analyze, find, open_features, open_result
    from .slides import Slide, open_slide, slide_from_array
    from .viewer.view import view

_ROOMS = {
    "Answer": "chat",
    "Cells": "cells",
    "Evidence": "evidence",
    "Example": "hierarchy",
    "FeatureHierarchy": "hierarchy",
    "Hierarchy": "hierarchy",
    "HwsiError": "errors",
    "Slide": "slides",
    "Walk": "chat.walk",
    "analyze": "hierarchy",
    "ask": "chat",
    "ask_stream": "chat",
    "check": "chat",
    "find": "hierarchy",
    "occlude": "chat",
    "open_features": "hierarchy",
    "open_result": "hierarchy",
    "open_slide": "slides",
    "segment_cells": "cells",
    "slide_from_array": "slides",
    "view": "viewer",
    "walk": "chat.walk",
    "walk_stream": "chat.walk",
}

__all__ = [
    "Answer",
    "Cells",
    "Evidence",
    "Example",
    "FeatureHierarchy",
    "Hierarchy",
    "HwsiError",
    "Slide",
    "Walk",
    "__version__",
    "analyze",
    "ask",
    "ask_stream",
    "batch",
    "check",
    "find",
    "occlude",
    "open_features",
    "open_result",
    "open_slide",
    "segment_cells",
    "slide_from_array",
    "view",
    "walk",
    "walk_stream",
]


def __getattr__(name: str) -> Any:
    if name == "batch":  # a folder with a public surface of its own
        return import_module(".batch", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
