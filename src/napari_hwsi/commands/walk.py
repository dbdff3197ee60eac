"""The command ``napari-hwsi walk``: a vision model walks a slide and answers."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..progress import Progress
from .arguments import command
from .terminal import Line, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("result", type=Path, help="a result (.hwsi.zarr)")
    parser.add_argument("question")
    parser.add_argument(
        "--endpoint", required=True, metavar="URL#MODEL", help="an OpenAI-compatible server: it gets pictures"
    )
    parser.add_argument(
        "--box", type=int, nargs=4, metavar=("Y0", "X0", "Y1", "X1"), help="part of the slide, level-0 pixels"
    )
    parser.add_argument("--keep", type=Path, help="a JSON file that holds the walk after every step")
    parser.add_argument("--go-on", action="store_true", help="go on from the walk in --keep")
    parser.add_argument(
        "--structured", action="store_true", help="findings, differential, diagnosis, what would change it"
    )
    parser.add_argument("--steps", type=int, default=12, help="at most; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=300, help="at most; default: %(default)s")


def walk_slide(options: argparse.Namespace, progress: Progress | None = None) -> dict[str, Any]:
    """Walk; returns the walk as plain values. Raises what :func:`~napari_hwsi.chat.walk.walk` raises."""
    from ..chat.walk import Budget, Walk, walk
    from ..errors import InputError
    from ..hierarchy import open_result

    if options.go_on and options.keep is None:
        raise InputError("Say which walk to go on from: --keep FILE.")
    with open_result(options.result) as result:
        walked = walk(
            result,
            options.question,
            options.endpoint,
            options.box,
            Budget(options.steps, options.seconds),
            options.structured,
            so_far=Walk.load(options.keep) if options.go_on else None,
            keep=options.keep,
            progress=progress,
        )
    return asdict(walked) | {"lines": [str(step) for step in walked.steps]}


def tell_walk(walked: dict[str, Any]) -> None:
    """Print a walk for a reader."""
    out = [f"{i:>3}. {line}" for i, line in enumerate(walked["lines"], 1)]
    out += ["", walked["answer"], "", f"The walk ended because {walked['ended']}. Research use only."]
    print("\n".join(out))


def add(commands: Any) -> None:
    """Describe the command."""
    add_arguments(command(commands, "walk", run, "let a vision model walk a slide and answer"))


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    with Line() as line:
        walked = walk_slide(options, line)
    if options.json:
        del walked["lines"]
        print_json(walked)
    else:
        tell_walk(walked)
    return 0
