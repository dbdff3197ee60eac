"""Open any slide: pixels by place and resolution, with the backends that decode files."""

from .backend import RGB, Backend
from .cache import set_cache_size, tile_cache
from .slide import Scale, Slide, open_slide, slide_from_array
from .stream import PatchBatch, stream_patches

__all__ = [
    "RGB",
    "Backend",
    "PatchBatch",
    "Scale",
    "Slide",
    "open_slide",
    "set_cache_size",
    "slide_from_array",
    "stream_patches",
    "tile_cache",
]
