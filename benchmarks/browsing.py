"""Looking at slides in napari: the time to the first picture, memory while panning, how long moves block.

xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/browsing.py

Each measurement runs in a process of its own, on slides of large_slide.py; a chunk takes 30 ms more where
moves are timed, as on a slow drive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from large_slide import write_large_slide

SMALL, LARGE = 5_000, 100_000
CHUNK_S = 0.03
MOVES = 120


def first_picture(path: Path) -> dict[str, float]:
    """Return the seconds from asking for the slide to its picture on the screen."""
    viewer, shown = _viewer()
    start = time.perf_counter()
    layer = shown(viewer, path)
    seconds = time.perf_counter() - start
    picture = viewer.window.screenshot(canvas_only=True, flash=False)[..., :3]
    assert picture.std() > 5, "the picture is blank"
    assert layer.multiscale
    return {"first picture, s": seconds}


def panning(path: Path) -> dict[str, float]:
    """Return the peak memory of the process after a walk across the slide at 20x and 5x."""
    viewer, shown = _viewer()
    layer = shown(viewer, path)
    before = _peak()
    extent = np.array(layer.extent.world)
    for zoom in (2.0, 0.5):  # screen pixels per µm
        viewer.scene.camera.zoom = zoom
        for y in np.linspace(*extent[:, 0], 12):
            for x in np.linspace(*extent[:, 1], 24):
                viewer.scene.camera.center = (0, float(y), float(x))
                _settle(viewer)
    return {"peak memory before, MiB": before, "peak memory after, MiB": _peak()}


def moves(path: Path, asynchronous: bool) -> dict[str, float]:
    """Return how long single steps of the event loop block while panning and zooming, ms."""
    from napari.settings import get_settings
    from qtpy.QtWidgets import QApplication

    from napari_hwsi.slides.lazy import LazyLevel

    get_settings().experimental.async_ = asynchronous
    decode = LazyLevel._chunk

    def slow(self: LazyLevel, top: int, left: int) -> np.ndarray:
        time.sleep(CHUNK_S)
        return decode(self, top, left)

    LazyLevel._chunk = slow
    viewer, shown = _viewer()
    layer = shown(viewer, path)
    centre = np.array(layer.extent.world).mean(0)
    application, rng, blocked = QApplication.instance(), np.random.default_rng(0), []
    camera = viewer.scene.camera
    camera.zoom = 2.0
    _settle(viewer)

    def timed(action) -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    place = centre.copy()
    for i in range(MOVES):
        if i % 4 == 3:
            zoom = float(np.clip(camera.zoom * rng.choice([0.5, 0.8, 1.25, 2.0]), 0.2, 4.0))
            longest = timed(lambda zoom=zoom: setattr(camera, "zoom", zoom))
        else:
            place += rng.normal(0, 120, 2)
            to = (0.0, float(place[0]), float(place[1]))
            longest = timed(lambda to=to: setattr(camera, "center", to))
        until = time.perf_counter() + 0.15  # as fast as a hand moves
        while time.perf_counter() < until:
            longest = max(longest, timed(application.processEvents))
            time.sleep(0.001)
        blocked.append(longest * 1e3)
    median, worst = np.percentile(blocked, [50, 99])
    return {"median, ms": float(median), "99th percentile, ms": float(worst)}


def _viewer():
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_hwsi.viewer.reader import open_in

    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1400, 1000)
    for _ in range(20):
        QApplication.processEvents()

    def shown(viewer, path: Path):
        (layer, *_) = open_in(viewer, path)
        viewer.reset_view()
        _settle(viewer)
        viewer.window.screenshot(canvas_only=True, flash=False)
        return layer

    return viewer, shown


def _settle(viewer) -> None:
    """Work off the events, and wait for slices under way."""
    from qtpy.QtWidgets import QApplication

    for _ in range(3):
        QApplication.processEvents()
    slicer = viewer._layer_slicer
    while any(not task.done() for task in list(slicer._layers_to_task.values())):
        QApplication.processEvents()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


ALONE = {
    "first": first_picture,
    "panning": panning,
    "sync": lambda path: moves(path, False),
    "async": lambda path: moves(path, True),
}


def alone(what: str, path: Path) -> dict[str, float]:
    """Return one measurement, made in a process of its own."""
    home = {"HWSI_HOME": str(path.parent / "home"), "NAPARI_CONFIG": str(path.parent / "napari.yaml")}
    command = [sys.executable, __file__, "--alone", what, "--slide", str(path)]

    run = subprocess.run(command, env=os.environ | home, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--alone", choices=ALONE, help=argparse.SUPPRESS)
    parser.add_argument("--slide", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(ALONE[options.alone](options.slide)))
        return
    with tempfile.TemporaryDirectory() as folder:
        small, large = (write_large_slide(Path(folder) / f"{side}.svs", side) for side in (SMALL, LARGE))
        alone("first", small)  # files and bytecode are in the system's cache from here on
        times = [[alone("first", path)["first picture, s"] for path in (small, large)] for _ in range(3)]
        best = np.min(times, 0)
        memory = alone("panning", large)
        held = {name: alone(name, large) for name in ("sync", "async")}
    print("| what | value |\n|---|---|")
    print(f"| first picture, {SMALL:,} px a side | {best[0]:.2f} s |")
    print(f"| first picture, {LARGE:,} px a side | {best[1]:.2f} s, {best[1] / best[0]:.2f} times that |")
    for name, value in memory.items():
        print(f"| {name} ({LARGE:,} px, 576 places) | {value:.0f} |")
    for name, values in held.items():
        text = ", ".join(f"{key} {value:.0f}" for key, value in values.items())
        print(f"| a move blocks the window, {name} slicing | {text} |")


if __name__ == "__main__":
    main()
