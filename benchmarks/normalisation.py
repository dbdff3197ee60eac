"""Do vectors cluster by slide, and does stain normalisation help? One tissue, several stains and scanners.

    python benchmarks/normalisation.py

Purity: share of a patch's five nearest neighbours (cosine) that come from its own slide; by chance it is
(patches a slide − 1) / (all patches − 1). Found again: share of patches whose nearest neighbour on another
slide is the same place of the tissue. Vectors are those of the pocket descriptor.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from napari_hwsi.encoders import DescriptorEncoder
from napari_hwsi.slides import slide_from_array
from napari_hwsi.synthetic import Scanner, SlideSpec, Stain, SyntheticSlide
from napari_hwsi.tissue import NORMALISERS, fit_normaliser, tissue_mask

NEIGHBOURS = 5
SCANNERS = (
    Scanner(),
    Scanner(white=(232, 236, 238)),
    Scanner(white=(248, 244, 236)),
    Scanner(blur_um=0.45, grain=1.5),
)


def slides(side: int, seed: int) -> list[NDArray[np.uint8]]:
    """Return pictures of one tissue (side, side, 3) at 0.5 µm/px, each stained and scanned otherwise."""
    made = []
    for i, scanner in enumerate(SCANNERS):
        spec = SlideSpec(seed, (side, side), stain=Stain.of_seed(100 + i), scanner=scanner)
        made.append(SyntheticSlide(spec).read((0, 0), (side, side)))
    return made


def patches(image: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return (N, 256, 256, 3) at (N, 2) top left corners."""
    return np.stack([image[y : y + 256, x : x + 256] for y, x in places])


def scores(vectors: NDArray[np.float32], count: int) -> tuple[float, float]:
    """Return purity and how many are found again, of vectors (slides * count, W), places in one order."""
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    slide, place = np.divmod(np.arange(len(vectors)), count)
    nearest = np.argsort(-cosine, 1)[:, :NEIGHBOURS]
    purity = float((slide[nearest] == slide[:, None]).mean())
    other = np.where(slide[:, None] == slide, -np.inf, cosine).argmax(1)
    return purity, float((place[other] == place).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=2560)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    images = slides(options.side, options.seed)
    opened = [slide_from_array(image, mpp=0.5, name=str(i)) for i, image in enumerate(images)]
    tissues = [tissue_mask(slide) for slide in opened]
    corners = np.stack(np.meshgrid(*[np.arange(0, options.side - 255, 256)] * 2, indexing="ij"), -1).reshape(
        -1, 2
    )
    covered = [
        all(tissue.coverage((int(y), int(x), int(y) + 256, int(x) + 256)) > 0.5 for tissue in tissues)
        for y, x in corners
    ]
    places, encoder = corners[covered], DescriptorEncoder()
    chance = (len(places) - 1) / (len(images) * len(places) - 1)
    print(f"{len(images)} slides of {len(places)} patches; purity by chance {chance:.3f}\n")
    print("| colours | purity by slide | found again |\n|---|---|---|")
    for name in (None, *NORMALISERS):
        vectors = []
        for image, slide, tissue in zip(images, opened, tissues, strict=True):
            cut = patches(image, places)
            vectors.append(encoder.encode(cut if name is None else fit_normaliser(name, slide, tissue)(cut)))
        purity, again = scores(np.concatenate(vectors), len(places))
        print(f"| {name or 'as they are'} | {purity:.3f} | {again:.3f} |")


if __name__ == "__main__":
    main()
