"""Score a segmenter on images with nucleus masks.

    python benchmarks/nuclei.py --segmenter classical --data FOLDER --mpp 0.25

FOLDER holds images/*.png and labels/<same stem>.tif, label images with 0 as background. The
images state no pixel size, so --mpp is an assumption and is printed with the scores. Each image
goes the whole way of `segment_cells` and `Cells.labels`; scores are means over the images.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from napari_hwsi.cells import segment_cells
from napari_hwsi.metrics import InstanceScores, instance_scores


def score(image: Path, labels: Path, segmenter: str, mpp: float) -> tuple[InstanceScores, int, int]:
    """Return the scores of one image, and how many nuclei are true and found."""
    rgb = np.asarray(Image.open(image).convert("RGB"))
    truth = tifffile.imread(labels).astype(np.int64)
    cells = segment_cells(rgb, segmenter=segmenter, mpp=mpp)
    found = cells.labels((0, 0, *truth.shape))
    return instance_scores(truth, found), len(np.unique(truth[truth > 0])), len(cells)


def main() -> None:
    """Run the benchmark and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--segmenter", default="classical")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--mpp", type=float, default=0.25, help="assumed µm per pixel (default 0.25, a 40x scan)"
    )
    options = parser.parse_args()
    pairs = [
        (path, options.data / "labels" / f"{path.stem}.tif")
        for path in sorted((options.data / "images").glob("*.png"))
    ]
    if not pairs:
        parser.error(f"{options.data} holds no images/*.png")
    started = time.perf_counter()
    results = [score(image, labels, options.segmenter, options.mpp) for image, labels in pairs]
    took = time.perf_counter() - started
    names = [field.name for field in fields(InstanceScores)]
    values = np.array([[getattr(result[0], name) for name in names] for result in results])
    print(f"{options.segmenter} on {options.data.name}: {len(pairs)} images, {options.mpp} µm/px assumed,")
    print(f"{sum(r[2] for r in results)} nuclei found, {sum(r[1] for r in results)} true, {took:.0f} s\n")
    print("| " + " | ".join(["image", *names]) + " |")
    print("|---" * (len(names) + 1) + "|")
    for (image, _), row in zip(pairs, values, strict=True):
        print("| " + " | ".join([image.stem[:12], *(f"{v:.3f}" for v in row)]) + " |")
    print("| " + " | ".join(["**mean**", *(f"**{v:.3f}**" for v in values.mean(0))]) + " |")


if __name__ == "__main__":
    main()
