"""What answers rest on, as layers."""

from __future__ import annotations

from collections.abc import Callable

import napari
import numpy as np
import pytest

from napari_hwsi.evidence import Evidence
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.viewer import show_evidence, show_slide
from napari_hwsi.viewer.outlines import highlight
from napari_hwsi.viewer.state import PART


def slide_of(height: int, width: int) -> Slide:
    return slide_from_array(np.full((height, width, 3), 200, np.uint8), mpp=0.5, name="grey")


def places(count: int, at: int) -> list[Evidence]:
    boxes = [(at + i, 4 * i, at + i + 20, 4 * i + 10) for i in range(count)]
    return [Evidence("patch", box, i / 10, "filter", f"{at}, {i}") for i, box in enumerate(boxes)]


def test_evidence_is_outlined_and_numbered(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    layer = show_slide(viewer, slide_of(500, 500))
    places = [
        Evidence("patch", (100, 50, 150, 90), 0.5, "filter", "first"),
        Evidence("region", (0, 0, 500, 500), None, "measurement", "second"),
    ]
    outlines = show_evidence(viewer, layer, places)
    corner = outlines.data_to_world(outlines.data[0][0])
    np.testing.assert_allclose(corner, layer.data_to_world((99.5, 49.5)))
    assert outlines.features["rank"].tolist() == [1, 2]
    assert outlines.features["note"].tolist() == ["first", "second"]
    highlight(outlines, 1)
    assert outlines.edge_width[1] > outlines.edge_width[0]
    for zoom in (0.1, 1.0, 7.0):  # as thick on the screen at any zoom
        viewer.scene.camera.zoom = zoom
        assert outlines.edge_width[0] * 0.5 * zoom == pytest.approx(3, rel=0.4)
    assert outlines.edge_width[1] > outlines.edge_width[0]
    assert len(show_evidence(viewer, layer, places[:1]).data) == 1
    assert len(show_evidence(viewer, layer, []).data) == 0
    assert len(viewer.layers) == 2


def test_evidence_numbers_stand_within_their_boxes(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    layer = show_slide(viewer, slide_of(500, 500))
    view = Evidence("region", (0, 0, 500, 500), None, "measurement", "the view")
    nucleus = Evidence("cell", (100, 50, 110, 60), 40.0, "measurement", "a nucleus")
    viewer.scene.camera.zoom = 2.0
    outlines = show_evidence(viewer, layer, [view, nucleus])
    for zoom in (2.0, 4.0):  # as far in on the screen at any zoom
        viewer.scene.camera.zoom = zoom
        down, right = outlines.text.translation * 0.5 * zoom
        assert 26 < down < 50  # screen pixels; the number is 26 high
        assert 0 < right < 10
    assert not show_evidence(viewer, layer, [nucleus]).text.translation.any()  # it would hide the nucleus


def test_a_new_answer_takes_the_layer_of_the_oldest(
    make_napari_viewer: Callable[..., napari.Viewer],
) -> None:
    viewer = make_napari_viewer()
    layer = show_slide(viewer, slide_of(500, 500))
    other = make_napari_viewer()
    beside = show_slide(other, slide_of(500, 500))
    for at, count in enumerate((120, 2, 3, 4, 5)):
        highlight(show_evidence(viewer, layer, places(count, at), f"question {at}"), 1)
    for at, count in ((5, 3), (6, 110), (7, 3)):  # in the place of 120, 2 and 3
        shown = show_evidence(viewer, layer, places(count, at), f"question {at}")
        fresh = show_evidence(other, beside, places(count, at), f"question {at}")
        np.testing.assert_allclose(shown.data, fresh.data)
        assert shown.features.equals(fresh.features)
        assert len(set(np.round(shown.edge_width, 6))) == 1  # none is highlighted
        np.testing.assert_array_equal(shown.text.values, fresh.text.values)
        assert viewer.layers[-1] is shown
        assert shown.name == f"Evidence · grey: question {at}"
    layers = [each for each in viewer.layers if each.metadata.get(PART) == "evidence"]
    assert [each.visible for each in layers] == [False] * 4 + [True]
    assert [each.name[-1] for each in layers] == ["3", "4", "5", "6", "7"]
    again = show_evidence(viewer, layer, places(4, 3), "question 8")  # the places of another, and its layer
    assert again.name == "Evidence · grey: question 8"
    show_evidence(viewer, layer, places(4, 3), "question 3")
    layers = [each for each in viewer.layers if each.metadata.get(PART) == "evidence"]
    assert [each.name[-1] for each in layers] == ["5", "6", "7", "8", "3"]
    # An earlier answer comes back as it was, and one whose places have grown shows them all.
    assert show_evidence(viewer, layer, places(3, 5), "question 5") is layers[0]
    assert len(layers[0].data) == 3
    assert viewer.layers[-1] is layers[0]
    assert [each.visible for each in layers] == [True] + [False] * 4
    grown = show_evidence(viewer, layer, places(6, 5), "question 5")
    assert grown is layers[0]
    assert len(grown.data) == len(grown.features) == 6
