"""The command ``napari-hwsi``: everything but looking, without a screen.

Results go to standard output (``--json`` for machines), progress and errors to standard
error; the exit status is 0 only on success.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from . import __version__
from .commands import (
    analyze,
    ask,
    cells,
    convert,
    demo,
    doctor,
    evaluate,
    find,
    info,
    maps,
    train,
    walk,
)
from .commands.terminal import say
from .errors import HwsiError

COMMANDS = (info, cells, analyze, ask, walk, find, maps, convert, train, evaluate, demo, doctor)
_STOPPED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        status: int = options.run(options)
    except HwsiError as error:
        say(f"napari-hwsi: {error}")
        return 1
    except KeyboardInterrupt:
        say("napari-hwsi: stopped; what was finished in a store is kept.")
        return _STOPPED
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-hwsi",
        description="Read whole-slide images at four scales and ask questions about them. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"napari-hwsi {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
