"""The command from test file to report, with a real result and a server that looks at its picture."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi.cli import main
from napari_hwsi.evaluation.slide_learning import _write_attention
from napari_hwsi.evidence.maps import read_maps
from napari_hwsi.training.slide_bags import read_labelled
from napari_hwsi.training.slide_folds import Looked

pytest.importorskip("sklearn")


class _Looks(BaseHTTPRequestHandler):
    """Answers B where a picture is sent, else A."""

    asked = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        seen = any(part["type"] == "image_url" for part in content)
        _Looks.asked += 1
        reply = {"choices": [{"message": {"content": "B" if seen else "A"}, "finish_reason": "stop"}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def looking() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Looks)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"endpoint:http://127.0.0.1:{server.server_port}#looks"
    server.shutdown()
    server.server_close()
    thread.join()


def test_any_answerer_is_asked_about_real_results(
    piece: Path, tmp_path: Path, looking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    first = hwsi.analyze(piece, results / "P1.hwsi.zarr").path
    shutil.copytree(first, results / "P2.hwsi.zarr")
    table = tmp_path / "q.csv"
    table.write_text(
        "slide,patient,question,answer,options\nP1,A,Which is it?,B,low|high\nP2,B,Which is it?,A,low|high\n"
        "P3,C,Which is it?,A,low|high\n"
    )
    command = ["evaluate", "vqa", str(table), "--results", str(results), "-o", str(tmp_path / "out")]
    assert main([*command, "--answerer", looking, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    scores = {row["system"]: row for row in report["tables"][0]["rows"]}
    assert scores["answerer"]["accuracy"]["score"] == pytest.approx(1 / 3)
    assert scores["answerer"]["wrong format"] == 1
    assert scores["answerer, no image"]["accuracy"]["score"] == pytest.approx(1 / 3)  # P3 is wrong
    dependence = report["tables"][1]["rows"][0]
    assert (dependence["no image"], dependence["its pieces shuffled"]) == (0, 1)
    assert report["left_out"][0]["reason"] == "the image: P3 has neither a result nor features"
    assert (tmp_path / "out" / "report.html").exists()

    (tmp_path / "labels.csv").write_text("slide,label\nP1,a\n")
    slides = read_labelled(tmp_path / "labels.csv", results, ("label",))
    attention = np.linspace(0, 1, len(slides.bag(slides.slides[0]).boxes), dtype=np.float32)
    _write_attention(Looked(slides.slides[0], 0, (), (), (), 0.0, attention), slides, tmp_path / "attention")
    (shown,) = read_maps(tmp_path / "attention" / "P1.ome.zarr")
    assert np.array_equal(shown.scores, attention)
    assert np.array_equal(shown.boxes, slides.bag(slides.slides[0]).boxes)

    asked = _Looks.asked
    assert main([*command, "--answerer", looking]) == 0  # again: nothing new to ask, and P3 is named again
    assert _Looks.asked == asked
    assert "Note: q: accuracy" in capsys.readouterr().out

    assert main([*command[:-1], str(tmp_path / "measured"), "--answerer", "measured", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["system"]: row["wrong format"] for row in report["tables"][0]["rows"]}["answerer"] == 3
    assert report["facts"]["not tried"].startswith("no image, its pieces shuffled")
    assert main([*command[:3], "-o", str(tmp_path), "--answerer", "nobody", "--results", str(results)]) == 1
    assert "nobody" in capsys.readouterr().err
