"""The command ``napari-hwsi evaluate``: scores beside what blind guessing reaches."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.command import add_arguments, evaluate_command
from .arguments import command
from .terminal import Line, print_json

if TYPE_CHECKING:
    from ..evaluation.report import Report


def add(commands: Any) -> None:
    """Describe the command."""
    summary = "score an answerer, or features, on a benchmark, beside what blind guessing reaches"
    add_arguments(command(commands, "evaluate", run, summary))


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    with Line() as progress:
        report, page = evaluate_command(options, progress)
    return show_report(options, report, page)


def show_report(options: argparse.Namespace, report: Report, page: Path) -> int:
    """Print a report, or as JSON where that is asked for."""
    if options.json:
        print_json({"report": str(page), **report.to_dict()})
        return 0
    print(report.markdown())
    for warning in report.warnings:
        print(f"\nNote: {warning}")
    print(f"\n{len(report.left_out)} rows were left out; the page names each: {page}")
    return 0
