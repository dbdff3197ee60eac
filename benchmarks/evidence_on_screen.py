"""How long the places of an answer take to be on the screen, and a first word to come through.

    xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/evidence_on_screen.py

Places are regions of a slide of 4,000 x 4,000 px. Drawn: the outlines of an answer in a window that shows the
slide, and the window painted, for each of the first five answers and for later ones; in the dock: a turn of
the conversation with all of them, laid out. Both in processor time, which other work on the machine changes
less. The first word: from a server on loopback that answers at once, read by ``httpx`` alone and by an
answerer, in time that passed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_hwsi.chat import Answer
from napari_hwsi.chat.server import ChatServer
from napari_hwsi.chat.wire import ReplyReader
from napari_hwsi.evidence import Evidence
from napari_hwsi.slides import slide_from_array
from napari_hwsi.viewer import show_slide
from napari_hwsi.viewer.evidence import show_evidence
from napari_hwsi.widgets.talk import Turn

SIDE = 4_000


class Server(BaseHTTPRequestHandler):
    """Answers at once."""

    def do_POST(self) -> None:
        """Send an answer of one word."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        choice = {"delta": {"content": "Dense."}, "finish_reason": "stop"}
        self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def median_ms(
    action: Callable[[], None], times: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of an action, in ms by a clock."""
    took = []
    for _ in range(times):
        start = clock()
        action()
        took.append(clock() - start)
    return 1000 * statistics.median(took)


def places(count: int) -> tuple[Evidence, ...]:
    """Return regions all over the slide."""
    corners = np.random.default_rng(0).integers(0, SIDE - 160, (count, 2)).tolist()
    return tuple(
        Evidence("region", (y, x, y + 160, x + 160), 0.5, "attention", f"region {i}")
        for i, (y, x) in enumerate(corners)
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    viewer = napari.Viewer(show=True)
    layer = show_slide(
        viewer, slide_from_array(np.full((SIDE, SIDE, 3), 230, np.uint8), mpp=0.5, name="large")
    )
    asked = itertools.count()
    app = QApplication.instance()
    assert app is not None  # napari has one
    for count in (50, 500):
        found = places(count)

        def draw(found: tuple[Evidence, ...] = found) -> None:
            show_evidence(viewer, layer, found, f"question {next(asked)}")
            app.processEvents()

        def in_dock(found: tuple[Evidence, ...] = found) -> None:
            turn = Turn("a question")
            turn.add(Answer("a question", "Here.", found, "measured", (0, 0, SIDE, SIDE)))
            turn.resize(320, turn.sizeHint().height())
            turn.show()
            app.processEvents()
            turn.deleteLater()

        for old in viewer.layers[1:]:
            viewer.layers.remove(old)
        first = median_ms(draw, 5, time.process_time)  # as many as have layers
        later = median_ms(draw, times, time.process_time)
        docked = median_ms(in_dock, times, time.process_time)
        print(f"{count} regions: drawn {first:.0f} ms, later {later:.0f} ms, in the dock {docked:.0f} ms")
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{listener.server_port}/v1"
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], "stream": True}

    def bare() -> None:
        with httpx.Client() as client, client.stream("POST", f"{url}/chat/completions", json=body) as reply:
            next(reply.iter_bytes())

    def answerer() -> None:
        next(ChatServer(url).stream("m", body["messages"], ReplyReader("server")))

    first, ours = median_ms(bare, 4 * times), median_ms(answerer, 4 * times)
    print(f"first word: bare {first:.0f} ms, through an answerer {ours:.0f} ms, {ours - first:.0f} ms more")
    viewer.close()


if __name__ == "__main__":
    main()
