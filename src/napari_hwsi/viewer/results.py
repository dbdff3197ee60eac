"""The result that a slide on the screen is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from napari.layers import Layer

from ..errors import InputError
from ..progress import Progress
from ..units import Box
from .layers import show_result
from .state import result_of, set_result, show_only, slide_layers, slide_of

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy


def result_for(layer: Layer, box: Box | None, progress: Progress | None = None) -> Hierarchy:
    """Return the result of a slide's layer: the open one, else that in its usual place, else a new one.

    A new one is made for ``box`` (None: the whole slide), in the usual place. Raises what
    :func:`napari_hwsi.analyze` raises.
    """
    from ..hierarchy import analyze, default_store, has_result, open_result

    slide = slide_of(layer)
    if slide is None:
        raise InputError(f"The layer {layer.name!r} is not a slide.")
    result = result_of(layer)
    if result is None:
        store = default_store(slide)
        if has_result(store):
            result = open_result(store, slide)
        else:
            result = analyze(slide, store, box=box, progress=progress)
        set_result(layer, result)
    return result


def open_store(viewer: ViewerModel, path: str | Path) -> Layer:
    """Show a result on its slide, which is opened where it is not yet, and return the slide's layer.

    Raises StoreError where there is no result, or its slide is no longer where it was analysed.
    """
    from ..hierarchy import open_result
    from .reader import open_in

    fingerprint = open_result(path).slide_facts["fingerprint"]
    for layer in slide_layers(viewer):
        slide = slide_of(layer)
        if slide is not None and slide.fingerprint == fingerprint:
            show_result(viewer, layer, open_result(path, slide))
            show_only(viewer, layer)
            return layer
    return open_in(viewer, path)[0]
