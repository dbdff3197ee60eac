"""A chat server on loopback that keeps every byte it gets and answers as it is told to."""

from __future__ import annotations

import base64
import io
import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_hwsi.hierarchy import Hierarchy, analyze
from napari_hwsi.slides import open_slide, slide_from_array


@dataclass
class Request:
    """One request as it came over the wire."""

    path: str
    head: bytes
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def picture_file(self) -> bytes:
        (part,) = [p for p in self.json["messages"][-1]["content"] if p["type"] == "image_url"]
        kind, _, data = part["image_url"]["url"].partition(";base64,")
        assert kind == "data:image/png"
        return base64.b64decode(data, validate=True)

    @property
    def picture(self) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self.picture_file)).convert("RGB"))


class Connection:
    """What a behaviour may do with one request."""

    def __init__(self, handler: BaseHTTPRequestHandler, request: Request) -> None:
        self._handler = handler
        self.request = request

    def start(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self._handler.send_response(status)
        self._handler.send_header("Content-Type", kind)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        for piece in pieces:
            self._handler.wfile.write(piece)
            self._handler.wfile.flush()
            time.sleep(pause_s)

    def wait_until_closed(self, at_most_s: float) -> bool:
        """Send nothing; return whether the client closed the connection meanwhile."""
        sock = self._handler.connection
        readable, _, _ = select.select([sock], [], [], at_most_s)
        return bool(readable) and sock.recv(1) == b""


Behaviour = Callable[[Connection], None]


@dataclass
class ChatStub:
    """The server: set ``behave``, read ``requests``."""

    url: str = ""
    models: bytes = b'{"object": "list", "data": [{"id": "see-7b"}, {"id": "see-72b"}]}'
    requests: list[Request] = field(default_factory=list)
    done: ClassVar[bytes] = b"data: [DONE]\n\n"

    def __post_init__(self) -> None:
        self.behave: Behaviour = self.says("Yes.")

    @staticmethod
    def event(text: str, finish: str | None = None) -> bytes:
        """A server-sent event with a piece of an answer."""
        delta = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}
        return b"data: " + json.dumps(delta, ensure_ascii=False).encode() + b"\n\n"

    @classmethod
    def says(cls, *texts: str, finish: str = "stop", pause_s: float = 0.0) -> Behaviour:
        """Stream an answer as a well-behaved server does."""
        return cls.sends(*map(cls.event, texts), cls.event("", finish), cls.done, pause_s=pause_s)

    @staticmethod
    def sends(
        *pieces: bytes, status: int = 200, kind: str = "text/event-stream", pause_s: float = 0.0
    ) -> Behaviour:
        """Send these bytes, cut as given, and close."""

        def behave(connection: Connection) -> None:
            connection.start(status, kind)
            connection.send(*pieces, pause_s=pause_s)

        return behave


@pytest.fixture
def server() -> Iterator[ChatStub]:
    """A running server; each test has its own."""
    stub = ChatStub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            stub.behave(Connection(self, self._note()))

        def do_GET(self) -> None:
            connection = Connection(self, self._note())
            connection.start(200, "application/json")
            connection.send(stub.models)

        def _note(self) -> Request:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            head = self.requestline.encode() + b"\n" + self.headers.as_bytes()
            stub.requests.append(Request(self.path, head, body))
            return stub.requests[-1]

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{listener.server_port}"
    yield stub
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture(scope="session")
def result(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Hierarchy:
    """A real slide, analysed whole: one region."""
    return analyze(cmu, tmp_path_factory.mktemp("chat") / "cmu.hwsi.zarr")


@pytest.fixture
def wide(cmu: Path, tmp_path: Path) -> Hierarchy:
    """Two regions of real tissue side by side, 0.5 µm/px, of which only the left one is analysed."""
    with open_slide(cmu) as slide:
        tissue = slide.read((1000, 300), (400, 1200))
    image = np.full((600, 5000, 3), 245, np.uint8)
    image[100:500, 100:1300] = tissue
    image[100:500, 4200:4900] = tissue[:, :700]
    slide = slide_from_array(image, mpp=0.5, name="secret-patient")
    return analyze(slide, tmp_path / "wide.hwsi.zarr", box=(0, 0, 600, 1000))
