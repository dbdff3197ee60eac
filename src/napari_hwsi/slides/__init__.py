"""Open any slide: pixels by place and resolution, with the backends that decode files."""

from .backend import RGB, Backend
from .slide import Scale, Slide, open_slide, slide_from_array

__all__ = ["RGB", "Backend", "Scale", "Slide", "open_slide", "slide_from_array"]
