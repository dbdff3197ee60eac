"""The command ``napari-hwsi demo``: the main job once, in a window."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..doctor import has_display
from ..errors import MissingDependencyError
from .arguments import command, mpp
from .terminal import print_json

_UNSEEN = "HWSI_UNSEEN"  # set where the window is drawn for its pictures only


def add(commands: Any) -> None:
    """Describe the command."""
    demo = command(commands, "demo", run, "open a slide in napari, analyse it, ask a question")
    demo.add_argument("--slide", type=Path, help="your own slide; the built-in sample otherwise")
    demo.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="result and pictures; default: %(default)s"
    )
    mpp(demo)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    if not has_display():
        return _demo_in_xvfb()
    from ..widgets.demo import demo

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    answer = demo(options.slide, options.output, options.mpp, stay=_UNSEEN not in os.environ, say=say)
    if options.json:
        print_json(answer.to_dict())
    return 0


def _demo_in_xvfb() -> int:
    """Run this command again in a window that nobody sees."""
    if shutil.which("xvfb-run") is None:
        raise MissingDependencyError(
            "There is no display and no xvfb-run to stand in for one. Run: sudo apt-get install xvfb xauth"
        )
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1680x1050x24"]
    command = [*screen, sys.executable, "-m", "napari_hwsi.cli", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | {_UNSEEN: "1"}, check=False).returncode
