"""The viewer from the console."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.hierarchy import default_store
from napari_hwsi.slides import open_slide, slide_from_array
from napari_hwsi.viewer import fly_to, show_slide, view
from napari_hwsi.viewer.reader import get_reader, open_in, read
from napari_hwsi.viewer.sample import sample_path
from napari_hwsi.viewer.state import PART, part_layer


def test_ask_from_the_console(make_napari_viewer: Callable[..., napari.Viewer], cmu: Path) -> None:
    viewer = make_napari_viewer(show=True)
    bound = view(viewer)
    assert bound.slide is None
    assert bound.visible_box is None
    with pytest.raises(InputError, match="No slide is open"):
        bound.ask("How many nuclei are there?")
    with open_slide(cmu) as whole:
        slide = slide_from_array(whole.read((1000, 850), (640, 640)), mpp=whole.mpp, name="skin")
    layer = show_slide(viewer, slide)
    fly_to(viewer, layer, (200, 200, 400, 400))
    answer = bound.ask("How many nuclei are in this view, and where are they densest?")
    assert answer.box == bound.visible_box
    assert f"{len(bound.result.cells.in_box(answer.box)):,} nuclei" in answer.text
    assert len(part_layer(viewer, slide, "evidence").data) == len(answer.evidence)
    centre = viewer.scene.camera.center
    bound.show(answer.evidence[1])
    assert viewer.scene.camera.center != centre
    assert len(part_layer(viewer, slide, "evidence").data) == 1
    with pytest.raises(InputError, match="Only an answer"):
        bound.show(["a place"])


def test_a_result_is_opened_with_its_slide(
    make_napari_viewer: Callable[..., napari.Viewer], tmp_path: Path, cmu: Path
) -> None:
    from napari_hwsi.hierarchy import analyze

    store = tmp_path / "skin.hwsi.zarr"
    analyze(cmu, store, parts=["patches"])
    assert get_reader(str(store)) is not None
    parts = [kwargs["metadata"].get(PART) for _, kwargs, _ in read(str(store))]
    assert parts == [None, "tissue", "regions", "patches"]
    viewer = make_napari_viewer()
    dropped = viewer.open(store, plugin="napari-hwsi")
    assert [layer.metadata.get(PART) for layer in dropped] == parts
    assert dropped[-1].contour > 0
    assert dropped[2].edge_width[0] > 1
    viewer.layers.clear()
    slide_layer, *_, patches = open_in(viewer, store)
    assert view(viewer).result.path == store
    assert view(viewer).slide.name == cmu.name
    assert patches.contour > 0
    assert viewer.layers.selection.active is slide_layer


def test_where_results_go(tmp_path: Path, cmu: Path, home: Path) -> None:
    copy = tmp_path / "a b é.svs"
    copy.write_bytes(cmu.read_bytes())
    with open_slide(copy) as slide:
        assert default_store(slide) == tmp_path / "a b é.hwsi.zarr"
    in_memory = slide_from_array(np.full((300, 300, 3), 200, np.uint8), name="crop")
    with open_slide(sample_path()) as sample:  # nothing is written into the package
        for slide in (sample, in_memory):
            assert default_store(slide).parent == home / "results"
