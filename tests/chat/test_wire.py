"""The bytes of a reply, well formed and not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from napari_hwsi.chat.wire import ReplyReader
from napari_hwsi.errors import EndpointError


def delta(finish: str | None = None, **fields: object) -> bytes:
    value = {"choices": [{"delta": fields, "finish_reason": finish}]}
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
WHOLE = json.dumps({"choices": [{"message": {"content": "Two."}, "finish_reason": "stop"}]}).encode()


def read(*chunks: bytes) -> str:
    reader = ReplyReader("host:1")
    pieces = [piece for chunk in chunks for piece in reader.feed(chunk)] + list(reader.close())
    assert "".join(pieces) == reader.text
    return reader.text


@dataclass(frozen=True)
class Case:
    name: str
    reply: bytes
    text: str


GOOD = (
    Case("a stream", delta(content="One ") + delta(content="two.") + DONE, "One two."),
    Case("no [DONE], but a finish reason", delta(content="One.") + delta("stop"), "One."),
    Case("no finish reason, but [DONE]", delta(content="One.") + DONE, "One."),
    Case("last line without its newline", delta(content="One.") + delta("stop").rstrip(), "One."),
    Case("carriage returns", (delta(content="One.") + DONE).replace(b"\n", b"\r\n"), "One."),
    Case("comments and other fields", b": ping\n\nevent: x\nid: 4\n" + delta(content="One.") + DONE, "One."),
    Case("no space after the colon", (delta(content="One.") + DONE).replace(b"data: ", b"data:"), "One."),
    Case("null content first", delta(role="assistant", content=None) + delta(content="A") + DONE, "A"),
    Case("usage without choices", delta(content="A") + b'data: {"choices": [], "usage": {}}\n\n' + DONE, "A"),
    Case("reasoning apart", delta(reasoning_content="hm") + delta(content="A") + DONE, "A"),
    Case("a refusal", delta(refusal="I may not.") + DONE, "I may not."),
    Case("content in parts", delta(content=[{"type": "text", "text": "A"}, {"type": "x"}]) + DONE, "A"),
    Case("line separators inside text", delta(content="a\u2028b\u0085c") + DONE, "a\u2028b\u0085c"),
    Case("what follows [DONE]", delta(content="A") + DONE + delta(content="B"), "A"),
    Case("one JSON object", WHOLE, "Two."),
    Case("one JSON object over lines", b"\n" + json.dumps(json.loads(WHOLE), indent=2).encode(), "Two."),
)


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_reads(case: Case) -> None:
    assert read(case.reply) == case.text


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_reads_the_same_byte_by_byte(case: Case) -> None:
    assert read(*(case.reply[i : i + 1] for i in range(len(case.reply)))) == case.text


def test_utf8_cut_anywhere() -> None:
    reply = delta(content="Zellkerne: 12 µm² – größer 🔬") + DONE
    for cut in range(len(reply)):
        assert read(reply[:cut], reply[cut:]) == "Zellkerne: 12 µm² – größer 🔬"


@dataclass(frozen=True)
class Fault:
    name: str
    reply: bytes
    words: str
    partial: str = ""


BAD = (
    Fault("nothing", b"", "not a reply of a chat server: nothing"),
    Fault("stopped in the middle", delta(content="One tw"), "stopped in the middle", "One tw"),
    Fault("stopped in an event", delta(content="One ") + b'data: {"choi', "stopped in the middle", "One "),
    Fault("an error in the stream", delta(content="A") + b'data: {"error": {"message": "out of memory"}}\n\n',
          "reports an error: out of memory", "A"),
    Fault("an error alone", b'{"error": "model not loaded"}', "reports an error: model not loaded"),
    Fault("HTML", b"<!doctype html><html><body>Welcome</body></html>", "'<!doctype html>"),
    Fault("HTML as data", b"data: <html>\n\n", "not a reply of a chat server"),
    Fault("bytes", bytes(range(128, 256)) * 4, "not a reply of a chat server"),
    Fault("JSON of something else", b'{"status": "ok"}', "not a reply"),
    Fault("nested without end", b"data: " + b'{"a":' * 200_000 + b"\n", "not a reply"),
    Fault("a list", b"[1, 2, 3, 4, 5]", "not a reply"),
    Fault("an empty answer", delta(content="") + delta("stop") + DONE, "empty answer"),
    Fault("white space only", delta(content=" \n") + DONE, "empty answer", " \n"),
    Fault("thought only", delta(reasoning_content="hm") + DONE, "allow it more tokens"),
    Fault("no choices in a whole reply", b'{"choices": []}', "empty answer"),
    Fault("strange shapes", b'data: {"choices": [{"delta": "text"}]}\n\n' + DONE, "empty answer"),
)  # fmt: skip


@pytest.mark.parametrize("fault", BAD, ids=lambda fault: fault.name)
def test_refuses(fault: Fault) -> None:
    with pytest.raises(EndpointError, match=re.escape(fault.words)) as caught:
        read(fault.reply)
    assert "host:1" in str(caught.value)
    assert caught.value.partial == fault.partial


def test_an_answer_without_end_is_stopped() -> None:
    reader = ReplyReader("host:1")
    with pytest.raises(EndpointError, match="does not end"):
        list(reader.feed(delta(content="x" * 10_000) * 200))


def test_a_line_without_end_is_stopped() -> None:
    reader = ReplyReader("host:1")
    with pytest.raises(EndpointError, match="without end"):
        list(reader.feed(b"data: " + b"x" * 2**25))


def test_what_came_with_an_error_is_not_lost() -> None:
    reader = ReplyReader("host:1")
    came: list[str] = []
    with pytest.raises(EndpointError, match="reports an error"):
        came.extend(reader.feed(delta(content="One ") + b'data: {"error": "full"}\n\n'))
    assert came == ["One "]
