"""Several slides in one window."""

from __future__ import annotations

from collections.abc import Callable

import napari
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.tissue import TissueMask
from napari_hwsi.viewer import active_slide, show_slide
from napari_hwsi.viewer.layers import show, tissue_data
from napari_hwsi.viewer.state import part_layer, show_only


def slide(name: str) -> Slide:
    return slide_from_array(np.full((80, 80, 3), 200, np.uint8), mpp=0.5, name=name)


MASK = TissueMask(np.ones((8, 8), bool), (10.0, 10.0))


@pytest.fixture(params=["model", "window"])
def viewer(request: pytest.FixtureRequest, make_napari_viewer: Callable[..., napari.Viewer]) -> ViewerModel:
    return ViewerModel() if request.param == "model" else make_napari_viewer()


def test_only_one_slide_is_shown_and_the_others_return(viewer: ViewerModel) -> None:
    first, second = slide("first"), slide("second")
    a = show_slide(viewer, first)
    tissue = show(viewer, tissue_data(first, MASK))
    hidden = viewer.add_points([[1, 1]], metadata=dict(a.metadata), visible=False)
    b = show_slide(viewer, second)
    own = viewer.add_image(np.zeros((9, 9)))
    show_only(viewer, b)
    assert viewer.layers.selection.active is b
    assert [layer.visible for layer in (a, tissue, hidden, b, own)] == [False, False, False, True, True]
    renewed = show(viewer, tissue_data(first, MASK))  # as work that goes on would do
    assert not renewed.visible
    assert active_slide(viewer) is second
    show_only(viewer, a)
    assert [layer.visible for layer in (a, renewed, hidden, b)] == [True, True, False, False]
    new = show(viewer, tissue_data(second, MASK))
    assert not new.visible
    show_only(viewer, b)
    assert [layer.visible for layer in (a, renewed, b, new)] == [False, False, True, True]


@pytest.mark.parametrize("selected", ["second", "nothing", "both"])
def test_a_layer_of_another_slide_does_not_change_what_is_selected(
    viewer: ViewerModel, selected: str
) -> None:
    first = slide("first")
    a, b = show_slide(viewer, first), show_slide(viewer, slide("second"))
    viewer.layers.selection = {"second": {b}, "nothing": set(), "both": {a, b}}[selected]
    before, worked_on, heard, slides = set(viewer.layers.selection), active_slide(viewer), [], []
    events = viewer.layers.events
    for event in (events.inserted, events.removed, viewer.layers.selection.events.active):
        event.connect(lambda event: slides.append(active_slide(viewer)))
    viewer.layers.selection.events.active.connect(heard.append)
    for _ in range(2):  # added, then put in place of the first
        tissue = show(viewer, tissue_data(first, MASK))
        assert set(viewer.layers.selection) == before
    assert heard == []
    assert set(slides) == {worked_on}
    viewer.layers.selection.active = tissue
    slides.clear()
    renewed = show(viewer, tissue_data(first, MASK))
    assert viewer.layers.selection.active is renewed is part_layer(viewer, first, "tissue")
    assert heard[-1].value is renewed
    assert renewed.name == "Tissue · first"
    assert set(slides) == {first}
