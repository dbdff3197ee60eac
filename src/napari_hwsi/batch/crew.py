"""Who analyses the slides of a batch: this process, one slide after the other, or a dask cluster."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias
from uuid import uuid4

from ..errors import InputError, MissingDependencyError
from .job import Job, Outcome, Settings
from .worker import analyse

Heard: TypeAlias = Callable[[int, Mapping[str, Any]], None]
Ended: TypeAlias = Callable[[int, Outcome], None]

_DEATHS = 4
"""After that many deaths of a worker with the same slide in hand, the slide is held to be the cause."""

_GRACE_S = 2.0
_CONNECT_S = 10


class Crew(Protocol):
    """What a batch asks of those who work for it. ``heard`` and ``ended`` are called from any thread."""

    @property
    def dashboard(self) -> str:
        """Address of the pages that show the work, '' where there are none."""
        ...

    def workers(self) -> int:
        """Return how many workers there are now."""
        ...

    def begin(self, jobs: Sequence[Job], settings: Settings, heard: Heard, ended: Ended) -> None:
        """Take on the slides; each ends with exactly one call of ``ended``."""
        ...

    def stop(self) -> None:
        """Stop soon: slides at work keep what is finished, and all others end as 'stopped'."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Alone:
    """This process, in one thread of its own: one slide after the other, without dask."""

    dashboard = ""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "hwsi-batch")
        self._stop = threading.Event()

    def workers(self) -> int:
        """Return 1."""
        return 1

    def begin(self, jobs: Sequence[Job], settings: Settings, heard: Heard, ended: Ended) -> None:
        """Queue the slides for the thread."""

        def work(index: int, job: Job) -> Outcome:
            return analyse(job, settings, lambda report: heard(index, report), self._stop.is_set)

        def done(index: int, job: Job, future: Future[Outcome]) -> None:
            if future.cancelled():
                ended(index, Outcome(job, "stopped"))
            else:
                error = future.exception()
                ended(index, future.result() if error is None else _failure(job, error))

        for index, job in enumerate(jobs):
            future = self._thread.submit(work, index, job)
            future.add_done_callback(partial(done, index, job))

    def stop(self) -> None:
        """Stop at the next step of the slide at work."""
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)

    def close(self) -> None:
        """End the thread."""
        self.stop()


