"""A walk on the slide: a path from place to place, what was looked at, what was marked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Shapes

from ..chat.walk import Walk
from ..errors import InputError
from ..slides import Slide
from .layers import placing, rectangles, show
from .state import PART, SLIDE

_LOOKED, _MARKED = "#56B4E9", "#E69F00"  # told apart by the colour-blind
_LOOKS = ("look", "inspect", "peek")


def show_walk(viewer: ViewerModel, slide: Slide, walk: Walk) -> Shapes:
    """Draw a walk on its slide, in place of the last one: looks in blue, marks in orange, all numbered.

    Raises InputError for a walk on another slide.
    """
    if walk.fingerprint != slide.fingerprint:
        raise InputError(f"This walk was made on another slide, not on {slide.name}.")
    steps = [(i, step) for i, step in enumerate(walk.steps, 1) if step.box is not None]
    boxes = np.array([step.box for _, step in steps], float).reshape(-1, 4)
    shapes = rectangles(boxes)
    kinds = ["rectangle"] * len(shapes)
    colours = [_MARKED if step.kind == "mark" else _LOOKED for _, step in steps]
    labels = [str(i) for i, _ in steps]
    looks = [k for k, (_, step) in enumerate(steps) if step.kind in _LOOKS]
    if len(looks) > 1:
        middles = (boxes[looks, :2] + boxes[looks, 2:]) / 2 - 0.5
        shapes.append(middles)
        kinds.append("path")
        colours.append(_LOOKED)
        labels.append("")
    kwargs = {
        "name": f"Walk · {slide.name}",
        "metadata": {SLIDE: slide, PART: "walk"},
        "shape_type": kinds,
        "edge_color": colours,
        "face_color": "transparent",
        "opacity": 1.0,
        **placing(slide),
    }
    if shapes:
        kwargs["features"] = pd.DataFrame({"step": labels})
        kwargs["text"] = {"string": "{step}", "color": "black", "size": 14, "anchor": "upper_left"}
    layer = show(viewer, (shapes, kwargs, "shapes"))
    assert isinstance(layer, Shapes)
    return layer
