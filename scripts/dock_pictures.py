"""Take the pictures of the docks for the documentation, from the real window, on the sample slide.

Run under a screen: ``xvfb-run -a -s "-screen 0 1680x1050x24" python scripts/dock_pictures.py``.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_hwsi.widgets import demo as main_job

PICTURES = {
    "Slide": "slide", "Minimap": "minimap", "Segment cells": "cells", "Correct nuclei": "correct",
    "Nuclei table": "table", "Count nuclei": "count", "Analyse": "analyse", "CCAF": "ccaf",
    "Maps": "maps", "Walk": "walk", "Ask": "ask",
}  # fmt: skip
_WIDE, _HIGH = 400, 760


def main() -> int:
    """Do the main job once in a window, open every dock, and take its picture."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/docks").resolve()
    taken: list[str] = []

    def take(viewer: napari.Viewer, path: Path, say: object) -> None:
        if path.name != "window.png":
            return
        for title, name in PICTURES.items():
            dock, widget = viewer.window.add_plugin_dock_widget("napari-hwsi", title)
            dock.setFloating(True)
            dock.resize(_WIDE, _HIGH)
            settle()
            grab(widget, target / f"{name}.png")
            taken.append(name)
            dock.setFloating(False)

    main_job._picture = take  # the window is looked at instead of being kept whole
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        main_job.demo(None, Path("results"), None, False, lambda line: None)
    sys.stdout.write(f"{len(taken)} pictures in {target}\n")
    return 0 if len(taken) == len(PICTURES) else 1


def grab(widget: QWidget, path: Path) -> None:
    """Keep what a widget looks like, in few colours: the repository holds it."""
    widget.grab().save(str(path), "PNG")
    Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)


def settle(ms: int = 800) -> None:
    """Let the window live a while."""
    loop = QEventLoop()
    QTimer.singleShot(ms, loop.quit)
    loop.exec()
    QApplication.processEvents()


if __name__ == "__main__":
    sys.exit(main())
