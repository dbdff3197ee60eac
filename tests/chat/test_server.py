"""A chat server over real sockets: what it may do wrong, and how a question to it is stopped."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from napari_hwsi.chat.server import KEY_VARIABLE, ChatServer
from napari_hwsi.chat.wire import ReplyReader
from napari_hwsi.errors import Cancelled, EndpointError, InputError
from napari_hwsi.progress import Step

HELLO = [{"role": "user", "content": "Hello"}]


def listen(url: str, progress: Callable[[Step], None] | None = None, silence_s: float = 5) -> list[str]:
    server = ChatServer(url, silence_s)
    return list(server.stream("see-7b", HELLO, ReplyReader(server.host), progress))


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1"),
        (" https://example.org/openai ", "https://example.org/openai/v1"),
        ("https://example.org/v1beta/openai", "https://example.org/v1beta/openai"),
    ],
)
def test_addresses_with_and_without_v1(given: str, address: str) -> None:
    assert ChatServer(given).url == address


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("localhost:8000", "not the address"),
        ("file:///etc/hosts", "not the address"),
        ("http://", "not the address"),
        ("http://localhost:99999", "not the address"),
        ("http://localhost:port", "not an address"),
        ("http://xn--/", "not an address"),
        ("https://user:secret@example.org/v1", KEY_VARIABLE),
        ("https://example.org/v1?key=secret", KEY_VARIABLE),
    ],
)
def test_refuses_addresses(given: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        ChatServer(given)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://localhost:1/v1", "local"),
        ("http://127.8.0.1/v1", "local"),
        ("http://[::1]:1/v1", "local"),
        ("http://192.168.0.2/v1", "remote"),
        ("https://localhost.example.org/v1", "remote"),
    ],
)
def test_says_where_it_runs(url: str, where: str) -> None:
    assert ChatServer(url).where == where


def test_streams_piece_by_piece(server: Any) -> None:
    server.behave = server.says("One ", "two ", "three.", pause_s=0.1)
    came: list[tuple[float, str]] = []
    chat = ChatServer(server.url)
    for piece in chat.stream("see-7b", HELLO, ReplyReader(chat.host)):
        came.append((time.monotonic(), piece))
    assert [piece for _, piece in came] == ["One ", "two ", "three."]
    assert came[2][0] - came[0][0] > 0.1  # not held back until the end
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.json == {"model": "see-7b", "messages": HELLO, "stream": True}


def test_utf8_cut_between_packets(server: Any) -> None:
    data = server.event("größer – 12 µm²") + server.done
    server.behave = server.sends(*(data[i : i + 3] for i in range(0, len(data), 3)), pause_s=0.002)
    assert "".join(listen(server.url)) == "größer – 12 µm²"


def test_whole_reply_to_a_stream_request(server: Any) -> None:
    server.behave = server.sends(b'{"choices": [{"message": {"content": "Two."}}]}', kind="application/json")
    assert listen(server.url) == ["Two."]


@dataclass(frozen=True)
class Fault:
    name: str
    status: int
    body: bytes
    words: tuple[str, ...]


REFUSALS = (
    Fault("no key", 401, b'{"error": {"message": "bad key"}}', ("401", "bad key", KEY_VARIABLE)),
    Fault("no model", 404, b'{"detail": "no such model"}', ("404", "no such model", "name of the model")),
    Fault("too large", 413, b"", ("413", "no reason", "smaller view")),
    Fault("too often", 429, b'{"message": "slow down"}', ("429", "slow down", "wait")),
    Fault("broken", 500, b"<html>Internal error</html>", ("500", "Internal error")),
    Fault("validation", 422, b'{"detail": [{"msg": "no images"}]}', ("422", "no images")),
    Fault("elsewhere", 307, b"", ("307", "address it sends to")),
)


@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: fault.name)
def test_refusals(server: Any, fault: Fault) -> None:
    server.behave = server.sends(fault.body, status=fault.status, kind="application/json")
    with pytest.raises(EndpointError) as caught:
        listen(server.url)
    for words in fault.words:
        assert words in str(caught.value)
    assert caught.value.partial == ""


def test_pictures_are_not_sent_on_to_another_address(server: Any) -> None:
    server.behave = lambda connection: connection.start(307, Location=f"{server.url}/elsewhere")
    with pytest.raises(EndpointError, match="307"):
        listen(server.url)
    assert len(server.requests) == 1


def test_stops_mid_answer(server: Any) -> None:
    server.behave = server.sends(server.event("One tw"))
    came: list[str] = []
    chat = ChatServer(server.url)
    with pytest.raises(EndpointError, match="stopped in the middle") as caught:
        came.extend(chat.stream("m", HELLO, ReplyReader(chat.host)))
    assert came == ["One tw"]
    assert caught.value.partial == "One tw"


def test_connection_lost_mid_answer(server: Any) -> None:
    def behave(connection: Any) -> None:
        connection.start(**{"Content-Length": "100000"})
        connection.send(server.event("One tw"))

    server.behave = behave
    with pytest.raises(EndpointError, match="stopped in the middle") as caught:
        listen(server.url)
    assert caught.value.partial == "One tw"


def test_silence_before_and_within_an_answer(server: Any) -> None:
    server.behave = lambda connection: connection.wait_until_closed(5)
    with pytest.raises(EndpointError, match=r"gave no answer: nothing came for 0\.2 s"):
        listen(server.url, silence_s=0.2)

    def half(connection: Any) -> None:
        connection.start()
        connection.send(server.event("One "))
        connection.wait_until_closed(5)

    server.behave = half
    with pytest.raises(EndpointError, match="stopped in the middle") as caught:
        listen(server.url, silence_s=0.2)
    assert caught.value.partial == "One "


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(EndpointError, match=f"No chat server answers at 127.0.0.1:{port}"):
        listen(f"http://127.0.0.1:{port}")
    with pytest.raises(EndpointError, match="Start it"):
        ChatServer(f"http://127.0.0.1:{port}").models()


@pytest.mark.parametrize("answers_first", [True, False])
def test_cancel_closes_the_socket(server: Any, answers_first: bool) -> None:
    closed = threading.Event()

    def behave(connection: Any) -> None:
        if answers_first:
            connection.start()
            connection.send(server.event("One "))
        if connection.wait_until_closed(10):
            closed.set()

    def progress(_: Step) -> None:
        if time.monotonic() > stop_at:
            raise Cancelled("stopped")

    server.behave = behave
    stop_at = time.monotonic() + 0.3
    with pytest.raises(Cancelled):
        listen(server.url, progress, silence_s=30)
    assert closed.wait(1), "the server still holds an open connection"


def test_closing_the_iterator_closes_the_socket(server: Any) -> None:
    closed = threading.Event()

    def behave(connection: Any) -> None:
        connection.start()
        connection.send(server.event("One "))
        if connection.wait_until_closed(10):
            closed.set()

    server.behave = behave
    chat = ChatServer(server.url)
    pieces = chat.stream("m", HELLO, ReplyReader(chat.host))
    assert next(pieces) == "One "
    pieces.close()  # type: ignore[attr-defined]
    assert closed.wait(1)


def test_key_comes_from_the_environment_alone(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    listen(server.url)
    monkeypatch.setenv(KEY_VARIABLE, "sesame")
    listen(server.url)
    without, with_key = (request.head for request in server.requests)
    assert b"authorization" not in without.lower()
    assert b"Authorization: Bearer sesame" in with_key


def test_a_key_does_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "sesame")
    with pytest.raises(InputError, match="https://") as caught:
        listen("http://192.0.2.1:8000/v1")
    assert "sesame" not in str(caught.value)
    with pytest.raises(InputError, match="https://"):
        ChatServer("http://192.0.2.1:8000/v1").models()


@pytest.mark.parametrize("key", ["ses\name", "schlüssel"])
def test_a_key_that_is_none_is_refused_and_not_shown(
    server: Any, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, key)
    with pytest.raises(InputError, match=KEY_VARIABLE) as caught:
        listen(server.url)
    assert key not in str(caught.value)
    assert not server.requests


def test_a_proxy_never_carries_what_is_for_this_machine(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert listen(server.url) == ["Yes."]


def test_lists_models(server: Any) -> None:
    assert ChatServer(server.url).models() == ("see-7b", "see-72b")
    assert server.requests[0].path == "/v1/models"
    server.models = b"<html>"
    with pytest.raises(EndpointError, match="does not list its models"):
        ChatServer(server.url).models()
