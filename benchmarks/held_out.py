"""Score `pocket`, in float32 and bfloat16, and `classical` on what the training recipe keeps for choosing.

    python benchmarks/held_out.py ../shared/data

One in five of the images of nuclei_train/dsb2018_histology, at the pixel size guessed from their
nuclei, and patches of synthetic slides whose seeds were not trained on. Scores are means over images,
matches at IoU above 0.5. Nuclei that nothing is known about (under artefacts) do not count.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from napari_hwsi.cells import Classical, Segmenter
from napari_hwsi.cells.pocket import PocketSegmenter
from napari_hwsi.metrics import InstanceScores, instance_scores
from napari_hwsi.training.sources import Source, mask_sources, synthetic_sources

SEEDS = range(9000, 9010)


def at_half(source: Source) -> Source:
    """Return a source at 0.5 µm/px; it stays as it is where it is coarser."""
    mpp = max(source.mpp, 0.5)
    size = [max(8, round(n * source.mpp / mpp)) for n in source.labels.shape]
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, source.labels.shape, strict=True)
    )
    rgb = np.asarray(Image.fromarray(source.rgb).resize(size[::-1], Image.Resampling.BOX))
    labels, known, types = (a[rows[:, None], columns] for a in (source.labels, source.known, source.types))
    return Source(source.name, source.kind, rgb, mpp, labels, known, types, source.held_out)


def score(source: Source, segmenter: Segmenter) -> InstanceScores:
    """Return the scores of a segmenter on one source."""
    found = segmenter.segment(source.rgb, (source.mpp, source.mpp)).labels
    area = np.bincount(found.ravel())
    seen = np.bincount(found.ravel(), source.known.ravel(), len(area))
    kept = np.where(seen >= 0.5 * area, np.arange(len(area)), 0)
    truth = np.where(source.known, source.labels, 0)
    return instance_scores(truth, kept[found])


def type_shares(source: Source, segmenter: Segmenter) -> tuple[int, int]:
    """Return how many nuclei found over known types there are, and how many got the right one."""
    found = segmenter.segment(source.rgb, (source.mpp, source.mpp))
    inside = (found.labels > 0) & (source.types > 0)
    votes = np.zeros((len(found.types) + 1, 6), np.int64)
    np.add.at(votes, (found.labels[inside], source.types[inside]), 1)
    known = votes[1:].sum(1) > 0
    return int(known.sum()), int((votes[1:].argmax(1) == found.types + 1)[known].sum())


def main() -> None:
    """Run the benchmark and print tables in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="default: those that ship")
    options = parser.parse_args()
    segmenters: dict[str, Segmenter] = {
        "`pocket`, float32": PocketSegmenter(options.weights, "cpu", "float32"),
        "`pocket`, bfloat16": PocketSegmenter(options.weights, "cpu", "bfloat16"),
        "`classical`": Classical(),
    }
    masks = (s for s in mask_sources(options.data / "nuclei_train" / "dsb2018_histology") if s.held_out)
    names = [field.name for field in fields(InstanceScores)]
    print("| set | segmenter | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 2) + "|")
    results: dict[tuple[str, str], list[list[float]]] = {}
    typed = np.zeros(2, np.int64)
    sources: Iterator[Source] = chain(masks, synthetic_sources(SEEDS, held_out=True))
    for source in map(at_half, sources):
        for name, segmenter in segmenters.items():
            scores = score(source, segmenter)
            row = [getattr(scores, field) for field in names]
            results.setdefault((source.kind, name), []).append(row)
        if source.kind == "synthetic":
            typed += type_shares(source, segmenters["`pocket`, float32"])
    for (kind, name), rows in results.items():
        means = " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))
        print(f"| {kind} ({len(rows)}) | {name} | {means} |")
    print(
        f"\nOf {typed[0]} nuclei found on synthetic patches {typed[1] / max(typed[0], 1):.3f} get their type."
    )


if __name__ == "__main__":
    main()
