"""Which slide, result and role belong to which layer.

Everything is kept in the layers' own metadata: it goes when the layer goes, and a
viewer knows nothing of another viewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from napari.components import ViewerModel
from napari.layers import Image, Layer

from ..errors import InputError
from ..slides import Slide

if TYPE_CHECKING:
    from ..hierarchy import Hierarchy

Part: TypeAlias = Literal[
    "tissue",
    "classes",
    "regions",
    "patches",
    "cells",
    "aside",
    "centroids",
    "attention",
    "evidence",
    "correction",
    "density",
    "map",
    "kept map",
    "occlusion",
    "above",
    "walk",
]

SLIDE, PART, RESULT, MASK = "hwsi_slide", "hwsi_part", "hwsi_result", "hwsi_mask"
ANSWER = "hwsi_answer"
FOUND, HIDDEN, EDITABLE = "hwsi_found", "hwsi_hidden", "hwsi_editable"
HOW_TO_OPEN = "Open one with “Open slide…” in the Slide dock, or with File > Open with Plugin > napari-hwsi."


def slide_of(layer: Layer) -> Slide | None:
    """Return the slide that a layer shows, or that its content lies on."""
    slide = layer.metadata.get(SLIDE)
    return slide if isinstance(slide, Slide) else None


def is_slide_layer(layer: Layer) -> bool:
    """Return whether a layer is a slide itself, not something found on one."""
    return isinstance(layer, Image) and slide_of(layer) is not None and PART not in layer.metadata


def slide_layers(viewer: ViewerModel) -> list[Image]:
    """Return the layers that are slides, bottom first."""
    return [layer for layer in viewer.layers if is_slide_layer(layer)]


def active_slide_layer(viewer: ViewerModel) -> Image | None:
    """Return the slide the user is working on, None where no slide is open.

    The one whose layer, or a layer on it, is active; else the topmost visible; else the topmost.
    """
    slides = slide_layers(viewer)
    active = viewer.layers.selection.active
    if active is not None and (slide := slide_of(active)) is not None:
        for layer in slides:
            if slide_of(layer) is slide:
                return layer
    shown = [layer for layer in slides if layer.visible] or slides
    return shown[-1] if shown else None


def active_slide(viewer: ViewerModel) -> Slide | None:
    """Return the slide the user is working on, None where no slide is open."""
    layer = active_slide_layer(viewer)
    return None if layer is None else slide_of(layer)


def require_slide_layer(viewer: ViewerModel) -> Image:
    """Return the layer of the slide the user is working on; raises InputError where none is open."""
    layer = active_slide_layer(viewer)
    if layer is None:
        raise InputError(f"No slide is open. {HOW_TO_OPEN}")
    return layer


def part_layer(
    viewer: ViewerModel, slide: Slide, part: Part | None, answer: str | None = None
) -> Layer | None:
    """Return the layer that shows a part (tissue, cells, …) of this slide, None where there is none.

    Of several, as of evidence, the topmost; answer: the one that belongs to this answer.
    """
    for layer in reversed(viewer.layers):
        metadata = layer.metadata
        mine = part is not None and metadata.get(PART) == part and slide_of(layer) is slide
        if mine and answer in (None, metadata.get(ANSWER)):
            return layer
    return None


def layers_on(viewer: ViewerModel, slide: Slide) -> list[Layer]:
    """Return the slide's layer and all layers placed on it."""
    return [layer for layer in viewer.layers if slide_of(layer) is slide]


def show_only(viewer: ViewerModel, layer: Image) -> None:
    """Show a slide's layer with what lies on it, hide all other slides with theirs, and work on it.

    What is hidden so is shown again when its slide is chosen; what the user hid stays hidden.
    """
    chosen = slide_of(layer)
    for each in viewer.layers:
        slide = slide_of(each)
        if slide is chosen and slide is not None:
            each.visible = each.metadata.pop(HIDDEN, False) or each.visible or each is layer
        elif slide is not None and each.visible:
            each.metadata[HIDDEN], each.visible = True, False
    viewer.layers.selection.active = layer


def hide_with_slide(viewer: ViewerModel, layer: Layer) -> None:
    """Hide a new layer on a slide that :func:`show_only` has hidden, until that slide is chosen."""
    slide = slide_of(layer)
    if any(slide_of(each) is slide and each.metadata.get(HIDDEN, False) for each in slide_layers(viewer)):
        layer.metadata[HIDDEN], layer.visible = True, False


def result_of(layer: Layer) -> Hierarchy | None:
    """Return the result that was opened or made for a slide's layer, None where there is none."""
    return layer.metadata.get(RESULT)


def set_result(layer: Layer, result: Hierarchy) -> None:
    """Let a result belong to a slide's layer; an earlier one is let go."""
    layer.metadata[RESULT] = result
