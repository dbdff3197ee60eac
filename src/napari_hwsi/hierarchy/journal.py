"""The working folder of a result that is being written.

``.work`` holds the lock, the finished regions that are not yet in the result's columns, and
a draft of new columns. It is gone when a run has ended well. Three rules make a result safe
against a kill at any moment:

1. A finished region is one file per part, ``parts/<part>-<key>/<region>.npz``, that appears
   whole (written aside, then renamed) or not at all, its CRC-32 at the end: one that a disk has
   damaged since is done again. ``key`` is the hash of the part's settings and inputs, so that
   regions made under other settings are never taken for these.
2. New columns are drafted in ``new/``. The empty file ``ready`` appears once they are on the
   disk: from then on the draft is valid, before, it is scrap.
3. With ``ready`` there, the drafted groups replace the old ones. Whoever holds the lock next
   carries on where this was broken off; readers take what is still in ``new/`` from there.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import socket
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ..disk import sync_folder, sync_tree, write_whole
from ..errors import InputError, StoreBusyError
from .checksums import seal_tree
from .files import storing

Arrays: TypeAlias = Mapping[str, NDArray[Any]]

WORK = ".work"
_SUM_BYTES = 4

logger = logging.getLogger(__name__)


class Journal:
    """The working folder of the result at ``root``. All but :meth:`place` needs the lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._work = root / WORK
        self._parts = self._work / "parts"
        self._draft = self._work / "new"
        self._old = self._work / "old"
        self._ready = self._work / "ready"

    def place(self, name: str) -> Path:
        """Return where the current group or file ``name`` of the result is."""
        drafted = self._draft / name
        return drafted if self._ready.exists() and drafted.exists() else self.root / name

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the result for writing, after mending what a killed run left behind.

        Raises StoreBusyError, naming the holder, where another run holds it, and StoreError where
        the folder cannot be written.
        """
        with storing(self.root):
            lock = self._acquire()
        try:
            with storing(self.root):
                self._sign()
                self._mend()
            yield
        finally:
            # What waits for the next run stays; else nothing does.
            if not self._parts.exists() and not self._ready.exists():
                shutil.rmtree(self._work, ignore_errors=True)
                if not any(self.root.iterdir()):
                    self.root.rmdir()
            lock.release()

    def _acquire(self) -> FileLock:
        self._work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._work / "lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise StoreBusyError(
                f"The result {self.root} is being written by {self._holder()}. "
                "Wait until that has finished, or choose another place."
            ) from None
        return lock

    def _sign(self) -> None:
        me = {"process": os.getpid(), "host": socket.gethostname()}
        write_whole(self._work / "holder.json", json.dumps(me).encode())

    def _holder(self) -> str:
        try:
            holder = json.loads((self._work / "holder.json").read_text())
            return f"process {holder['process']} on {holder['host']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def write(self, part: str, key: str, region: int, arrays: Arrays) -> None:
        """Keep one finished region: the moment this returns it survives a kill.

        Raises InputError for arrays of objects, StoreError where the folder cannot be written.
        """
        folder = self._parts / f"{part}-{key}"
        columns: dict[str, Any] = dict(arrays)
        objects = [name for name, values in columns.items() if values.dtype.hasobject]
        if objects:
            raise InputError(f"Not numbers but objects, in {part} of region {region}: {', '.join(objects)}.")
        buffer = io.BytesIO()
        np.savez(buffer, **columns)
        buffer.write(zlib.crc32(buffer.getbuffer()).to_bytes(_SUM_BYTES))
        with storing(self.root):
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / f"{region:06d}.npz", buffer.getvalue())

    def read(self, part: str, key: str, region: int) -> dict[str, NDArray[Any]]:
        """Return a finished region."""
        content = (self._parts / f"{part}-{key}" / f"{region:06d}.npz").read_bytes()
        with np.load(io.BytesIO(content[:-_SUM_BYTES]), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def regions(self, part: str, key: str) -> list[int]:
        """Return the finished regions of a part that wait to be published, in order."""
        return sorted(int(file.stem) for file in (self._parts / f"{part}-{key}").glob("*.npz"))

    def clear(self, parts: Sequence[str]) -> None:
        """Forget all waiting regions of these parts: they are published, or stale."""
        for part in parts:
            for folder in self._parts.glob(f"{part}-*"):
                shutil.rmtree(folder, ignore_errors=True)
        if self._parts.exists() and not any(self._parts.iterdir()):
            self._parts.rmdir()

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Yield a folder for new groups and files; afterwards they replace those of the same name."""
        with storing(self.root):
            self._discard(self._draft)
            self._draft.mkdir(parents=True)
            try:
                yield self._draft
                seal_tree(self._draft)
                sync_tree(self._draft)
            except BaseException:
                self._discard(self._draft)
                raise
            write_whole(self._ready, b"")
            self._install()

    def _mend(self) -> None:
        if self._ready.exists():
            self._install()
        self._discard(self._draft)
        for file in self._parts.glob("*/*.npz"):
            content = file.read_bytes()
            if zlib.crc32(content[:-_SUM_BYTES]).to_bytes(_SUM_BYTES) != content[-_SUM_BYTES:]:
                logger.warning("%s is damaged: that region is done again.", file)
                file.unlink()

    def _install(self) -> None:
        self._discard(self._old)
        self._old.mkdir()
        for new in sorted(self._draft.iterdir()):
            current = self.root / new.name
            if current.exists():
                current.replace(self._old / new.name)
            new.replace(current)
        sync_folder(self.root)
        self._ready.unlink()
        self._discard(self._draft)
        self._discard(self._old)

    @staticmethod
    def _discard(folder: Path) -> None:
        if folder.exists():
            shutil.rmtree(folder)
