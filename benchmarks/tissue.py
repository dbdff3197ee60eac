"""Score the tissue mask and its artefacts on synthetic slides, and draw them on real ones.

    python benchmarks/tissue.py --seeds 201 202 203 204 205 206
    python benchmarks/tissue.py --pictures FOLDER --data ../shared/data/qc_tiles [--mpp 0.5]

Scores: Dice of each class over the pixels of the mask (8 µm), truth taken at their middles, on
slides of 4 x 4 mm at 1 µm/px with every kind of artefact. Pictures: each image or slide of a folder
beside its classes. A picture that states no pixel size is looked at without one, unless --mpp gives it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_hwsi import open_slide, slide_from_array
from napari_hwsi.slides import Slide
from napari_hwsi.synthetic import ARTEFACTS as KINDS
from napari_hwsi.synthetic import REGIONS, SlideSpec, SyntheticSlide
from napari_hwsi.synthetic.slide import BLOCK
from napari_hwsi.tissue import ARTEFACTS, CLASSES, TissueMask, tissue_mask

SIDE = 4096
COLOURS = (
    (255, 255, 255),
    (0, 158, 115),
    (0, 60, 255),
    (255, 150, 0),
    (200, 0, 200),
    (0, 200, 220),
    (0, 0, 0),
)
PICTURES = {".png", ".jpg", ".jpeg"}
SLIDES = {".svs", ".tif", ".tiff", ".ndpi"}

Map = NDArray[np.uint8]


def synthetic(seed: int) -> tuple[Map, Map, Map]:
    """Return pixels, regions and artefacts of a slide."""
    made = SyntheticSlide(SlideSpec(seed=seed, shape=(SIDE, SIDE), mpp=1.0, artefacts=KINDS))
    rows = [[made.block(i, j) for j in range(SIDE // BLOCK)] for i in range(SIDE // BLOCK)]
    image, regions, artefacts = (
        np.concatenate([np.concatenate([block[k] for block in row], 1) for row in rows]) for k in range(3)
    )
    return image, regions, artefacts


def scores(mask: TissueMask, regions: Map, artefacts: Map) -> dict[str, float]:
    """Return Dice of tissue and of each artefact, and the share of sound tissue called an artefact."""
    step = [round(d) for d in mask.downsample]
    shape = mask.mask.shape
    place = np.ix_(
        *(np.minimum(np.arange(n) * s + s // 2, SIDE - 1) for n, s in zip(shape, step, strict=True))
    )
    kinds, tissue = artefacts[place], regions[place] != REGIONS.index("glass")
    sound = tissue & (kinds == 0)
    found = {"tissue": _dice(sound, mask.mask)}
    for number, name in enumerate(ARTEFACTS, 1):
        found[name] = _dice(kinds == KINDS.index(name) + 1, mask.artefacts == number)
    return found | {"false": float((mask.artefacts[sound] > 0).mean())}


def _dice(true: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    return 2 * float((true & found).sum()) / max(float(true.sum() + found.sum()), 1.0)


def score(seeds: list[int]) -> None:
    """Print a table in Markdown: a row a slide, and their mean."""
    names = ["tissue", *ARTEFACTS, "false", "seconds"]
    print("| seed | " + " | ".join([*names[:-2], "sound tissue called artefact", "seconds"]) + " |")
    print("|---" * (len(names) + 1) + "|")
    rows = []
    for seed in seeds:
        image, regions, artefacts = synthetic(seed)
        slide = slide_from_array(image, mpp=1.0)
        started = time.perf_counter()
        mask = tissue_mask(slide)
        took = time.perf_counter() - started
        found = scores(mask, regions, artefacts) | {"seconds": took}
        rows.append([found[name] for name in names])
        print(f"| {seed} | " + " | ".join(f"{value:.3f}" for value in rows[-1]) + " |", flush=True)
    print("| **mean** | " + " | ".join(f"**{value:.3f}**" for value in np.mean(rows, 0)) + " |")


def picture(slide: Slide, mask: TissueMask) -> Image.Image:
    """Return a slide beside its classes, with a legend."""
    height, width = mask.mask.shape
    factor = max(1, 400 // max(height, width))
    size = width * factor, height * factor
    plain = Image.fromarray(slide.thumbnail(max(size))).resize(size)
    classes = mask.classes.repeat(factor, 0).repeat(factor, 1)
    shown = np.asarray(plain, np.float32).copy()
    for number in range(1, len(CLASSES)):
        where = classes == number
        share = 0.25 if CLASSES[number] == "tissue" else 0.65
        shown[where] = (1 - share) * shown[where] + share * np.array(COLOURS[number])
    room = 22
    sheet = Image.new("RGB", (max(2 * size[0] + 4, 560), size[1] + room), "white")
    sheet.paste(plain, (0, 0))
    sheet.paste(Image.fromarray(shown.astype(np.uint8)), (size[0] + 4, 0))
    pen = ImageDraw.Draw(sheet)
    for number, name in enumerate(CLASSES):
        left = 4 + number * 79
        pen.rectangle((left, size[1] + 6, left + 10, size[1] + 16), COLOURS[number], "black")
        pen.text((left + 14, size[1] + 5), name.removesuffix(" edge"), "black")
    return sheet


def draw(folder: Path, data: Path, mpp: float | None) -> None:
    """Write a picture of every image and slide below ``data``."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(p for p in data.rglob("*") if p.suffix.lower() in PICTURES | SLIDES):
        if path.suffix.lower() in PICTURES:
            slide = slide_from_array(np.asarray(Image.open(path).convert("RGB")), mpp, path.name)
        else:
            slide = open_slide(path)
        with slide:
            started = time.perf_counter()
            mask = tissue_mask(slide)
            took = time.perf_counter() - started
            picture(slide, mask).save(folder / f"{path.stem}.png")
        shares = np.bincount(mask.classes.ravel(), minlength=len(CLASSES)) / mask.mask.size
        seen = ", ".join(f"{n} {100 * s:.1f} %" for n, s in zip(CLASSES, shares, strict=True) if s)
        print(f"{path.name}: {seen}; {took:.2f} s")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--pictures", type=Path, help="folder to write pictures to")
    parser.add_argument("--data", type=Path, help="folder of images and slides")
    parser.add_argument("--mpp", type=float, help="µm per pixel of the images")
    options = parser.parse_args()
    if options.pictures and not options.data:
        parser.error("--pictures needs --data, the folder of what is to be drawn")
    if options.seeds:
        score(options.seeds)
    if options.pictures:
        draw(options.pictures, options.data, options.mpp)


if __name__ == "__main__":
    main()
