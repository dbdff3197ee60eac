"""Files that are there whole, and on the disk, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Give a draft beside ``file`` to write to, put in its place when all went well.

    Raises OSError when the disk refuses; then the old file stands and nothing else is left behind.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield draft
        _sync(draft)
        draft.replace(file)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    sync_folder(file.parent)


def write_whole(file: Path, content: bytes) -> None:
    """Write a file as :func:`written_whole` does."""
    with written_whole(file) as draft:
        draft.write_bytes(content)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where folders can be synced."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks only sync files
            raise
    finally:
        os.close(handle)


def sync_tree(root: Path) -> None:
    """Bring all files under ``root``, and their names, to the disk."""
    for folder, _, names in os.walk(root):
        for name in names:
            _sync(Path(folder, name))
        sync_folder(Path(folder))


def _sync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
