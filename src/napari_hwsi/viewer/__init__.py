"""napari's doors: reading slides, layers of what was found, the visible region, a viewer's state."""

from .evidence import show_evidence
from .layers import show_result, show_slide
from .region import fly_to, visible_box
from .state import active_slide, active_slide_layer, result_of, slide_layers
from .view import View, view

__all__ = [
    "View",
    "active_slide",
    "active_slide_layer",
    "fly_to",
    "result_of",
    "show_evidence",
    "show_result",
    "show_slide",
    "slide_layers",
    "view",
    "visible_box",
]
