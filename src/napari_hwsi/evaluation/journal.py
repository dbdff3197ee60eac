"""What has been answered so far, line by line, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import StoreBusyError, StoreError
from .cases import Said

_FILE = "answers.jsonl"


@dataclass(frozen=True)
class Answered:
    """One reply: to which case, under which change of the image, what was said, in how many seconds.

    error: why there is no reply, None where there is one.
    """

    case: str
    change: str
    said: Said
    seconds: float
    error: str | None = None


class Journal:
    """The answers of one evaluation, in ``answers.jsonl`` of its folder.

    The first line holds what was asked of whom; each other line is one reply, on the disk before the next
    question is asked. A line that a kill cut short is dropped. Errors are kept out of it, so that what
    failed is asked again by the next run.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.file = folder / _FILE
        self._settings = dict(settings)
        self.answers: dict[tuple[str, str], Answered] = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, and read what is there.

        Raises StoreBusyError where another run holds it, StoreError where it cannot be written, is damaged,
        or holds another evaluation.
        """
        lock = FileLock(self.file.with_suffix(".lock"))
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            raise StoreBusyError(
                f"{self.file.parent} is being written by another evaluation. Wait, or choose another folder."
            ) from None
        except OSError as error:
            raise StoreError(f"{self.file.parent} cannot be written: {error.strerror or error}.") from error
        try:
            self._read()
            yield
        finally:
            lock.release()

    def _read(self) -> None:
        whole = self.file.read_bytes() if self.file.exists() else b""
        kept = whole[: whole.rfind(b"\n") + 1]
        lines = kept.splitlines()
        if not lines:
            self._write(json.dumps(self._settings, ensure_ascii=False), fresh=True)
            return
        try:
            settings, *records = (json.loads(line) for line in lines)
            for record in records:
                places = tuple((y0, x0, y1, x1) for y0, x0, y1, x1 in record["places"])
                said = Said(record["text"], places)
                answered = Answered(record["case"], record["change"], said, record["seconds"])
                self.answers[answered.case, answered.change] = answered
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.file} is damaged. Delete it, and all is asked again.") from error
        if settings != self._settings:
            differs = sorted(
                key for key in {*settings, *self._settings} if settings.get(key) != self._settings.get(key)
            )
            raise StoreError(
                f"{self.file.parent} holds another evaluation: {', '.join(differs)} differ. "
                "Choose another folder for this one."
            )
        if len(kept) < len(whole):
            with self.file.open("r+b") as file:
                file.truncate(len(kept))

    def keep(self, answered: Answered) -> None:
        """Keep one reply: once this returns it survives a kill. Raises StoreError."""
        record = {
            "case": answered.case,
            "change": answered.change,
            "text": answered.said.text,
            "places": answered.said.places,
            "seconds": round(answered.seconds, 4),
        }
        self._write(json.dumps(record, ensure_ascii=False))
        self.answers[answered.case, answered.change] = answered

    def _write(self, line: str, fresh: bool = False) -> None:
        try:
            with self.file.open("wb" if fresh else "ab") as file:
                file.write(f"{line}\n".encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self.file} cannot be written: {error.strerror or error}.") from error
