"""The command ``napari-hwsi train``: a language model stage by stage, or a label of whole slides."""

from __future__ import annotations

import argparse
from typing import Any

from ..evaluation.slide_learning import add_arguments as add_slide_arguments
from ..evaluation.slide_learning import train_slide_command
from .arguments import command
from .evaluate import show_report
from .terminal import Line, show


def add(commands: Any) -> None:
    """Describe the command."""
    parts = commands.add_parser("train", help="train a model on analysed slides").add_subparsers(
        required=True, metavar="PART"
    )
    summary = "learn a label of whole slides from their patches, by patient in folds"
    add_slide_arguments(command(parts, "slide", _train_slide, summary))
    for stage in ("stage1", "stage2", "stage3"):
        _stage(parts, stage)


def _stage(parts: Any, stage: str) -> None:
    train = command(parts, stage, _train, f"train {stage} of the language model")
    train.set_defaults(stage=stage)
    train.add_argument(
        "config",
        help="a YAML file, or one of the package, such as pocket-stage2 or release-stage3",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="FIELD=VALUE",
        help="another value for a field, such as out=runs/a or schedule.steps=100; may be repeated",
    )
    train.add_argument("--device", default="auto", help="cpu, cuda; default: %(default)s")


def _train_slide(options: argparse.Namespace) -> int:
    with Line() as progress:
        report, page = train_slide_command(options, progress)
    return show_report(options, report, page)


def _train(options: argparse.Namespace) -> int:
    from ..training.config import changes_from, read_config
    from ..training.stages import train

    config = read_config(options.config, changes_from(options.changes))
    with Line() as progress:
        trained = train(options.stage, config, progress, options.device)
    outcome = trained.outcome
    facts = {
        "model": str(trained.folder),
        "hash": trained.hash,
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "validation": outcome.best,
        "curve": str(outcome.curve),
        "rows_left_out": str(outcome.curve.with_name("data.json")),
        **trained.counts,
    }
    show(options, facts)
    return 0
