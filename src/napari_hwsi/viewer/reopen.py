"""Showing a slide by other colours, in the same layer and at the same place."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Image

from ..errors import InputError
from ..slides import Slide, open_slide
from .nuclei import nuclei_of
from .state import PART, RESULT, SLIDE, layers_on, slide_of
from .trouble import watch

_FOUND = ("tissue", "regions", "patches", "cells", "density")  # by the colours of the pixels


def set_icc(viewer: ViewerModel, layer: Image, on: bool) -> Slide:
    """Open the slide of a layer anew, its colours converted to sRGB by the file's profile or as they are.

    The layer, what lies on it, and the camera stay; the layer's result and what shows it are let go,
    for they were made of the other colours; nuclei that were corrected by hand stay. Raises SlideError for
    a file without a profile or with a damaged one, InputError for an image in memory.
    """
    old = slide_of(layer)
    if old is None or old.address is None:
        raise InputError(f"{layer.name} is no slide file, so it has no colour profile.")
    if old.icc == on:
        return old
    # The old slide is not closed: a thread may be reading it. It goes when nothing holds it.
    new = open_slide(old.address, backend=old.backend, icc=on)
    for each in layers_on(viewer, old):
        nuclei = nuclei_of(each)
        if each.metadata.get(PART) in _FOUND and not (nuclei is not None and nuclei.by_hand):
            viewer.layers.remove(each)
            continue
        each.metadata[SLIDE] = new
        if nuclei is not None:
            nuclei.slide = new
    layer.metadata.pop(RESULT, None)
    watch(viewer, layer)
    layer.data = new.lazy_levels
    return new
