"""File > Open Sample."""

from __future__ import annotations

from collections.abc import Callable

import napari

from napari_hwsi.viewer import active_slide


def test_sample_opens(make_napari_viewer: Callable[..., napari.Viewer]) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample("napari-hwsi", "synthetic_slide")
    slide = active_slide(viewer)
    assert slide is not None
    assert slide.mpp is not None
    assert slide.mpp_source == "file"
    assert str(viewer.layers[0].units[0]) == "micrometer"
