"""Processes that finish tiles beside the one that reads them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Queue
from typing import Any, TypeVar

import psutil

from ..errors import HwsiError

Out = TypeVar("Out")

_MOST = 8
_WORKER_BYTES = 1 << 29  # what one takes with its libraries and a tile
_SERVE = "from napari_hwsi.cells.workers import serve; serve()"


def spare_workers() -> int:
    """Return how many processes the cores and the free memory of this machine are good for, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _MOST, psutil.virtual_memory().available // (2 * _WORKER_BYTES)))


class Workers:
    """Runs functions of modules in ``count`` processes; 0: in this one, one at a time.

    The processes are plain interpreters that are sent pickles, so a script needs no guard round its main
    part, and they end with this process, however it ends.
    """

    def __init__(self, count: int) -> None:
        self._own = threading.Lock()
        self._all = [_start() for _ in range(count)]
        self._idle: Queue[subprocess.Popen[bytes]] = Queue()
        for worker in self._all:
            self._idle.put(worker)

    def run(self, function: Callable[..., Out], *arguments: Any) -> Out:
        """Return what a function of a module returns, or raise what it raises; waits for a free process.

        Raises HwsiError where the process is gone.
        """
        if not self._all:
            with self._own:
                return function(*arguments)
        worker = self._idle.get()
        try:
            assert worker.stdin is not None  # started with pipes
            assert worker.stdout is not None
            pickle.dump((function, arguments), worker.stdin, protocol=5)
            worker.stdin.flush()
            done, result = pickle.load(worker.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise HwsiError(
                "A process that finishes tiles has ended; memory may be short. Run again with fewer workers."
            ) from error
        finally:
            self._idle.put(worker)
        if not done:
            raise result
        return result

    def close(self) -> None:
        """End the processes at once, whatever they are at."""
        for worker in self._all:
            worker.kill()
        for worker in self._all:
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                with suppress(OSError):  # what was still to be sent to it
                    if pipe is not None:
                        pipe.close()


def _start() -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )


def serve() -> None:
    """Run what comes through standard input until it ends; this is a worker's main part."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a keyboard's interrupt is the parent's business
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    while True:
        try:
            function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = (True, function(*arguments))
        except Exception as error:  # noqa: BLE001  the parent raises it
            answer = (False, error)
        pickle.dump(answer, answers, protocol=5)
        answers.flush()
