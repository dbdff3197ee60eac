"""How long the main steps take, side by side with the plain way, in one run on this machine.

python benchmarks/speed.py [--slide PATH] [--side PX]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.segmentation import watershed

import napari_hwsi as hwsi
from napari_hwsi.cells import PocketSegmenter
from napari_hwsi.sample_data import sample_slide
from napari_hwsi.tissue import separate_stains


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def plain_nuclei(rgb: np.ndarray) -> np.ndarray:
    """Return the labels of the obvious way: haematoxylin, Otsu, distance transform, watershed."""
    stain = ndimage.gaussian_filter(separate_stains(rgb)[..., 0], 1)
    mask = ndimage.binary_opening(stain > threshold_otsu(stain), iterations=2)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1)
    peaks = (distance == ndimage.maximum_filter(distance, 9)) & mask
    return watershed(-distance, label(peaks), mask=mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slide", type=Path, default=sample_slide())
    parser.add_argument(
        "--side", type=int, default=2048, help="side of the square that is worked on, level-0 px"
    )
    options = parser.parse_args()
    with hwsi.open_slide(options.slide) as slide:
        mpp = slide.require_mpp()
        top, left = (int((n - options.side) / 2) for n in slide.shape)
        box = (top, left, top + options.side, left + options.side)
        area = options.side**2 * mpp[0] * mpp[1] / 1e6
        side = round(options.side * mpp[0] / 0.5)

        def vectors() -> int:
            with tempfile.TemporaryDirectory() as folder:
                return len(
                    hwsi.analyze(slide, Path(folder) / "a.hwsi.zarr", box=box, parts=["patches"]).patches
                )

        rgb = slide.read(box[:2], (side, side), mpp=0.5)
        ours = seconds(lambda: hwsi.segment_cells(slide, box=box, segmenter="classical"))
        pocket = PocketSegmenter(device="cpu")
        small = seconds(lambda: hwsi.segment_cells(slide, box=box, segmenter=pocket))
        tile, pixels = rgb[:1024, :1024], (0.5, 0.5)
        (maps,) = pocket.predict([tile], pixels, lambda: None)
        network = seconds(lambda: pocket.predict([tile], pixels, lambda: None))
        decoding = seconds(lambda: pocket.finish(tile, maps, pixels))
        covered = tile.shape[0] * tile.shape[1] * 0.25e-6
        plain = seconds(lambda: plain_nuclei(rgb))
        start = time.perf_counter()
        count = vectors()
        analysed = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.slide.name}, {area:.2f} mm² of it, {os.cpu_count()} cores\n")
    print("| what | s/mm² | ratio |\n|---|---|---|")
    print(f"| labels only: haematoxylin, Otsu, watershed | {plain / area:.2f} | 1 |")
    print(f"| `classical`: nuclei, outlines and table | {ours / area:.2f} | {ours / plain:.1f} |")
    print(
        f"| `pocket`, {pocket.settings()['precision']}: the same | {small / area:.2f} | {small / plain:.1f} |"
    )
    print(f"\n`pocket`, one tile: network {network / covered:.2f}, labels {decoding / covered:.2f} s/mm².")
    print(f"\nVectors, filter and store: {analysed / count * 1e3:.1f} ms a patch ({count} patches).")
    print(f"Peak memory: {peak:.0f} MiB.")


if __name__ == "__main__":
    main()
