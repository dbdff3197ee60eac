"""Levels of real slides lie on each other on the screen: what is outlined at one stays in place at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from napari_hwsi.slides import open_slide
from napari_hwsi.viewer import show_slide, visible_box
from napari_hwsi.viewer.region import centre_on

SCREEN_PX = 4  # of a coarse pixel


def seen(viewer: napari.Viewer, level: int, qtbot) -> np.ndarray:
    """Return the canvas with the pixels of one level, grey, without the sharp edges between its pixels."""
    (layer,) = viewer.layers
    layer.locked_data_level = level
    layer.interpolation2d = "linear"
    qtbot.wait(30)
    assert layer.data_level == level
    return viewer.screenshot(flash=False)[..., :3].mean(-1)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("TCGA-CR-7395-01A-01-TS1.svs", {1: (3250, 4000)}),  # 3567 x 4443, then 1783 x 2221
        ("test3-DAPI-2-387.ndpi", {1: (4400, 3500), 2: (4000, 3200), 3: (3500, 2600)}),
    ],
)
def test_no_level_drifts(
    make_napari_viewer: Callable[..., napari.Viewer], qtbot, data: Path, name: str, places: dict
) -> None:
    viewer = make_napari_viewer(show=True)
    with open_slide(data / "wsi" / name) as slide:
        layer = show_slide(viewer, slide)
        viewer.canvas.overlays["scale_bar"].visible = False
        assert (layer.downsample_factors % 1 == 0).all()
        for level, place in places.items():  # far from the origin, where a wrong ratio shows most
            coarse = layer.downsample_factors[level]
            assert tuple(coarse) == slide.level_downsamples[level]
            viewer.scene.camera.zoom = SCREEN_PX / (layer.scale[0] * coarse[0])
            centre_on(viewer, layer, place)
            fine, rough = seen(viewer, 0, qtbot), seen(viewer, level, qtbot)
            shift, _, _ = phase_cross_correlation(fine, rough, upsample_factor=20, normalization=None)
            # Half a coarse pixel is the promise; levels stretched by their rounded sizes are off by 0.4.
            assert np.abs(shift).max() < 0.2 * SCREEN_PX, f"level {level} is off by {shift / SCREEN_PX} px"


def test_padding_is_not_slide(make_napari_viewer: Callable[..., napari.Viewer], data: Path) -> None:
    viewer = make_napari_viewer(show=True)
    with open_slide(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        layer = show_slide(viewer, slide)
        assert layer.data[0].shape[:2] >= slide.shape
        viewer.reset_view()
        assert visible_box(viewer, layer) == (0, 0, *slide.shape)
        assert np.asarray(layer.data[0][slide.shape[0] :, :100]).tolist() == [[[255] * 3] * 100]
