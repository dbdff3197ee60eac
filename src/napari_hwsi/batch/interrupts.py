"""Loaded into each local worker: Ctrl-C at the terminal is for the batch, which stops its workers itself."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Let Ctrl-C pass by; dask calls this when a worker starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