class Dask:
    """The workers of a dask scheduler; those of a local cluster end with the batch."""

    def __init__(self, client: Any, cluster: Any = None, dashboard: str = "") -> None:
        self.dashboard = dashboard
        self._client, self._cluster = client, cluster
        self._topic = f"hwsi-{uuid4().hex}"
        self._futures: dict[int, Any] = {}
        self._attempts: dict[int, set[str]] = {}
        self._working: set[int] = set()
        self._again: dict[int, int] = {}
        self._stopping = False

    def workers(self) -> int:
        """Return how many workers the scheduler has, whoever started them."""
        try:
            return len(self._client.nthreads())
        except OSError:  # the scheduler does not answer
            return 0

    def begin(self, jobs: Sequence[Job], settings: Settings, heard: Heard, ended: Ended) -> None:
        """Hand all slides to the scheduler, which gives each worker one at a time.

        A slide whose worker dies goes to another. One that would need a GPU only goes to workers that have
        the resource ``GPU``.
        """

        def listen(event: tuple[float, Mapping[str, Any]]) -> None:
            report = event[1]
            index = int(report["job"])
            if report.get("left"):
                self._working.discard(index)
                return
            self._working.add(index)
            self._attempts.setdefault(index, set()).add(report["attempt"])
            heard(index, report)

        self._client.subscribe_topic(self._topic, listen)
        self._jobs, self._settings, self._ended = jobs, settings, ended
        self._submit(range(len(jobs)))

    def stop(self) -> None:
        """Call off all slides, and give those at work a moment to put away what they have."""
        self._stopping = True
        self._client.cancel(list(self._futures.values()), force=True)
        deadline = time.monotonic() + _GRACE_S
        while self._working and time.monotonic() < deadline:
            time.sleep(0.05)

    def close(self) -> None:
        """Leave the scheduler; end the workers where they are our own."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _submit(self, indices: Sequence[int]) -> None:
        # Keys in one group, so that the scheduler keeps what no worker is free for to itself.
        keys = [(f"slide-{self._topic}-{self._again.get(index, 0)}", index) for index in indices]
        futures = self._client.map(
            _on_worker,
            indices,
            [self._jobs[index] for index in indices],
            key=keys,
            pure=False,
            settings=self._settings,
            topic=self._topic,
            resources={"GPU": 1} if self._settings.on_gpu else None,
        )
        self._futures.update(zip(indices, futures, strict=True))
        for index, future in zip(indices, futures, strict=True):
            future.add_done_callback(partial(self._done, index))

    def _done(self, index: int, future: Any) -> None:
        from distributed import KilledWorker

        job = self._jobs[index]
        outcome = Outcome(
            job,
            "stopped",
            "" if self._stopping else "The scheduler has gone, or has called it off. Run again to go on.",
        )
        if future.status == "finished":
            with suppress(CancelledError, OSError):  # gone between the end of the work and the asking
                outcome = future.result()
        elif future.status == "error":
            error = future.exception()
            deaths = len(self._attempts.get(index, ()))
            if isinstance(error, KilledWorker):
                # The scheduler also blames a slide that was only waiting on a worker that died.
                if deaths < _DEATHS and self._again.get(index, 0) < _DEATHS and not self._stopping:
                    self._again[index] = self._again.get(index, 0) + 1
                    self._submit([index])
                    return
                reason = (
                    f"Its worker died {deaths} times: it may need more memory than a worker has, or a "
                    "library breaks on it. Try it alone: napari-hwsi analyze."
                )
                outcome = Outcome(job, "failed", reason)
            else:
                outcome = _failure(job, error)
        self._futures.pop(index, None)
        self._ended(index, outcome)


def connect(scheduler: str) -> Dask:
    """Return the workers of a dask scheduler: ``tcp://…``, ``tls://…``, or the path of a scheduler file.

    Raises InputError where none answers, MissingDependencyError without dask.distributed.
    """
    distributed = _distributed()
    try:
        address = scheduler if "://" in scheduler else json.loads(Path(scheduler).read_text())["address"]
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"No dask scheduler answers at {scheduler} ({str(error).splitlines()[0]}). Start one with "
            "'dask scheduler', or give the address that it prints."
        ) from error
    return Dask(client, dashboard=client.dashboard_link or "")


def local(workers: int, on_gpu: bool = False) -> Dask:
    """Return new worker processes on this machine, each replaced when it dies.

    They talk over TLS with a certificate made for the occasion, so that nobody else on the machine can send
    them work. on_gpu: each gets a GPU, in turn, as the only one it sees. Raises InputError where there is
    none, MissingDependencyError without dask.distributed.
    """
    distributed = _distributed()
    from .local import start

    cluster, dashboard = start(workers, on_gpu)
    return Dask(distributed.Client(cluster, set_as_default=False), cluster, dashboard)


def _on_worker(index: int, job: Job, settings: Settings, topic: str) -> Outcome:
    """Analyse one slide inside a dask worker; it stops when its task is called off, or its client is gone."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def tell(report: Mapping[str, Any]) -> None:
        worker.log_event(topic, {"job": index, **report})

    def stopping() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    try:
        return analyse(job, settings, tell, stopping)
    finally:
        tell({"left": True})


def _failure(job: Job, error: BaseException) -> Outcome:
    """Return the outcome of a slide that broke on something no part of the package raises on purpose."""
    return Outcome(job, "failed", f"{type(error).__name__}: {error}")


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingDependencyError(
            "Several slides at once need dask.distributed. Run: pip install 'napari-hwsi[batch]'; or give "
            "--workers 0 (workers=0) to analyse one after the other without it."
        ) from error
    for name in ("distributed", "distributed.client"):  # what matters of it is in the outcomes
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed
