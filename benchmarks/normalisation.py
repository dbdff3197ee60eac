"""Do vectors cluster by slide, and does stain normalisation help?

    python benchmarks/normalisation.py                               # one tissue, several stains and scanners
    python benchmarks/normalisation.py --data ../shared/data/wsi     # three real H&E slides

Purity: share of a patch's five nearest neighbours (cosine) that come from its own slide; by chance it is
(patches a slide − 1) / (all patches − 1). Explained: share of the variance of the vectors that lies between
slides. Found again, on synthetic slides: share of patches whose nearest neighbour on another slide is the
same place of the tissue. Vectors are those of the pocket descriptor.

The real slides are of different tissues, so their vectors differ by more than stain and scanner, and a
normalisation that did nothing but good would not bring purity to chance there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_hwsi.encoders import DescriptorEncoder
from napari_hwsi.slides import Slide, open_slide, slide_from_array
from napari_hwsi.synthetic import Scanner, SlideSpec, Stain, SyntheticSlide
from napari_hwsi.tissue import NORMALISERS, TissueMask, fit_normaliser, region_grid, tissue_mask

NEIGHBOURS = 5
SCANNERS = (
    Scanner(),
    Scanner(white=(232, 236, 238)),
    Scanner(white=(248, 244, 236)),
    Scanner(blur_um=0.45, grain=1.5),
)
REAL = {
    "CMU-1-Small-Region.svs": None,
    "TCGA-CR-7395-01A-01-TS1.svs": 0.25,  # states none; its nuclei are of the size of 40x
    "HE_example_instanseg.ome.tif": None,
}


def made(side: int, seed: int) -> list[Slide]:
    """Return slides of one tissue, side px at 0.5 µm/px, each stained and scanned otherwise."""
    slides = []
    for i, scanner in enumerate(SCANNERS):
        spec = SlideSpec(seed, (side, side), stain=Stain.of_seed(100 + i), scanner=scanner)
        image = SyntheticSlide(spec).read((0, 0), (side, side))
        slides.append(slide_from_array(image, mpp=0.5, name=str(i)))
    return slides


def covered(slide: Slide, tissue: TissueMask) -> NDArray[np.int64]:
    """Return the corners (N, 2) of the grid's patches that are half tissue and wholly on the slide."""
    grid = region_grid(slide)
    boxes = np.concatenate([grid.patch_boxes(region) for region in range(len(grid))])
    boxes = boxes[(boxes[:, 2:] <= slide.shape).all(1)]
    share = np.array([tissue.coverage(tuple(map(int, box))) for box in boxes])
    return boxes[share > 0.5, :2]


def purity(vectors: NDArray[np.float32], slide: NDArray[np.int64]) -> float:
    """Return the share of neighbours from the same slide. vectors: (N, W); slide: (N,)."""
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, 1)[:, :NEIGHBOURS]
    return float((slide[nearest] == slide[:, None]).mean())


def explained(vectors: NDArray[np.float32], slide: NDArray[np.int64]) -> float:
    """Return the share of the variance that lies between slides."""
    means = np.stack([vectors[slide == i].mean(0) for i in np.unique(slide)])
    sizes = np.bincount(slide)
    between = (sizes * ((means - vectors.mean(0)) ** 2).sum(1)).sum()
    return float(between / ((vectors - vectors.mean(0)) ** 2).sum())


def found_again(vectors: NDArray[np.float32], slide: NDArray[np.int64]) -> float:
    """Return how many patches find their own place on another slide, where all have places in one order."""
    place = np.arange(len(vectors)) % np.bincount(slide)[0]
    cosine = np.where(slide[:, None] == slide, -np.inf, vectors @ vectors.T)
    return float((place[cosine.argmax(1)] == place).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the real slides; synthetic ones otherwise")
    parser.add_argument("--side", type=int, default=2560)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    real = options.data is not None
    slides = (
        [open_slide(options.data / name, mpp=mpp) for name, mpp in REAL.items()]
        if real
        else made(options.side, options.seed)
    )
    tissues = [tissue_mask(slide) for slide in slides]
    places = [covered(slide, tissue) for slide, tissue in zip(slides, tissues, strict=True)]
    if real:  # as many of each, evenly spread
        fewest = min(map(len, places))
        places = [each[np.linspace(0, len(each) - 1, fewest).round().astype(int)] for each in places]
    else:  # the same of each
        common = set.intersection(*(set(map(tuple, each.tolist())) for each in places))
        places = [np.array(sorted(common))] * len(slides)
    count, encoder = len(places[0]), DescriptorEncoder()
    slide_of = np.repeat(np.arange(len(slides)), count)
    chance = (count - 1) / (len(slide_of) - 1)
    print(f"{len(slides)} slides of {count} patches; purity by chance {chance:.3f}\n")
    again = "" if real else " found again |"
    print(f"| colours | purity by slide | explained |{again}\n|---|---|---|{'' if real else '---|'}")
    cut = [
        np.stack([slide.read(place, (256, 256), 0.5) for place in each])
        for slide, each in zip(slides, places, strict=True)
    ]
    for name in (None, *NORMALISERS):
        fitted = [
            None if name is None else fit_normaliser(name, slide, tissue)
            for slide, tissue in zip(slides, tissues, strict=True)
        ]
        images = [each if fit is None else fit(each) for fit, each in zip(fitted, cut, strict=True)]
        vectors = np.concatenate([encoder.encode(each) for each in images])
        last = "" if real else f" {found_again(vectors, slide_of):.3f} |"
        values = f"{purity(vectors, slide_of):.3f} | {explained(vectors, slide_of):.3f}"
        print(f"| {name or 'as they are'} | {values} |{last}")


if __name__ == "__main__":
    main()
