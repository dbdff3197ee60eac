"""Do vectors of patches tell tissues apart that nobody taught them? k nearest neighbours, image by image.

    python benchmarks/encoders.py ../shared/data

Osteosarcoma: 60 labelled images of three classes (TCIA, CC BY 3.0), 1024 x 1024 px at 10x, taken as 1 µm/px;
an image is the mean of the vectors of its patches of 128 µm. Each is classified by its five nearest (cosine)
among all other images, and among the images of other cases alone. Synthetic: patches of one tissue (50 % or
more) of slides of unseen seeds, each of its own stain and scanner, classified by the five nearest of other
slides; 'far' stains and scanners lie outside what the recipes draw. Balanced accuracy; 95 % intervals and
the interval of the difference to ``pocket`` by bootstrap over images (over slides for synthetic ones).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_hwsi.encoders import DescriptorEncoder, load, unit
from napari_hwsi.encoders.pocket import PocketEncoder
from napari_hwsi.encoders.pocket_network import PatchNetwork
from napari_hwsi.metrics import balanced_accuracy, bootstrap
from napari_hwsi.synthetic import REGIONS, Scanner, SlideSpec, Stain, SyntheticSlide
from napari_hwsi.training.scenes import synthetic_slide, varied_places

NEIGHBOURS = 5
PATCH = 256
DRAWS = 2000
FEWEST = 8  # patches of a tissue; rarer ones are left out

Encode = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


@dataclass(frozen=True)
class Labelled:
    """Things to classify: of each its patches (P, 256, 256, 3) at 0.5 µm/px, its class, and its group."""

    name: str
    patches: Sequence[NDArray[np.uint8]]
    classes: NDArray[np.str_]
    groups: NDArray[np.str_]


def osteosarcoma(folder: Path) -> Labelled:
    """Return the images as 64 patches each; the group is the case."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    patches = []
    for row in rows:
        image = Image.open(folder / row["file"]).convert("RGB")
        pixels = np.asarray(image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC))
        blocks = pixels.reshape(image.height * 2 // PATCH, PATCH, image.width * 2 // PATCH, PATCH, 3)
        patches.append(blocks.swapaxes(1, 2).reshape(-1, PATCH, PATCH, 3))
    cases = [_case(Path(row["file"]).stem.split("___")[1]) for row in rows]
    return Labelled("osteosarcoma", patches, np.array([row["label"] for row in rows]), np.array(cases))


def _case(name: str) -> str:
    parts = name.split("-")
    return "-".join(parts[:2]) if parts[0] == "Case" else parts[0]


def synthetic(seeds: Sequence[int], far: bool = False) -> Labelled:
    """Return patches of one tissue each; the group is the slide."""
    patches, classes, groups = [], [], []
    for seed in seeds:
        slide = _far(seed) if far else synthetic_slide(seed, 0.5)
        for y, x in varied_places(slide, 6):
            pixels, regions = slide.read((y, x), (512, 512)), slide.truth((y, x, y + 512, x + 512)).regions
            for v in (0, PATCH):
                for u in (0, PATCH):
                    cut = slice(v, v + PATCH), slice(u, u + PATCH)
                    shares = np.bincount(regions[cut].ravel(), minlength=len(REGIONS)) / PATCH**2
                    kind = int(shares[1:].argmax()) + 1
                    if shares[kind] >= 0.5:
                        patches.append(pixels[cut][None])
                        classes.append(REGIONS[kind])
                        groups.append(str(seed))
    named, counts = np.unique(classes, return_counts=True)
    kept = [i for i, kind in enumerate(classes) if kind in named[counts >= FEWEST]]
    name = "synthetic, far stains" if far else "synthetic"
    chosen = [patches[i] for i in kept]
    return Labelled(name, chosen, np.array(classes)[kept], np.array(groups)[kept])


def _far(seed: int) -> SyntheticSlide:
    """Return a slide with a stain and a scanner beyond what is drawn otherwise."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-1, 1, 4)
    stain = Stain(
        haematoxylin=(0.74 + 0.18 * turn[0], 0.95 - 0.2 * turn[0], 0.41 + 0.12 * turn[1]),
        eosin=(0.17 + 0.08 * turn[1], 0.88, 0.36 + 0.2 * turn[2]),
        strength=(float(1.1 * 2 ** (0.6 * turn[2])), float(2 ** (0.7 * turn[3]))),
    )
    white = tuple(float(v) for v in rng.uniform(205, 254, 3))
    scanner = Scanner(0.7, 1.3, 3.5, (white[0], white[1], white[2]))
    return SyntheticSlide(SlideSpec(seed, (4096, 4096), 0.5, stain=stain, scanner=scanner))


def predictions(
    vectors: NDArray[np.floating], classes: NDArray[np.str_], groups: NDArray[np.str_]
) -> NDArray[np.str_]:
    """Return the class of each by its nearest neighbours of other groups, the votes weighed by cosine."""
    cosine = unit(vectors) @ unit(vectors).T
    cosine[groups[:, None] == groups[None]] = -np.inf
    names = np.unique(classes)
    nearest = np.argsort(-cosine, 1, kind="stable")[:, :NEIGHBOURS]
    weights = np.maximum(np.take_along_axis(cosine, nearest, 1) + 1, 0)
    votes = np.stack([(weights * (classes[nearest] == name)).sum(1) for name in names], 1)
    return names[votes.argmax(1)]


def histogram(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return square roots of the shares of 8 x 8 x 8 colours, (N, 512)."""
    bins = (images >> 5).astype(int) @ (64, 8, 1)
    return np.sqrt([np.bincount(one.ravel(), minlength=512) / one.size for one in bins])


def encoders() -> dict[str, Encode]:
    """Return what is compared, ``pocket`` first."""
    import torch

    pocket = load("pocket", device="cpu")
    torch.manual_seed(0)
    untrained = PocketEncoder(PatchNetwork().eval(), "cpu")
    return {
        "`pocket`": pocket.encode,
        "its network alone": pocket.encode_network,
        "`descriptor`": DescriptorEncoder().encode,
        "the same network, untrained": untrained.encode_network,
        "colour histogram": histogram,
    }


def table(data: Labelled, among: str, groups: NDArray[np.str_], given: dict[str, Encode]) -> None:
    """Print the rows of one set. groups: nobody is a neighbour of its own."""
    whose = data.groups if data.name.startswith("synthetic") else np.arange(len(data.classes))
    said: dict[str, NDArray[np.str_]] = {}
    for name, encode in given.items():
        started = time.process_time()
        vectors = np.stack([unit(encode(patches)).mean(0) for patches in data.patches])
        each = 1e3 * (time.process_time() - started) / sum(len(patches) for patches in data.patches)
        said[name] = predictions(vectors, data.classes, groups)

        def score(rows: NDArray[np.int64], name: str = name) -> float:
            return balanced_accuracy(data.classes[rows], said[name][rows])

        def lead(rows: NDArray[np.int64], name: str = name) -> float:
            return score(rows, "`pocket`") - score(rows, name)

        own, ahead = (bootstrap(one, list(whose), DRAWS) for one in (score, lead))
        leads = "" if name == "`pocket`" else f"{ahead.score:+.3f} ({ahead.low:+.3f} to {ahead.high:+.3f})"
        print(
            f"| {data.name} ({len(data.classes)}) | {among} | {name} | {own.score:.3f} "
            f"| {own.low:.3f} to {own.high:.3f} | {leads} | {each:.1f} |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, nargs=2, default=(9300, 9318))
    parser.add_argument("--only", choices=("osteosarcoma", "synthetic"))
    options = parser.parse_args()
    given = encoders()
    print(
        "| set | neighbours among | vectors | balanced accuracy | 95 % | `pocket` leads by | CPU ms a patch |"
    )
    print("|---|---|---|---|---|---|---|")
    if options.only != "osteosarcoma":
        for far in (False, True):
            patches = synthetic(range(*options.seeds), far)
            table(patches, "other slides", patches.groups, given)
    if options.only != "synthetic":
        images = osteosarcoma(options.data / "patches" / "osteosarcoma_tcia")
        table(images, "other images", np.arange(len(images.classes)).astype(str), given)
        table(images, "other cases", images.groups, given)


if __name__ == "__main__":
    main()
