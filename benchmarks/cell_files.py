"""A million cells: written, read back, and measured among each other, each in a process of its own.

python benchmarks/cell_files.py [--cells N]

The table is made up: outlines of 24 vertices on 1/32 px, 4,000 cells per mm² at 0.25 µm/px in the order of
tiles, with the columns that segmentation gives. Seconds are wall and processor time of the step alone; peak
memory is that of the whole process, the cells themselves included.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from napari_hwsi.cells import Cells, Contours
from napari_hwsi.cells.morphology import measure_stains
from napari_hwsi.cells.neighbours import COLUMNS

_MPP, _PER_MM2, _VERTICES = 0.25, 4_000, 24
_FILES = ("cells.parquet", "cells.geojson", "cells.geojson.gz", "cells.csv")
_STEPS = ("neighbours", "delaunay graph", "radius graph", "select half", "concatenate")


def synthetic(count: int) -> Cells:
    """Return ``count`` cells of three types; what neighbours tell is made up like the rest."""
    random = np.random.default_rng(0)
    side = np.sqrt(count / _PER_MM2) * 1000 / _MPP
    places = random.random((count, 2)) * side
    tiles = (places // 2048).astype(int)
    places = places[np.lexsort((places[:, 1], places[:, 0], tiles[:, 1], tiles[:, 0]))]
    angle = np.linspace(0, 2 * np.pi, _VERTICES, endpoint=False)
    circle = np.stack([np.sin(angle), np.cos(angle)], 1).astype(np.float32)
    stains = measure_stains(np.zeros((1, 1), np.int32), np.zeros((1, 1, 3), np.uint8)).columns
    parts = []
    for start in range(0, count, 2_000):  # as tiles come
        some = places[start : start + 2_000, None].astype(np.float32)
        vertices = some + random.uniform(8, 16, (len(some), 1, 1)).astype(np.float32) * circle
        vertices = (np.round(vertices * 32) / 32).astype(np.float32)
        offsets = np.arange(0, len(some) * _VERTICES + 1, _VERTICES)
        part = Cells.of(
            Contours(vertices.reshape(-1, 2), offsets),
            types=random.integers(0, 3, len(some)),
            type_names=("tumour", "stroma", "immune"),
            probabilities=random.random(len(some), np.float32),
            mpp=_MPP,
            measurements=pd.DataFrame(
                {name: random.random(len(some), np.float32) for name in (*stains, *COLUMNS)}
            ),
        )
        parts.append(part)
    return Cells.concatenate(parts)


def step(name: str, count: int, folder: Path) -> tuple[Callable[[], object], int]:
    """Return the work of a step, and the bytes of the file it is about, 0 for none."""
    verb, _, file = name.partition(" ")
    path = folder / file
    if verb == "read":
        return lambda: Cells.from_file(path), path.stat().st_size
    cells = synthetic(count)
    if verb == "write":
        writer = {".parquet": cells.to_parquet, ".csv": cells.to_csv}.get(path.suffix, cells.to_geojson)
        return lambda: writer(path), 0
    works: dict[str, Callable[[], object]] = {
        "neighbours": cells.with_neighbours,
        "delaunay graph": cells.graph,
        "radius graph": lambda: cells.graph("radius"),
        "select half": lambda: cells.select(np.arange(len(cells)) % 2 == 0),
        "concatenate": lambda: Cells.concatenate([cells, cells]),
    }
    return works[name], 0


def run(name: str, count: int, folder: Path) -> None:
    """Do a step and print its row."""
    work, size = step(name, count, folder)
    before = _peak()
    wall, used = time.perf_counter(), time.process_time()
    work()
    wall, used = time.perf_counter() - wall, time.process_time() - used
    written = folder / name.partition(" ")[2]
    size = size or (written.stat().st_size if name.startswith("write") else 0)
    mib = f"{size / 2**20:.0f}" if size else ""
    print(f"| {name} | {wall:.1f} | {used:.1f} | {before:.0f} | {_peak():.0f} | {mib} |", flush=True)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run all steps and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run(options.step, options.cells, options.folder)
        return
    print(f"{options.cells:,} cells, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
    print(
        "| step | seconds | of a core | peak before, MiB | peak, MiB | file, MiB |\n|---|---|---|---|---|---|"
    )
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as folder:
        for name in [*(f"{verb} {file}" for file in _FILES for verb in ("write", "read")), *_STEPS]:
            command = [sys.executable, __file__, "--cells", str(options.cells)]
            subprocess.run([*command, "--step", name, "--folder", folder], check=True)


if __name__ == "__main__":
    main()
