"""The reply of a chat server, byte by byte.

The protocol is that of OpenAI's chat completions: either one JSON object, or
server-sent events (WHATWG HTML, section 9.2) whose data are JSON objects with a piece
of text each, closed by ``[DONE]``. Servers differ in the details, so this reader takes
both, whatever was asked for, and needs no ``[DONE]`` where a finish reason was sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import EndpointError

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_LONGEST_LINE = 16 * 2**20
_LONGEST_TEXT = 10**6
_QUOTED = 300


class ReplyReader:
    """Text pieces out of the bytes of one reply.

    Feed bytes as they come, cut anywhere; then :meth:`close`, which raises unless the reply
    was whole. Errors are EndpointError with the text so far as ``partial``.
    text: everything so far; done: nothing more is to come; finish: the server's finish reason;
    choices: the first token of the text and what could have stood for it, with log-probabilities, where told.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        self.text = ""
        self.done = False
        self.finish: str | None = None
        self.choices: tuple[tuple[str, float], ...] = ()
        self._buffer = bytearray()
        self._events: bool | None = None  # whether the reply is a stream of events; None: not known yet
        self._thought = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the text pieces that ``data`` completes."""
        self._buffer += data
        if self._events is None:
            start = self._buffer.lstrip()
            if b"\n" in start or len(start) >= 8:
                self._events = start.startswith(_FIELDS)
        if self._events:
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = bytearray(rest)
            for line in lines:
                yield from self._line(bytes(line), self._nonsense)
        if len(self._buffer) > _LONGEST_LINE:
            raise self._error(f"The server at {self.server} sent a reply without end.")

    def close(self) -> Iterator[str]:
        """Yield the last pieces. Raises EndpointError for a reply that is broken off, empty or nonsense."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        if self._events is None:
            self._events = rest.lstrip().startswith(_FIELDS)
        if self._events:
            yield from self._line(rest, lambda _: self.broken_off())
            if not self.done and self.finish is None:
                raise self.broken_off()
        else:
            value = _parse(rest)
            if value is None or not {"choices", "error"} & value.keys():
                raise self._nonsense(rest)
            yield from self._object(value)
        if not self.text.strip():
            thought = " It thought, but came to no answer; allow it more tokens." if self._thought else ""
            raise self._error(f"The server at {self.server} returned an empty answer.{thought}")

    def broken_off(self, why: str = "the connection was closed") -> EndpointError:
        """Return the error of a reply that ended too early."""
        if not self.text:
            return self._error(f"The server at {self.server} gave no answer: {why}. Its log may say more.")
        return self._error(
            f"The server at {self.server} stopped in the middle of its answer: {why}. "
            "What it had sent is kept; ask again for the rest."
        )

    def _error(self, message: str) -> EndpointError:
        return EndpointError(message, self.text)

    def _nonsense(self, data: bytes) -> EndpointError:
        return self._error(
            f"What the server at {self.server} sent is not a reply of a chat server: {_quote(data)} "
            "Check the address; most end in /v1."
        )

    def _line(self, line: bytes, unreadable: Callable[[bytes], EndpointError]) -> Iterator[str]:
        """Read one line of an event stream; only its data matter."""
        kind, _, data = line.strip().partition(b":")
        data = data.strip()
        if kind != b"data" or not data or self.done:
            return
        if data == b"[DONE]":
            self.done = True
            return
        value = _parse(data)
        if value is None:
            raise unreadable(data)
        yield from self._object(value)

    def _object(self, value: dict[str, Any]) -> Iterator[str]:
        """Take the text out of one JSON object: a whole completion or a piece of one."""
        if value.get("error"):
            raise self._error(f"The server at {self.server} reports an error: {error_message(value)}")
        choices = value.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return  # usage and keep-alive objects have no choice
        choice = choices[0]
        message = choice.get("delta") or choice.get("message") or {}
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self.finish = finish
        if not isinstance(message, dict):
            return
        self._thought |= bool(message.get("reasoning_content") or message.get("reasoning"))
        piece = _text(message.get("content")) or _text(message.get("refusal"))
        if not self.text.strip() and piece.strip():
            self.choices = _choices(choice.get("logprobs"))
        self.text += piece
        if len(self.text) > _LONGEST_TEXT:
            raise self._error(f"The answer of the server at {self.server} does not end; it was stopped.")
        if piece:
            yield piece


def error_message(value: Any) -> str:
    """Return the words of an error object, in any of the forms that servers use."""
    while isinstance(value, dict):
        value = next((value[key] for key in ("error", "message", "detail") if value.get(key)), None)
    return str(value)[:_QUOTED] if value else "it gives no reason."


def _parse(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object that ``data`` is, None where it is none."""
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(content: Any) -> str:
    """Return the text of a message: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return ""


def _choices(logprobs: Any) -> tuple[tuple[str, float], ...]:
    """Return the first token that is no blank and its alternatives, each once, the token itself first."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    for token in tokens if isinstance(tokens, list) else ():
        if isinstance(token, dict) and str(token.get("token", "")).strip():
            others = token.get("top_logprobs")
            told = [token, *(others if isinstance(others, list) else ())]
            found: dict[str, float] = {}
            for each in told:
                value = each.get("logprob") if isinstance(each, dict) else None
                if isinstance(value, (int, float)) and math.isfinite(value):
                    found.setdefault(str(each.get("token")), float(value))
            return tuple(found.items())
    return ()


def _quote(data: bytes) -> str:
    shown = " ".join(data.decode("utf-8", "replace").split())
    return repr(shown if len(shown) <= _QUOTED else shown[:_QUOTED] + "…") + "." if shown else "nothing."
