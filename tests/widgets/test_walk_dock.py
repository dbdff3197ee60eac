"""Walks in the window: a model's, drawn as it goes, and a person's, recorded on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import napari
import numpy as np
import pytest
from napari.layers import Shapes

from napari_hwsi.chat.walk import Step, Walk
from napari_hwsi.errors import InputError
from napari_hwsi.slides import Slide
from napari_hwsi.viewer import visible_box
from napari_hwsi.viewer.recorder import Recorder
from napari_hwsi.viewer.region import show_box
from napari_hwsi.viewer.state import part_layer, require_slide_layer
from napari_hwsi.widgets.commands import open_dock
from napari_hwsi.widgets.walk_dock import WalkDock

REPLIES = [
    {"action": "look", "box": [0.25, 0.25, 0.75, 0.75]},
    {"action": "mark", "box": [0.0, 0.0, 0.5, 0.5], "note": "crowded"},
    {"action": "answer", "text": "The upper left is crowded."},
]


@pytest.fixture
def address() -> Iterator[str]:
    """A server that gives these replies in turn."""
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            reply = json.dumps(REPLIES[min(len(asked), len(REPLIES)) - 1])
            body = json.dumps(
                {"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def dock(viewer: napari.Viewer, analysed: Slide) -> WalkDock:
    return open_dock(viewer, WalkDock)


def drawn(viewer: napari.Viewer, slide: Slide) -> Shapes:
    layer = part_layer(viewer, slide, "walk")
    assert isinstance(layer, Shapes)
    return layer


def test_a_model_walks_and_its_path_is_drawn(
    dock: WalkDock, viewer: napari.Viewer, analysed: Slide, address: str, qtbot, tmp_path: Path
) -> None:
    before = np.array(viewer.scene.camera.zoom)
    dock.question.setText("Where is it crowded?")
    dock.address.setText(address)
    dock.model.setText("see-7b")
    dock.start_button.click()
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)
    assert dock.walk is not None
    assert [step.kind for step in dock.walk.steps] == ["look", "mark"]
    assert "upper left is crowded" in dock.answer.text()
    assert viewer.scene.camera.zoom > before  # it followed the look
    assert drawn(viewer, analysed).nshapes == 2
    assert dock.list.count() == 2
    dock.save(tmp_path / "walk.json")
    assert Walk.load(tmp_path / "walk.json") == dock.walk
    dock.on_button.click()
    qtbot.waitUntil(lambda: not dock.task.busy, timeout=60000)
    assert len(dock.walk.steps) == 2  # it answered at once


def test_steps_are_flown_to_and_replayed(
    dock: WalkDock, viewer: napari.Viewer, analysed: Slide, qtbot
) -> None:
    boxes = [(0, 0, 200, 200), (400, 300, 500, 400), (100, 100, 300, 300)]
    steps = tuple(Step("look", box, (0.5, 0.5)) for box in boxes)
    dock.show_walk(Walk(analysed.fingerprint, "", "model", steps=steps))
    layer = drawn(viewer, analysed)
    assert layer.nshapes == 4  # the path joins the looks
    dock.list.setCurrentRow(1)
    seen = visible_box(viewer, require_slide_layer(viewer))
    assert seen is not None
    assert np.allclose([(seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2], [450, 350], atol=20)
    dock.replay_button.click()
    assert dock.list.currentRow() == 0
    qtbot.waitUntil(lambda: dock.list.currentRow() == 1, timeout=5000)
    dock.replay_button.click()
    with pytest.raises(InputError, match="another slide"):
        dock.show_walk(Walk("another", ""))


def test_a_person_is_recorded_only_when_asked(viewer: napari.Viewer, dock: WalkDock) -> None:
    assert not dock._timer.isActive()
    dock.note_edit.setText("mitoses")
    dock.note_edit.returnPressed.emit()
    assert "press Record" in dock.task.words.text()
    dock.record_button.click()
    assert dock._timer.isActive()
    dock.note_edit.returnPressed.emit()
    assert dock.walk is not None
    assert dock.walk.walker == "person"
    assert [step.said for step in dock.walk.steps] == ["mitoses"]
    dock.record_button.click()
    assert not dock._timer.isActive()


def test_views_that_rest_count_by_how_closely_they_are_seen(viewer: napari.Viewer) -> None:
    layer = require_slide_layer(viewer)
    recorder = Recorder(viewer, layer)
    show_box(viewer, layer, (0, 0, 768, 640))
    viewer.scene.camera.zoom = 0.5  # 2 µm a screen pixel
    assert recorder.look(0.0) is None
    assert recorder.look(0.5) is None  # it has not rested
    far = recorder.look(1.2)
    assert far is not None
    assert far.kind == "peek"
    assert recorder.look(2.0) is None  # counted once
    longer = recorder.look(3.5)
    assert longer is not None
    assert longer.kind == "inspect"
    assert len(recorder.walk.steps) == 1
    viewer.scene.camera.zoom = 4.0
    recorder.look(4.0)
    near = recorder.look(5.1)
    assert near is not None
    assert (near.kind, near.mpp) == ("inspect", (0.25, 0.25))
    recorder.note("a gland", 6.0)
    assert recorder.walk.marks[-1][1] == "a gland"
    with pytest.raises(InputError):
        recorder.note(" ")
