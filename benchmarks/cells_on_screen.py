"""A million nuclei on the screen: the layer, its colours, a selection, moves, and growth as they are found.

xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/cells_on_screen.py [--cells N]

The cells are those of cell_files.py on a slide of large_slide.py, in a window of 1400 x 1000 px. Each action
runs until its picture is on the screen; the middle one of five, wall and processor time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from cell_files import synthetic
from large_slide import write_large_slide

_TIMES = 5
_NEW = 2_000  # cells that a tile brings


def timed(action: Callable[[int], object], times: int = _TIMES) -> tuple[float, float]:
    """Return the median seconds of wall and of processor time of ``action(0)``, ``action(1)``, …"""
    taken = []
    for i in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        action(i)
        taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return tuple(np.median(taken, 0))


def measure(path: Path, count: int) -> dict[str, tuple[float, float]]:
    """Return the seconds of each action."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_hwsi.viewer import fly_to
    from napari_hwsi.viewer.layers import cells_data, show
    from napari_hwsi.viewer.nuclei import nuclei_of
    from napari_hwsi.viewer.reader import open_in
    from napari_hwsi.widgets.growing import Gathering

    cells = synthetic(count)
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1400, 1000)
    (layer, *_) = open_in(viewer, path)
    viewer.reset_view()
    slide = layer.metadata["hwsi_slide"]

    def painted() -> None:
        QApplication.processEvents()
        viewer.window.screenshot(canvas_only=True, flash=False)

    painted()
    shown = []

    def create(_: int) -> None:
        shown.append(nuclei_of(show(viewer, cells_data(slide, cells))))
        painted()

    found = {"nothing but the picture": timed(lambda _: painted())}
    found["the layer, whole slide in view"] = timed(create, 3)
    nuclei = shown[-1]
    columns = ["area_um2", "type", "probability", "solidity", "eccentricity"]
    columns = [name for name in columns if name in cells.table or name in ("type", "probability")]

    def recolour(i: int) -> None:
        nuclei.colour_by(columns[i % len(columns)])
        painted()

    found["colours by another column"] = timed(recolour)

    def select(i: int) -> None:
        nuclei.select(np.arange(i, count, 1000))
        painted()

    found["selecting a thousandth"] = timed(select)
    nuclei.select([])
    side = slide.shape[0]

    def outlines(i: int) -> None:
        y = side * (i + 2) / 10
        fly_to(viewer, layer, (y, y, y + 1500, y + 1500))
        painted()

    def dots(i: int) -> None:
        y = side * i / 10
        fly_to(viewer, layer, (y, y, y + side / 2, y + side / 2))
        painted()

    found["moving to new outlines, 375 µm in view"] = timed(outlines)
    found["moving to new dots, half of the slide in view"] = timed(dots)
    handed = []
    pieces = np.arange(count - _TIMES * _NEW, count + 1, _NEW)
    gathering = Gathering(handed.append)
    gathering(cells.select(np.arange(pieces[0])))
    tiles = [cells.select(np.arange(a, b)) for a, b in pairwise(pieces)]

    def gather(i: int) -> None:
        gathering._next = 0.0  # as if the time had come
        gathering(tiles[i])

    found["growth: gathering, in the thread that finds"] = timed(gather)
    first, *more = handed
    nuclei.grow(first.index, first.features, first.boxes)
    painted()

    def grow(i: int) -> None:
        nuclei.grow(more[i].index, more[i].features, more[i].boxes)
        painted()

    found["growth: showing, in the window"] = timed(grow)
    assert len(nuclei.cells) == count
    viewer.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HWSI_HOME": f"{folder}/home", "NAPARI_CONFIG": f"{folder}/napari.yaml"}
        side = int(np.sqrt(options.cells / 4_000) * 4_000) // 256 * 256 + 256
        found = measure(write_large_slide(Path(folder) / "large.svs", side), options.cells)
    print(f"load {os.getloadavg()[0]:.0f}\n| {options.cells:,} nuclei | seconds | of a core |\n|---|---|---|")
    for name, (wall, cpu) in found.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
