"""How a batch stands: slides, rates and the time left, as data and as lines of a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .job import Job, Outcome

Standing: TypeAlias = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass
class Row:
    """One slide: ``done`` of ``total`` regions, ``first`` of which were there when it was begun.

    total: None until it is known; what: the step it is at; since: when its regions began, in seconds of
    the board's clock; attempts: a name for each time it was begun; worker: host and process that has it.
    """

    job: Job
    state: Standing = "waiting"
    done: int = 0
    total: int | None = None
    first: int = 0
    what: str = ""
    since: float | None = None
    worker: str = ""
    reason: str = ""
    attempts: set[str] = field(default_factory=set)

    @property
    def starts(self) -> int:
        """How often it was begun in this run: more than once where a worker died."""
        return len(self.attempts)

    @property
    def made(self) -> int:
        """Regions finished in this run."""
        return self.done - self.first


class Board:
    """The state of all slides of a batch; ``rows`` stand in the order of the jobs.

    dashboard: address of dask's own pages, '' where there are none; workers: how many there are.
    """

    def __init__(self, jobs: Sequence[Job], clock: Callable[[], float] = time.monotonic) -> None:
        self.rows = [Row(job) for job in jobs]
        self.dashboard = ""
        self.workers = 0
        self._clock = clock
        self._began: float | None = None

    def heard(self, index: int, report: Mapping[str, Any]) -> None:
        """Take in what a worker says of slide ``index``; see :func:`.worker.analyse`."""
        row = self.rows[index]
        if row.state not in ("waiting", "running"):
            return  # said before the end, heard after it
        row.attempts.add(report["attempt"])
        row.state, row.worker, row.what = "running", report["place"], report["what"]
        if row.what == "regions":
            if row.since is None:
                row.since, row.first = self._clock(), report["done"]
                self._began = row.since if self._began is None else self._began
            row.done, row.total = report["done"], report["total"]

    def ended(self, index: int, outcome: Outcome) -> None:
        """Take in what became of slide ``index``."""
        row = self.rows[index]
        row.state, row.reason, row.what = outcome.state, outcome.reason, ""

    def count(self, *states: Standing) -> int:
        """Return how many slides are in one of these states."""
        return sum(row.state in states for row in self.rows)

    @property
    def rate(self) -> float | None:
        """Regions a second, of all workers together, over this run; None before there are any."""
        if self._began is None:
            return None
        made, elapsed = sum(row.made for row in self.rows), self._clock() - self._began
        return made / elapsed if made and elapsed > 0 else None

    @property
    def regions(self) -> tuple[int, int, bool]:
        """Regions finished, regions in all, and whether the latter is known or reckoned from the mean."""
        known = [row for row in self.rows if row.total is not None]
        done, total = sum(row.done for row in known), sum(row.total or 0 for row in known)
        # Slides that an earlier run had finished say nothing of those to come.
        telling = [row for row in known if row.total and row.first < row.total] or known
        unknown = sum(row.total is None and row.state in ("waiting", "running") for row in self.rows)
        if telling:
            total += round(unknown * sum(row.total or 0 for row in telling) / len(telling))
        return done, total, unknown == 0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None where there is no telling."""
        ended = sum((row.total or 0) - row.done for row in self.rows if row.state in ("done", "failed"))
        done, total, _ = self.regions
        return None if self.rate is None else max(total - done - ended, 0) / self.rate

    def lines(self, width: int = 100, height: int = 20) -> list[str]:
        """Return the table as at most ``height`` lines of ``width`` characters: totals, then slides.

        Slides at work come first, then those that failed, then the last that were done.
        """
        head = [self._totals()]
        if self.dashboard:
            head.append(f"dask dashboard: {self.dashboard}")
        name = max(12, min(width - 52, max(len(row.job.name) for row in self.rows)))
        head.append(f"{'slide':<{name}}  {'state':<8}{'regions':>11}{'a minute':>10}{'left':>8}  worker")
        order: dict[Standing, int] = {"running": 0, "failed": 1, "stopped": 2, "done": 3, "waiting": 4}
        latest_first = self.rows[::-1]
        shown = sorted(latest_first, key=lambda row: order[row.state])[: max(height - len(head), 0)]
        return [line[:width] for line in [*head, *(self._line(row, name) for row in shown)]]

    def _totals(self) -> str:
        states: tuple[Standing, ...] = ("done", "failed", "stopped", "running", "waiting")
        slides = ", ".join(f"{self.count(state)} {state}" for state in states if self.count(state))
        done, total, known = self.regions
        text = f"{len(self.rows)} slides: {slides}; {self.workers} workers"
        if total:
            text += f"; {done} of {'' if known else 'about '}{total} regions"
        if self.rate:
            text += f", {60 * self.rate:.1f} a minute"
        left = self.seconds_left
        return text if left is None or not self.count("waiting", "running") else f"{text}, {_span(left)} left"

    def _line(self, row: Row, width: int) -> str:
        regions = f"{row.done}/{row.total}" if row.total is not None else ""
        rate = left = ""
        if row.state == "running" and row.since is not None and row.total is not None and row.made:
            pace = row.made / max(self._clock() - row.since, 1e-6)
            rate, left = f"{60 * pace:.1f}", _span((row.total - row.done) / pace)
        again = f"start {row.starts}" if row.starts > 1 else ""
        at_work = row.worker if row.state == "running" else ""
        notes = row.reason or ", ".join(filter(None, [at_work, again]))
        return f"{row.job.name[:width]:<{width}}  {row.state:<8}{regions:>11}{rate:>10}{left:>8}  {notes}"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
