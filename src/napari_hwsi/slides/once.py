"""What is made once from a file and kept, a failure as well."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import SlideError

T = TypeVar("T")


class Once(Generic[T]):
    """What ``make`` returns. Where it failed on the content of a file, only other content is tried.

    A decoder may work long, and take much memory, until it fails; each look would have it do so again.
    """

    def __init__(self, path: Path, make: Callable[[], T]) -> None:
        """Make nothing yet; ``path`` is the file that a failure is remembered for."""
        self._path, self._make = path, make
        self._lock = threading.Lock()
        self._made: T | None = None
        self._failed: tuple[tuple[int, int], str] | None = None
        self._closed = False

    def get(self) -> T:
        """Return it, made now if need be. Raises SlideError where it cannot be, or after ``close``."""
        with self._lock:
            if self._closed:
                raise SlideError(f"{self._path} is closed. Open it again to read it.")
            if self._made is None:
                self._made = self._tried()
            return self._made

    def close(self) -> None:
        """Forget it."""
        with self._lock:
            self._made, self._closed = None, True

    def _tried(self) -> T:
        if self._failed is not None and self._failed[0] == self._stamp():
            raise SlideError(self._failed[1])
        try:
            return self._make()
        except Exception as error:
            stamp = self._stamp()
            if stamp is not None and _of_the_content(error):
                self._failed = stamp, str(error)
            raise

    def _stamp(self) -> tuple[int, int] | None:
        try:
            facts = self._path.stat()
        except OSError:
            return None
        return facts.st_size, facts.st_mtime_ns


def _of_the_content(error: BaseException) -> bool:
    """Whether the same file will fail again: not where the memory was short or the system could not read."""
    cause = error.__cause__ or error
    return not isinstance(cause, MemoryError) and getattr(cause, "errno", None) is None
