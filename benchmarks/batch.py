"""How a batch grows with its workers, and what a killed worker costs, on this machine.

python benchmarks/batch.py [--workers 1 2] [--slides 8] [--side PX]
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from pathlib import Path

from napari_hwsi.batch import Board, run
from napari_hwsi.synthetic import SlideSpec, write_slide


class Watch:
    """Times a batch from its first region on; kills the worker that has a slide's second region in hand."""

    def __init__(self, kill: bool = False) -> None:
        self.kill, self.killed_at = kill, 0
        self.began = 0.0
        self.again_at: int | None = None

    def __call__(self, board: Board) -> None:
        row = board.rows[0]
        if not self.began and any(row.starts for row in board.rows):
            self.began = time.perf_counter()
        if self.kill and not self.killed_at and row.done == 1:
            self.killed_at = row.done
            os.kill(int(row.worker.rpartition(":")[2]), signal.SIGKILL)
        if row.starts > 1 and row.what == "regions" and self.again_at is None:
            self.again_at = row.done


def timed(slides: list[Path], store: Path, workers: int, kill: bool = False) -> tuple[float, Watch]:
    """Return the seconds from the first slide's start to the last one's end."""
    watch = Watch(kill)
    report = run(slides, store, workers=workers, progress=watch)
    seconds = time.perf_counter() - watch.began
    assert report.complete, report.outcomes
    return seconds, watch


def same(one: Path, other: Path) -> bool:
    """Whether two results have the same bytes, their logs of times apart."""

    def files(root: Path) -> dict[str, bytes]:
        found = (file for file in root.rglob("*") if file.is_file())
        names = ((str(file.relative_to(root)), file) for file in found)
        return {name: file.read_bytes() for name, file in names if not name.startswith("log")}

    return files(one) == files(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--slides", type=int, default=8)
    parser.add_argument("--side", type=int, default=1536, help="px of each slide's side, at 0.5 µm/px")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        slides = [folder / f"{seed}.svs" for seed in range(options.slides)]
        for seed, slide in enumerate(slides):
            write_slide(slide, SlideSpec(seed=seed, shape=(options.side, options.side)))
        long = folder / "long.svs"
        write_slide(long, SlideSpec(seed=99, shape=(512, 3 * 4096)))
        print(f"{options.slides} slides of {(options.side * 0.5e-3) ** 2:.2f} mm², {os.cpu_count()} cores\n")
        print("| workers | seconds | slides an hour | ratio |\n|---|---|---|---|")
        first = 0.0
        for workers in options.workers:
            seconds, _ = timed(slides, folder / f"results-{workers}", workers)
            first = first or seconds
            rate = 3600 * len(slides) / seconds
            print(f"| {workers} | {seconds:.1f} | {rate:.0f} | {first / seconds:.2f} |", flush=True)
        whole, _ = timed([long], folder / "whole", 1)
        broken, watch = timed([long], folder / "broken", 1, kill=True)
        equal = same(folder / "whole" / "long.hwsi.zarr", folder / "broken" / "long.hwsi.zarr")
        print(f"\nA slide of 3 regions: {whole:.1f} s undisturbed, {broken:.1f} s with its worker killed")
        print(
            f"in the second region, {watch.killed_at} being finished; gone on with {watch.again_at} finished."
        )
        print(f"Both results have the same bytes: {equal}.")


if __name__ == "__main__":
    main()
