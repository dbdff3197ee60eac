"""Files written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
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


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that it is there whole, and on the disk, or not at all."""
    draft = file.with_name(f"{file.name}.tmp")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    if os.name == "posix":  # elsewhere folders cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_tree(root: Path) -> None:
    """Bring all files under ``root``, and their names, to the disk."""
    for folder, _, names in os.walk(root):
        for name in names:
            with open(Path(folder, name), "rb+") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(folder))


def digest(facts: Any) -> str:
    """Return 16 hex digits of facts that JSON can hold, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
