"""What the system says when a result cannot be written, and hashes of facts."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import HwsiError, StoreError

_ADVICE = {
    errno.ENOSPC: "The disk is full. Free some space and run again: what is finished is kept.",
    errno.EDQUOT: "Your disk quota is used up. Free some space and run again: what is finished is kept.",
    errno.EFBIG: "Files may not grow so big here. Raise the limit and run again: what is finished is kept.",
    errno.EROFS: "The disk is read-only. Choose another place for the result.",
    errno.EACCES: "Writing is not allowed there. Change the folder's permissions or choose another place.",
    errno.EPERM: "Writing is not allowed there. Change the folder's permissions or choose another place.",
}


@contextmanager
def storing(root: Path) -> Iterator[None]:
    """Turn the system's refusal to write the result ``root`` into a StoreError that says what to do."""
    try:
        yield
    except HwsiError:
        raise
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "What is finished is kept; run again once that is mended.")
        raise StoreError(
            f"The result {root} cannot be written: {error.strerror or error}. {advice}"
        ) from error


def digest(facts: Any) -> str:
    """Return 16 hex digits of facts that JSON can hold, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def plain(facts: Any) -> Any:
    """Return facts as JSON gives them back: tuples as lists."""
    return json.loads(json.dumps(facts))
