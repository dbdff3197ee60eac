"""Arguments that commands share, and where a slide's result is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..slides import Slide

SUFFIX = ".hwsi.zarr"


def command(commands: Any, name: str, run: Callable[[Any], int], summary: str) -> argparse.ArgumentParser:
    """Add a command that ``run`` does, with ``--json``, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def mpp(parser: argparse.ArgumentParser) -> None:
    """Let the user give the pixel size."""
    parser.add_argument(
        "--mpp", type=float, help="µm per pixel of a slide that does not state it; remembered for this slide"
    )


def icc(parser: argparse.ArgumentParser) -> None:
    """Let the user ask for sRGB."""
    parser.add_argument(
        "--icc", action="store_true", help="convert all pixels to sRGB by the colour profile in the file"
    )


def place(text: str) -> Path | str:
    """Leave an address (https://…, s3://…) as it is: a path would lose one of its slashes."""
    return text if "://" in text else Path(text)


def box(parser: argparse.ArgumentParser) -> None:
    """Let the user choose a part of the slide."""
    parser.add_argument(
        "--box", type=int, nargs=4, metavar=("Y0", "X0", "Y1", "X1"), help="part of the slide, level-0 pixels"
    )


def store(parser: argparse.ArgumentParser, text: str) -> None:
    """Let the user say where results are; text: whose."""
    parser.add_argument(
        "--store",
        type=Path,
        help=f"{text}; default: <slide>.hwsi.zarr beside the slide, where that can be written",
    )


def segmenter(parser: argparse.ArgumentParser) -> None:
    """Let the user choose what finds cells, and where it runs."""
    parser.add_argument("--segmenter", help="default: the best that ships")
    parser.add_argument("--device", default="auto", help="of the networks: cpu, cuda; default: %(default)s")


def store_of(slide: Slide, store: Path | None) -> Path:
    """Return where a slide's result is: a result's own path, or its place in a folder of results."""
    from ..hierarchy import default_store

    if store is None or store.name.endswith(SUFFIX):
        return store or default_store(slide)
    return store / f"{Path(slide.name).stem}{SUFFIX}"
