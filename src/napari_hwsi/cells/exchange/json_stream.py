"""JSON read value by value: a file larger than memory need not be held whole."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ...errors import InputError

_CHUNK = 1 << 20
_BLANK = re.compile(r"\s*")
_DECODER = json.JSONDecoder()
_LONGEST = 16  # characters of the longest word, number or escape a chunk can break off in


class JsonStream:
    """Walks a JSON text. Lists and objects are entered, or taken whole by :meth:`value`.

    All raise InputError where the text breaks off or is not JSON.
    """

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file, self._path = file, path
        self._text, self._place, self._passed = "", 0, 0

    def peek(self) -> str:
        """Return the next character that is not blank; '' at the end."""
        while True:
            match = _BLANK.match(self._text, self._place)
            assert match is not None  # it matches nothing, too
            self._place = match.end()
            if self._place < len(self._text) or not self._more():
                return self._text[self._place : self._place + 1]

    def value(self) -> Any:
        """Return the next value, whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos > len(self._text) - _LONGEST
                if cut and self._more():
                    continue
                raise self.broken() from error
            except RecursionError as error:
                raise self.broken() from error
            if end < len(self._text) or not isinstance(value, int | float) or not self._more():
                self._place = end  # a number at the end of a chunk may go on in the next
                return value

    def items(self) -> Iterator[Any]:
        """Enter a list and return its values one by one."""
        self._take("[")
        if self.peek() == "]":
            self._place += 1
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def keys(self) -> Iterator[str]:
        """Enter an object and return its keys one by one; between them the value is to be taken."""
        self._take("{")
        if self.peek() == "}":
            self._place += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self.broken()
            self._take(":")
            yield key
            if self._take(",}") == "}":
                return

    def broken(self) -> InputError:
        """Return the error of a text that cannot be read on."""
        return InputError(
            f"{self._path} breaks off or is not JSON at character {self._passed + self._place}."
        )

    def _take(self, wanted: str) -> str:
        char = self.peek()
        if not char or char not in wanted:
            raise self.broken()
        self._place += 1
        return char

    def _more(self) -> bool:
        """Read on, more at a time the longer the value; return whether there was more."""
        rest = self._text[self._place :]
        try:
            chunk = self._file.read(max(_CHUNK, len(rest)))
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise InputError(f"{self._path} cannot be read: {error}.") from error
        self._passed += self._place
        self._text, self._place = rest + chunk, 0
        return bool(chunk)


@contextmanager
def open_json(path: Path) -> Iterator[JsonStream]:
    """Open a JSON file, gzipped or not. Raises InputError where it cannot be opened."""
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    with raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig") as file:
        yield JsonStream(file, path)
