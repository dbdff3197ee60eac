"""The command ``napari-hwsi find``: places like an example, or that words describe, over results."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..progress import Progress
from .arguments import command
from .terminal import Line, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("results", type=Path, nargs="+", help="results (.hwsi.zarr), or folders of them")
    parser.add_argument("--text", help="what to look for, in words that the encoder of the results knows")
    parser.add_argument(
        "--like", type=Path, metavar="RESULT", help="the result that holds the example; default: the only one"
    )
    parser.add_argument(
        "--box", type=int, nargs=4, metavar=("Y0", "X0", "Y1", "X1"), help="the example, level-0 pixels"
    )
    parser.add_argument("--scale", choices=("patch", "cell"), default="patch", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=20, help="places at most; default: %(default)s")
    parser.add_argument("--each", type=int, help="places at most of each slide")
    parser.add_argument("--worklist", action="store_true", help="rank slides by their best places")


def search(options: argparse.Namespace, progress: Progress | None = None) -> dict[str, Any]:
    """Find; returns what was found, as facts. Raises what :func:`~napari_hwsi.hierarchy.find` raises."""
    from ..hierarchy import Example, find, open_result

    like: Any = options.box
    if options.like is not None:
        if options.box is None:
            raise InputError("Say where in the result the example lies: --box Y0 X0 Y1 X1.")
        like = Example(open_result(options.like), options.box)
    found = find(
        options.results, like, options.text, options.scale, options.count, options.each, progress=progress
    )
    facts: dict[str, Any] = {
        "places": [asdict(place) | {"result": str(place.result)} for place in found.places],
        "searched": found.searched,
        "left_out": found.left_out,
    }
    if options.worklist:
        facts["slides"] = [
            {"result": str(path), "slide": slide, "score": score} for path, slide, score in found.slides()
        ]
    return facts


def lines_of(facts: dict[str, Any]) -> str:
    """Return facts of :func:`search` for a reader."""
    lines = []
    for rank, slide in enumerate(facts.get("slides", ()), 1):
        lines.append(f"{rank:>3}. {slide['slide']}  {slide['score']:.3f}")
    if "slides" not in facts:
        for rank, place in enumerate(facts["places"], 1):
            y0, x0, y1, x1 = place["box"]
            lines.append(f"{rank:>3}. {place['score']:.3f}  {place['slide']}  y {y0}–{y1}, x {x0}–{x1} px")
    n = facts["searched"]
    lines.append(f"{n} result{'' if n == 1 else 's'} searched.")
    lines += [f"left out: {name}: {reason}" for name, reason in facts["left_out"].items()]
    return "\n".join(lines)


def add(commands: Any) -> None:
    """Describe the command."""
    add_arguments(command(commands, "find", run, "places like an example or a text, in results"))


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    with Line() as line:
        facts = search(options, line)
    if options.json:
        print_json(facts)
    else:
        print(lines_of(facts))
    return 0
