"""Run a batch: hand out slides, follow them, and put down what they came to."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from ..errors import Cancelled, InputError
from ..hierarchy.options import RegionShape
from ..units import as_box
from .board import Board
from .cases import Case, make_cases, write_cases
from .crew import Alone, Crew, connect, local
from .job import Job, Outcome, Settings
from .sources import Source, find_jobs
from .summary import write_summary

Watch: TypeAlias = Callable[[Board], None]

WORKER_BYTES = 3 << 30
"""Memory that one worker may need; decides how many there are unless somebody says so."""

_LOOK_S = 0.5
_COUNT_S = 5.0


@dataclass(frozen=True)
class Report:
    """What a batch came to.

    outcomes: one a slide, in the order given; cases: one a patient with a finished slide; summary: the
    page ``batch.html``, with ``batch.json`` and ``batch.csv`` beside it.
    """

    outcomes: tuple[Outcome, ...]
    cases: tuple[Case, ...]
    summary: Path

    @property
    def complete(self) -> bool:
        """Whether every slide is done."""
        return all(outcome.state == "done" for outcome in self.outcomes)


def run(
    slides: Source | Sequence[Source],
    store: str | Path | None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    summary: str | Path | None = None,
    profile: str = "pocket",
    segmenter: str | None = None,
    phrases: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
    box: Sequence[float] | None = None,
    mpp: float | None = None,
    device: str = "auto",
    normalise: str | None = None,
    survivors: int | None = None,
    regions: RegionShape = "square",
    icc: bool = False,
    progress: Watch | None = None,
) -> Report:
    """Analyse many slides, each into its own result; run again, it goes on where it stopped.

    slides: what :func:`find_jobs` takes: slides, folders, a .txt, a .csv of slide, mpp, patient, label.
    store: the folder of the results, ``<name>.hwsi.zarr`` each; None puts each beside its slide.
    workers: local processes; as many as cores and memory allow where None, and with 0 the slides are
    analysed in this process, one after the other, without dask. scheduler: address, or scheduler file, of
    your own dask cluster instead, whose workers must see the same paths. summary: folder of ``batch.json``,
    ``batch.csv`` and ``batch.html``, and of ``cases.parquet`` where slides have patients; the store, or
    the working folder, where None. device: 'cuda' gives each worker a GPU (of workers with the resource
    GPU, where they are your own). Everything else is as in :func:`~napari_hwsi.hierarchy.analyze`, for all
    slides. progress: is given the :class:`Board` about twice a second, and may raise
    :class:`Cancelled`, which stops the batch like Ctrl-C: what is finished is kept, the summary is
    written, and the exception goes on.

    A slide that fails has its reason in its outcome and stops no other. In a script, call this below
    ``if __name__ == "__main__":``, as everything that starts processes.

    Raises InputError (no slides, a list that cannot be read, unknown names, no such scheduler), StoreError
    (a summary that cannot be written), MissingDependencyError (without dask.distributed).
    """
    if workers is not None and (scheduler is not None or workers < 0):
        raise InputError("Give a number of local workers from 0 up, or a scheduler, not both.")
    place = None if store is None else Path(store).expanduser().absolute()
    jobs = find_jobs(slides, mpp)
    if place is not None and place.name.endswith(".hwsi.zarr"):
        raise InputError(f"{place} can hold the result of one slide. Give a folder for several.")
    settings = Settings(
        store=None if place is None else str(place),
        profile=profile,
        segmenter=segmenter,
        phrases=None if phrases is None else tuple([phrases] if isinstance(phrases, str) else phrases),
        parts=None if parts is None else tuple([parts] if isinstance(parts, str) else parts),
        box=None if box is None else as_box(box),
        device=device,
        normalise=normalise,
        survivors=survivors,
        regions=regions,
        icc=icc,
    )
    folder = Path(summary).expanduser().absolute() if summary is not None else place or Path.cwd()
    crew = _crew(workers, scheduler, len(jobs), settings)
    try:
        return _Batch(jobs, settings, folder, crew, progress).run()
    finally:
        crew.close()


def _crew(workers: int | None, scheduler: str | None, slides: int, settings: Settings) -> Crew:
    if scheduler is not None:
        return connect(scheduler)
    if workers == 0:
        return Alone()
    return local(sensible_workers(slides) if workers is None else workers, settings.on_gpu)


def sensible_workers(slides: int) -> int:
    """Return how many workers this machine has the cores and the memory for."""
    room = psutil.virtual_memory().available // WORKER_BYTES
    return int(max(1, min(slides, os.cpu_count() or 1, room)))


class _Batch:
    """One run: messages come from other threads, and only this one acts on them."""

    def __init__(
        self, jobs: Sequence[Job], settings: Settings, folder: Path, crew: Crew, progress: Watch | None
    ) -> None:
        self._jobs, self._settings, self._folder = jobs, settings, folder
        self._crew, self._progress = crew, progress
        self._board = Board(jobs)
        self._board.dashboard = crew.dashboard
        self._inbox: queue.SimpleQueue[tuple[int, Mapping[str, Any] | Outcome]] = queue.SimpleQueue()
        self._outcomes: dict[int, Outcome] = {}
        self._started = datetime.now(UTC)

    def run(self) -> Report:
        try:
            self._crew.begin(
                self._jobs,
                self._settings,
                heard=lambda index, report: self._inbox.put((index, report)),
                ended=lambda index, outcome: self._inbox.put((index, outcome)),
            )
            self._follow()
        except (KeyboardInterrupt, Cancelled):
            self._crew.stop()
            self._take_in()
            self._report(self._cases(complete=False))
            raise
        return self._report(self._cases(complete=True))

    def _follow(self) -> None:
        """Show the board until every slide has ended."""
        counted = -_COUNT_S
        while len(self._outcomes) < len(self._jobs):
            if time.monotonic() - counted >= _COUNT_S:
                self._board.workers, counted = self._crew.workers(), time.monotonic()
            self._take_in(_LOOK_S)
            if self._progress is not None:
                self._progress(self._board)

    def _take_in(self, wait: float = 0.0) -> None:
        """Take in all messages there are; wait that many seconds for the first."""
        deadline = time.monotonic() + wait
        while True:
            try:
                index, message = self._inbox.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                return
            if isinstance(message, Outcome):
                starts = max(self._board.rows[index].starts, 1)
                self._outcomes[index] = replace(message, starts=starts)
                self._board.ended(index, message)
                if len(self._outcomes) == len(self._jobs):
                    return
            else:
                self._board.heard(index, message)

    def _cases(self, complete: bool) -> tuple[Case, ...]:
        """Return the cases; a batch that was broken off makes none, as their slides may yet come."""
        if not complete:
            return ()
        cases = make_cases([self._outcomes[index] for index in range(len(self._jobs))])
        if cases:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_cases(cases, self._folder)
        return cases

    def _report(self, cases: tuple[Case, ...]) -> Report:
        outcomes = tuple(
            self._outcomes.get(index) or Outcome(job, "stopped") for index, job in enumerate(self._jobs)
        )
        times = (self._started, datetime.now(UTC))
        page = write_summary(self._folder, self._settings, times, outcomes, cases)
        return Report(outcomes, cases, page)
