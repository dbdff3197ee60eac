"""What else a result says of how it came about: the weight files, the machine, how each run was asked for."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..encoders import models
from .profile import Profile


def weight_files(profile: Profile) -> dict[str, str]:
    """Return the SHA-256 of each file in the weight folders of a profile's encoders, by ``<model>/<file>``.

    Empty for encoders that ship with the package: their version stands for them.
    """
    names = [profile.encoder, *(["hipt", "hipt-4k"] if profile.regions == "hipt" else [])]
    names += ["ccaf"] if profile.fuses == "release" else []
    found: dict[str, str] = {}
    for name in names:
        entry = models().get(name)
        for file in sorted(entry.folder.iterdir()) if entry is not None and entry.folder.is_dir() else ():
            if file.is_file():
                state = file.stat()
                found[f"{name}/{file.name}"] = _sha256(file, state.st_size, state.st_mtime_ns)
    return found


@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, changed: int) -> str:
    """Return the hash of a file in this state; size and time of change tell the state."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run_facts(parts: Sequence[str], box: Sequence[float] | None, device: str) -> dict[str, Any]:
    """Return how a run was asked for, and the machine it ran on: what may differ from run to run."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    gpu = torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None
    return {
        "parts": list(parts),
        "box": None if box is None else list(box),
        "device": device,
        "gpu": gpu,
        "torch_threads": threads,
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "command": shlex.join(sys.argv),
    }
