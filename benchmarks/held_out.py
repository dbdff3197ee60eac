"""Score `pocket`, in float32 and bfloat16, and `classical` on what the training recipe keeps for choosing.

    python benchmarks/held_out.py ../shared/data
    python benchmarks/held_out.py ../shared/data --stains   # recall where the staining is changed

One in five of the images of nuclei_train/dsb2018_histology, at the pixel size guessed from their
nuclei, and patches of synthetic slides whose seeds were not trained on. Scores are means over images,
matches at IoU above 0.5. Nuclei that nothing is known about (under artefacts) do not count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_hwsi.cells import Classical, Segmenter
from napari_hwsi.cells.pocket import PocketSegmenter
from napari_hwsi.metrics import InstanceScores, instance_scores
from napari_hwsi.tissue import HE_MATRIX, optical_density
from napari_hwsi.training.sources import Source, mask_sources, synthetic_sources

Floats = NDArray[np.float64]

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


def restained(source: Source, change: Callable[[Floats], Floats]) -> Source:
    """Return a source whose optical densities (Y, X, 3) have been changed."""
    changed = change(optical_density(source.rgb).astype(np.float64))
    rgb = np.clip(np.rint(256 * 10.0**-changed - 1), 0, 255).astype(np.uint8)
    return replace(source, rgb=rgb)


def dyed(
    density: Floats,
    amounts: tuple[float, float] = (1, 1),
    haematoxylin: tuple[float, float, float] = (0, 0, 0),
    eosin: tuple[float, float, float] = (0, 0, 0),
) -> Floats:
    """Return densities with other amounts of the two dyes, and hues moved by so much in R, G, B."""
    unit = lambda vector: vector / np.linalg.norm(vector)  # noqa: E731
    rest = unit(np.cross(*HE_MATRIX))
    own = np.stack([*map(unit, HE_MATRIX), rest])
    others = np.stack([unit(HE_MATRIX[0] + haematoxylin), unit(HE_MATRIX[1] + eosin), rest])
    return density @ np.linalg.inv(own) * (*amounts, 1) @ others


def hazed(density: Floats, glare: float) -> Floats:
    """Return densities under light that has not gone through the tissue, a share of all."""
    return -np.log10((1 - glare) * 10.0**-density + glare * 0.85)


STAINS: dict[str, Callable[[Floats], Floats]] = {
    "as it is": lambda density: density,
    "half as strong": lambda density: 0.5 * density,
    "a third as strong": lambda density: 0.3 * density,
    "strong": lambda density: 1.6 * density,
    "pale nuclei": lambda density: dyed(density, (0.45, 1)),
    "strong eosin": lambda density: dyed(density, (0.8, 1.9)),
    "purple ground": lambda density: dyed(density, eosin=(0.39, 0.42, 0.17)),
    "brown": lambda density: dyed(density, (1, 1), (-0.15, 0, 0.25), (0, -0.1, 0.3)),
    "blue": lambda density: dyed(density, (1, 1), (0.15, -0.1, -0.05), (0.25, 0, 0)),
    "haze": lambda density: hazed(density, 0.45),
    "pale in haze, pink ground": lambda density: hazed(0.7 * density, 0.4) + 0.1 * HE_MATRIX[1],
    "out of focus": lambda density: ndimage.gaussian_filter(density, (2, 2, 0)),
}
"""Other stainings and scanners, as changes of optical density."""


def stains(sources: Iterable[Source], segmenters: Mapping[str, Segmenter]) -> None:
    """Print F1 and recall of segmenters under each change of the staining, means over images."""
    held = [at_half(source) for source in sources]
    kinds = list(dict.fromkeys(source.kind for source in held))
    heads = [f"{kind}, {name}" for kind in kinds for name in segmenters]
    print("F1 and recall\n\n| staining | " + " | ".join(heads) + " |\n" + "|---" * (len(heads) + 1) + "|")
    for stain, change in STAINS.items():
        rows: dict[str, list[tuple[float, float]]] = {head: [] for head in heads}
        for source in held:
            changed = restained(source, change)
            for name, segmenter in segmenters.items():
                scores = score(changed, segmenter)
                rows[f"{source.kind}, {name}"].append((scores.f1, scores.recall))
        means = [np.mean(row, axis=0) for row in rows.values()]
        print(
            f"| {stain} | " + " | ".join(f"{f1:.3f} {recall:.3f}" for f1, recall in means) + " |", flush=True
        )


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
    parser.add_argument("--stains", action="store_true", help="F1 and recall under changes of the staining")
    parser.add_argument("--every", type=int, default=1, help="only one image in so many, for --stains")
    options = parser.parse_args()
    segmenters: dict[str, Segmenter] = {
        "`pocket`, float32": PocketSegmenter(options.weights, "cpu", "float32"),
        "`pocket`, bfloat16": PocketSegmenter(options.weights, "cpu", "bfloat16"),
        "`classical`": Classical(),
    }
    masks = (s for s in mask_sources(options.data / "nuclei_train" / "dsb2018_histology") if s.held_out)
    sources: Iterator[Source] = chain(masks, synthetic_sources(SEEDS, held_out=True))
    if options.stains:
        chosen = {"`pocket`": PocketSegmenter(options.weights, "cpu"), "`classical`": Classical()}
        stains(islice(sources, 0, None, options.every), chosen)
        return
    names = [field.name for field in fields(InstanceScores)]
    print("| set | segmenter | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 2) + "|")
    results: dict[tuple[str, str], list[list[float]]] = {}
    typed = np.zeros(2, np.int64)
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
