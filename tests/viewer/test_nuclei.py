"""Nuclei on the screen: coloured by a lookup, left out, clicked, flown to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import napari
import numpy as np
import pytest
from napari.utils.interactions import mouse_press_callbacks, mouse_release_callbacks

from napari_hwsi.cells import CellIndex, Cells, Correction, Reversal
from napari_hwsi.errors import InputError
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import show_slide, visible_box
from napari_hwsi.viewer.colours import SELECTED_COLOUR, rgba, title_of
from napari_hwsi.viewer.layers import cells_data, centroids_data, show
from napari_hwsi.viewer.nuclei import Nuclei, features_of, fly_to_cell, nuclei_of, nuclei_on
from napari_hwsi.widgets.growing import Growing, Grown


@pytest.fixture
def shown(make_napari_viewer: Callable[..., napari.Viewer]) -> tuple[napari.Viewer, Nuclei]:
    """Nine square nuclei that grow from 10 to 18 px, 100 px apart."""
    viewer = make_napari_viewer(show=True)
    slide = slide_from_array(np.full((400, 400, 3), 240, np.uint8), mpp=0.5)
    show_slide(viewer, slide)
    places = [(y, x) for y in (50, 150, 250) for x in (50, 150, 250)]
    squares = [
        np.array([[y, x], [y, x + s], [y + s, x + s], [y + s, x]], np.float32)
        for s, (y, x) in enumerate(places, start=10)
    ]
    cells = Cells.of(squares, types=[0, 1] * 4 + [0], type_names=("lymphocyte", "tumour"), mpp=0.5)
    nuclei = nuclei_of(show(viewer, cells_data(slide, cells)))
    assert nuclei is not None
    return viewer, nuclei


def drawn_colours(nuclei: Nuclei) -> np.ndarray:
    """The colours that the layer gives to rows 0 … N-1."""
    assert nuclei.layer is not None
    return nuclei.layer.colormap.map(np.arange(1, len(nuclei.cells) + 1))


def click(viewer: napari.Viewer, place: tuple[float, float], *modifiers: str) -> None:
    position = viewer.layers[0].data_to_world(np.subtract(place, 0.5))
    event = SimpleNamespace(
        type="mouse_press", button=1, pos=(10, 10), modifiers=modifiers, position=position, handled=False
    )
    mouse_press_callbacks(viewer, event)
    event.type = "mouse_release"
    mouse_release_callbacks(viewer, event)


def test_one_lookup_colours_all(shown: tuple[napari.Viewer, Nuclei]) -> None:
    _, nuclei = shown
    pixels = np.asarray(nuclei.layer.data[0]).copy()
    by_type = drawn_colours(nuclei)
    np.testing.assert_allclose(by_type[0], by_type[2])
    assert not np.allclose(by_type[0], by_type[1])
    nuclei.colour_by("area_um2", (0, 100))
    lightness = drawn_colours(nuclei)[:, :3].sum(1)
    assert (np.diff(lightness) > 0).all()  # viridis rises with the area
    np.testing.assert_array_equal(np.asarray(nuclei.layer.data[0]), pixels)  # nothing is drawn anew
    assert title_of("density_50um_per_mm2") == "density 50 µm (per mm²)"
    assert title_of("haematoxylin_contrast_od2") == "haematoxylin contrast (OD²)"
    with pytest.raises(InputError, match="no column"):
        nuclei.colour_by("area")
    nuclei.show_only(nuclei.cells.types == 1)
    assert (drawn_colours(nuclei)[:, 3] > 0).tolist() == (nuclei.cells.types == 1).tolist()
    nuclei.select([1])
    np.testing.assert_allclose(drawn_colours(nuclei)[1], rgba([SELECTED_COLOUR])[0])
    assert 0 < drawn_colours(nuclei)[3, 3] < 1  # the others step back


def test_a_click_selects(shown: tuple[napari.Viewer, Nuclei]) -> None:
    viewer, nuclei = shown
    viewer.scene.camera.zoom = 4
    click(viewer, (155, 155))
    assert nuclei.selected.tolist() == [4]
    assert "Nucleus 4" in str(viewer.status)
    click(viewer, (55, 255), "Shift")
    assert nuclei.selected.tolist() == [2, 4]
    click(viewer, (155, 155), "Control")
    assert nuclei.selected.tolist() == [2]
    click(viewer, (110, 110))  # beside all
    assert nuclei.selected.tolist() == []
    nuclei.show_only(nuclei.cells.types == 1)
    click(viewer, (155, 155))
    assert nuclei.selected.tolist() == []


def test_the_camera_flies_to_a_row(shown: tuple[napari.Viewer, Nuclei]) -> None:
    viewer, nuclei = shown
    fly_to_cell(viewer, viewer.layers[0], nuclei, 8)
    y0, x0, y1, x1 = visible_box(viewer, viewer.layers[0])
    y, x = nuclei.cells.centroids[8]
    assert y0 < y < y1
    assert x0 < x < x1


def test_corrected_cells_replace_and_come_back(shown: tuple[napari.Viewer, Nuclei]) -> None:
    _, nuclei = shown
    before = nuclei.cells
    last = Reversal(np.array([8]), before.select([8]), added=0, marked=True)
    nuclei.correct(Correction(before.select(np.arange(8)), last))
    assert len(nuclei.layer.features) == 8
    assert np.asarray(nuclei.layer.data[0]).max() == 8
    nuclei.undo()
    assert nuclei.cells.table.equals(before.table)
    np.testing.assert_array_equal(nuclei.cells.contours.vertices, before.contours.vertices)
    assert np.asarray(nuclei.layer.data[0]).max() == 9
    assert not nuclei.can_undo


def delete_by_hand(nuclei: Nuclei, row: int) -> Cells:
    """Correct nuclei as the Correct nuclei dock does: one is gone, the others are marked as not edited."""
    before = nuclei.cells
    rest = before.select(np.delete(np.arange(len(before)), row))
    rest = replace(rest, table=rest.table.assign(edited=False))
    nuclei.correct(Correction(rest, Reversal(np.array([row]), before.select([row]), added=0, marked=False)))
    return rest


def test_corrected_nuclei_are_set_aside_and_of_use(
    shown: tuple[napari.Viewer, Nuclei], tmp_path: Path
) -> None:
    viewer, nuclei = shown
    slide, layer, found = nuclei.slide, nuclei.layer, nuclei.cells
    corrected = delete_by_hand(nuclei, 4)
    viewer.layers.selection.active = layer
    new = show(viewer, cells_data(slide, found.select([0])))  # of a part of the slide
    assert nuclei_on(viewer, slide) is nuclei_of(new)
    assert viewer.layers.selection.active is new
    assert (layer.visible, new.visible) == (False, True)
    assert layer.name == f"Nuclei corrected by hand · {slide.name}"
    layer.save(str(tmp_path / "mine.parquet"))
    assert len(Cells.from_file(tmp_path / "mine.parquet")) == 8
    viewer.layers.selection.active = layer  # go on with them
    viewer.layers.selection.active = viewer.layers[0]
    assert nuclei_on(viewer, slide) is nuclei
    assert nuclei.cells is corrected
    assert (layer.visible, new.visible) == (True, False)
    again = show(viewer, cells_data(slide, found))
    assert list(viewer.layers) == [viewer.layers[0], layer, again]  # what is not corrected does not pile up
    viewer.layers.remove(again)
    assert nuclei_on(viewer, slide) is nuclei
    nuclei.undo()
    assert nuclei.cells.table.equals(found.table)
    show(viewer, cells_data(slide, found))
    assert layer not in viewer.layers  # nothing of it is by hand any more


def test_a_search_that_stops_brings_corrected_nuclei_back(shown: tuple[napari.Viewer, Nuclei]) -> None:
    viewer, nuclei = shown
    slide, index = nuclei.slide, CellIndex.of(nuclei.cells.select([0, 1]))
    delete_by_hand(nuclei, 4)
    growing = Growing(viewer, slide)
    grown = Grown(index, features_of(index.cells), index.cells.contours.bounds)
    assert growing.show(grown)
    viewer.layers.selection.active = nuclei.layer  # look at them meanwhile
    assert not growing.show(grown)
    assert growing.stop() is None
    assert nuclei_on(viewer, slide) is nuclei
    assert nuclei.can_undo
    assert nuclei.layer.visible
    assert len(viewer.layers) == 2


def test_points_take_the_same_colours(shown: tuple[napari.Viewer, Nuclei]) -> None:
    viewer, nuclei = shown
    points = show(viewer, centroids_data(nuclei))
    nuclei.colour_by("area_um2")
    np.testing.assert_allclose(points.face_color, drawn_colours(nuclei), atol=1e-6)


def test_growth_draws_what_is_new_alone(shown: tuple[napari.Viewer, Nuclei]) -> None:
    viewer, _ = shown
    corners = np.array([[-8, -8], [-8, 8], [8, 8], [8, -8]], np.float32)
    cells = Cells.of([corners + place for place in ((100, 100), (150, 150), (700, 700))], mpp=0.5)
    slide = slide_from_array(np.full((1100, 1100, 3), 240, np.uint8), mpp=0.5, name="grown")
    nuclei = nuclei_of(show(viewer, cells_data(slide, cells.select(np.arange(2)))))
    base = nuclei.layer.data[0]
    assert set(np.unique(base)) == {0, 1, 2}
    near, far = (base.drawing.tile(1, at, at, (512, 512)) for at in (0, 512))
    nuclei.select([1])
    nuclei.grow(CellIndex.of(cells), features_of(cells), cells.contours.bounds[2:])
    assert base.drawing.tile(1, 0, 0, (512, 512)) is near
    assert base.drawing.tile(1, 512, 512, (512, 512)) is not far
    assert set(np.unique(base)) == {0, 1, 2, 3}
    assert (len(nuclei.layer.features), nuclei.selected.tolist()) == (3, [1])
    assert drawn_colours(nuclei).shape == (3, 4)
