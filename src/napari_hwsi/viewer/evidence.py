"""What answers rest on, outlined on the slide: a layer an answer, those of the last five kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Layer
from napari.layers import Shapes as ShapesLayer

from ..evidence import Evidence
from ..slides import Slide
from .layers import LayerData, placing, rectangles, show
from .outlines import draw_thin, thickness
from .state import ANSWER, HIDDEN, PART, SLIDE, hide_with_slide, layers_on, slide_of

_MOST_NUMBERED = 100  # more numbers cover each other, and napari takes their number squared to write them
_MOST_ANSWERS, _ANSWER_NAME = 5, 40  # whose places have layers; letters of their names
_COLOUR = "#00E5FF"  # no stain is cyan
_PLACES = "hwsi_places"


def evidence_data(slide: Slide, evidence: Sequence[Evidence], answer: str = "") -> LayerData:
    """Return the layer of what an answer rests on: outlines numbered 1 to n in the answer's order.

    answer: what the layer is known by.
    """
    boxes = np.array([place.box for place in evidence], float).reshape(-1, 4)
    kwargs: dict[str, Any] = {
        "name": f"Evidence · {slide.name}" + (f": {answer[:_ANSWER_NAME]}" if answer else ""),
        "metadata": {SLIDE: slide, PART: "evidence", ANSWER: answer, _PLACES: tuple(evidence)},
        "shape_type": "rectangle",
        "face_color": "transparent",
        "edge_color": _COLOUR,
        "opacity": 1.0,
        **placing(slide),
    }
    if len(evidence):
        kwargs["features"] = pd.DataFrame(
            {
                "rank": np.arange(1, len(evidence) + 1),
                "scale": [place.scale for place in evidence],
                "source": [place.source for place in evidence],
                "score": [np.nan if place.score is None else place.score for place in evidence],
                "note": [place.note for place in evidence],
            }
        )
    if 0 < len(evidence) <= _MOST_NUMBERED:
        kwargs["text"] = {"string": "{rank}", "color": _COLOUR, "size": 16, "anchor": "upper_left"}
    return rectangles(boxes), kwargs, "shapes"


def show_evidence(
    viewer: ViewerModel, layer: Layer, evidence: Sequence[Evidence], answer: str = ""
) -> ShapesLayer:
    """Outline what an answer rests on, in a layer of its own; those of other answers on the slide are hidden.

    answer: what the layer is known by, such as the question; the layers of the last five are kept.
    """
    slide = slide_of(layer)
    assert slide is not None
    layers = [each for each in layers_on(viewer, slide) if each.metadata.get(PART) == "evidence"]
    own = [each for each in layers if each.metadata.get(ANSWER) == answer]
    # A layer that is taken away costs napari more than all else here, so the oldest becomes the new one.
    old = own[-1] if own else layers[0] if len(layers) >= _MOST_ANSWERS else None
    data = evidence_data(slide, evidence, answer)
    if isinstance(old, ShapesLayer) and len(old.data) and len(evidence):
        shown = old
        if not own or old.metadata[_PLACES] != tuple(evidence) or len(old.data) != len(evidence):
            _renew(viewer, old, data)
        if old is not viewer.layers[-1]:  # a map would cover them
            viewer.layers.move(viewer.layers.index(old), len(viewer.layers))
        if not own:
            old.metadata.pop(HIDDEN, None)
            hide_with_slide(viewer, old)
    else:
        if old is not None and not own:
            viewer.layers.remove(old)
        if len(evidence) > _MOST_NUMBERED:  # drawn once, at the width they have now
            data[1]["edge_width"] = thickness(viewer.scene.camera.zoom, data[1]["scale"])
        added = show(viewer, data)
        assert isinstance(added, ShapesLayer)
        shown = added
    for other in layers:
        if other is not shown and other in viewer.layers:
            other.visible = False
            other.metadata.pop(HIDDEN, None)
    shown.visible = not shown.metadata.get(HIDDEN, False)
    return shown


def _renew(viewer: ViewerModel, layer: ShapesLayer, data: LayerData) -> None:
    """Let a layer of places show other places."""
    content, kwargs, _ = data
    layer.text = None  # else the old numbers are written on the new places first
    layer.data = content
    layer.features = kwargs["features"]
    layer.metadata.update(kwargs["metadata"])
    layer.name = kwargs["name"]
    if "text" in kwargs:
        layer.text = kwargs["text"]
    draw_thin(viewer, layer)
