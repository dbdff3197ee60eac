"""What does a two-step filter save, and does it keep the same patches? Real H&E slides and a synthetic one.

    python benchmarks/two_steps.py --parity ../shared/parity --data ../shared/data/wsi --encoder conch
    python benchmarks/two_steps.py --parity ../shared/parity --data ../shared/data/wsi --encoder hipt
    python benchmarks/two_steps.py --data ../shared/data/wsi --encoder pocket

The expensive encoder has the architecture of CONCH, or of HIPT's ViT-256, and seeded weights, in bfloat16:
trained ones are not to be had here, so this shows the cost and the mechanism, and how far two unrelated
encoders agree on which patches differ. The network of the pocket encoder, without the descriptor that its
vectors hold too, is small but trained. Agreement: share of the patches kept by the full filter that the two
steps keep too; beside it the same where as many survivors are drawn at random (mean of twenty draws). The
filter is used without a text, so that the first patch it picks stands in for one. Seconds are a patch's, with
whatever else the machine did.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_hwsi import encoders
from napari_hwsi.encoders import DescriptorEncoder
from napari_hwsi.encoders.pocket import load_pocket
from napari_hwsi.hierarchy.filter import filter_release
from napari_hwsi.hierarchy.first_step import FirstStep
from napari_hwsi.hierarchy.plan import MIN_ON_SLIDE, MIN_TISSUE
from napari_hwsi.slides import Slide, open_slide, slide_from_array, stream_patches
from napari_hwsi.synthetic import SlideSpec, SyntheticSlide
from napari_hwsi.tissue import PATCH_PX, region_grid, tissue_mask

LAYOUTS = {"conch": "conch", "hipt": "hipt_vit256"}
SURVIVORS = (32, 64, 128)
DRAWS = 20
REAL = {
    "CMU-1-Small-Region.svs": None,
    "TCGA-CR-7395-01A-01-TS1.svs": 0.25,  # states none
    "HE_example_instanseg.ome.tif": None,
}


def costly_encoder(name: str, parity: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Return what encodes images: the image tower of a published encoder with seeded weights, or pocket's."""
    if name == "pocket":
        return load_pocket().encode_network
    spec = spec_from_file_location("seeded_weights", parity / "seeded_weights.py")
    seeded = module_from_spec(spec)
    spec.loader.exec_module(seeded)
    layouts = json.loads((parity / "layouts.json").read_text())
    layout = layouts["layouts"][LAYOUTS[name]]
    if name == "conch":  # without its text tower
        layout = {key: shape for key, shape in layout.items() if key.startswith("visual.")}
    state = seeded.seeded_state_dict(layout, layouts["seed"])
    tensors = {key: torch.as_tensor(value) for key, value in state.items()}
    return encoders.load(name, tensors, precision="bfloat16", batch=8).encode


def patches(slide: Slide) -> NDArray[np.uint8]:
    """Return the patches of the first region that take part in the filter."""
    grid, tissue = region_grid(slide), tissue_mask(slide)
    boxes = grid.patch_boxes(0)
    share = np.array([tissue.coverage(tuple(map(int, box))) for box in boxes])
    valid = (grid.on_slide(0) >= MIN_ON_SLIDE) & (share >= MIN_TISSUE)
    origins = boxes[valid, :2]
    images = np.empty((len(origins), PATCH_PX, PATCH_PX, 3), np.uint8)
    for batch in stream_patches(slide, origins, grid.mpp):
        images[batch.indices] = batch.images
    return images


def agreement(full: set[int], vectors: NDArray[np.float32], passes: NDArray[np.bool_]) -> float:
    """Return the share of what the full filter keeps that is kept of those that pass."""
    return len(full & {*filter_release(vectors, valid=passes).tolist()}) / len(full)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parity", type=Path, default=Path(), help="folder of the seeded weights")
    parser.add_argument("--data", type=Path, required=True, help="folder of the real slides")
    parser.add_argument("--encoder", choices=[*LAYOUTS, "pocket"], default="conch")
    options = parser.parse_args()
    image = SyntheticSlide(SlideSpec(7, (4096, 4096))).read((0, 0), (4096, 4096))
    slides = [open_slide(options.data / name, mpp=mpp) for name, mpp in REAL.items()]
    slides.append(slide_from_array(image, mpp=0.5, name="synthetic, one region"))
    costly, cheap = costly_encoder(options.encoder, options.parity), DescriptorEncoder()
    rng = np.random.default_rng(0)
    print(
        f"| slide | patches | s a patch, descriptor | s a patch, {options.encoder} | survivors "
        "| never encoded | time saved | agreement | at random |\n|" + "---|" * 9
    )
    for slide in slides:
        images = patches(slide)
        start = time.perf_counter()
        first = cheap.encode(images)
        between = time.perf_counter()
        vectors = np.concatenate([costly(images[i : i + 8]) for i in range(0, len(images), 8)])
        seconds = np.array([between - start, time.perf_counter() - between]) / len(images)
        everything = np.ones(len(images), bool)
        full = {*filter_release(vectors).tolist()}
        for count in SURVIVORS:
            if count >= len(images):
                continue
            passes = FirstStep(count).passing(first, everything)
            drawn = []
            for _ in range(DRAWS):
                random = np.zeros(len(images), bool)
                random[rng.choice(len(images), count, replace=False)] = True
                drawn.append(agreement(full, vectors, random))
            spared = 1 - count / len(images)
            saved = 1 - (seconds[0] + (1 - spared) * seconds[1]) / seconds[1]
            same = agreement(full, vectors, passes)
            print(
                f"| {slide.name} | {len(images)} | {seconds[0]:.3f} | {seconds[1]:.3f} | {count} "
                f"| {spared:.2f} | {saved:.2f} | {same:.2f} | {np.mean(drawn):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
