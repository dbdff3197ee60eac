"""Drawn shapes as places."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_hwsi.errors import InputError
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import show_slide
from napari_hwsi.viewer.drawn import drawn_area


def test_a_shape_that_crosses_itself_is_refused() -> None:
    viewer = ViewerModel()
    layer = show_slide(viewer, slide_from_array(np.full((200, 200, 3), 200, np.uint8), mpp=1.0))
    square = np.array([[10, 10], [10, 60], [60, 60], [60, 10]])
    line, crossed = np.array([[10, 10], [10, 60], [10, 30], [10, 10]]), square[[0, 2, 1, 3]]
    drawing = viewer.add_shapes([square, line, crossed], shape_type="polygon", name="mine")
    with pytest.raises(InputError, match="Shape 2 of layer 'mine' crosses itself"):
        drawn_area(viewer, layer)
    drawing.data = [square, line]
    assert drawn_area(viewer, layer).area == 2500
