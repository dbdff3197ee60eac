"""What a person sees of a command: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..progress import Step

if TYPE_CHECKING:
    from ..batch import Board


def print_json(facts: Any) -> None:
    """Print plain values for a machine."""
    print(json.dumps(facts, indent=2, ensure_ascii=False))


def show(options: argparse.Namespace, facts: Any) -> None:
    """Print facts, a line each, or as JSON where that is asked for."""
    if options.json:
        print_json(facts)
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' ').replace('um2', 'µm²'):>20}: {'unknown' if value is None else value}")


def tissue_words(edited: bool) -> str:
    """Say where a tissue mask comes from."""
    return "edited by you, kept for this slide" if edited else "found from the image"


def by(pair: Sequence[float]) -> str:
    """Return a pair of numbers as words."""
    return " x ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in pair)


def say(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr)


class Line:
    """Progress as one line that rewrites itself, on a terminal only."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._what, self._start, self._first = "", 0.0, 0

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, step: Step) -> None:
        if not self._terminal:
            return
        if step.what != self._what:
            self._what, self._start, self._first = step.what, time.monotonic(), step.done
        done = step.done - self._first
        left = (time.monotonic() - self._start) / done * (step.total - step.done) if done > 0 else None
        estimate = f", {left:.0f} s left" if left is not None else ""
        sys.stderr.write(f"\r\x1b[K{step.what} {step.done}/{step.total}{estimate}")
        sys.stderr.flush()

    def stop(self) -> None:
        """Wipe the line and write it no more: what follows on the screen is the answer."""
        self.clear()
        self._terminal = False

    def clear(self) -> None:
        """Wipe the line, so that results start at a margin."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class Table:
    """Many slides as a table that rewrites itself, on a terminal; elsewhere a line for each that ends."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = 0
        self._told: set[str] = set()

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def __call__(self, board: Board) -> None:
        if self._terminal:
            width, height = shutil.get_terminal_size()
            self._wipe()
            lines = board.lines(width - 1, min(height - 1, 24))
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()
            self._drawn = len(lines)
            return
        for row in board.rows:
            if row.state in ("done", "failed", "stopped") and row.job.slide not in self._told:
                self._told.add(row.job.slide)
                ended = len(self._told)
                say(f"{ended}/{len(board.rows)} {row.job.name}: {row.state} {row.reason}".rstrip())

    def _wipe(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}F\x1b[J")
            sys.stderr.flush()
            self._drawn = 0
