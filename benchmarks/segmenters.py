"""What segmenters cost per mm² of tissue, side by side in one run on this machine.

python benchmarks/segmenters.py [--mm2 1] [--cellvit FILE] [--parity FOLDER]   # segmenters, slide to table
python benchmarks/segmenters.py --cells 1000000                                # joining a million nuclei
python benchmarks/segmenters.py --post                                         # CellViT: all nuclei at once

Networks without weights here run with random ones: they find nothing worth having, at the same cost.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_hwsi.cells import Cells, find_segmenter, resolve_seams, segment_cells
from napari_hwsi.cells.cellvit import CellViTMaps, CellViTSegmenter, finish
from napari_hwsi.cells.contours import Contours
from napari_hwsi.cells.segmenter import Segmenter, segmenters
from napari_hwsi.cells.tiles import cells_of, read_tile, tiles_of
from napari_hwsi.cells.workers import spare_workers
from napari_hwsi.errors import HwsiError
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.synthetic import SlideSpec, SyntheticSlide
from napari_hwsi.tissue import TissueMask

ORIGIN = (2048, 2048)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def piece(mm2: float) -> tuple[Slide, TissueMask]:
    """Return a square of synthetic tissue at 0.5 µm/px, all of it to be visited."""
    side = round((mm2 * 1e6) ** 0.5 / 0.5)
    rgb = SyntheticSlide(SlideSpec(seed=1)).read(ORIGIN, (side, side))
    return slide_from_array(rgb, mpp=0.5), TissueMask(np.ones((1, 1), bool), (side, side))


def seeded_cellvit(parity: Path) -> CellViTSegmenter | None:
    """Return CellViT-256 with seeded weights in the published layout, where the layout is at hand."""
    import json
    from importlib.util import module_from_spec, spec_from_file_location

    if not parity.is_dir():
        return None
    spec = spec_from_file_location("seeded_weights", parity / "seeded_weights.py")
    assert spec is not None
    assert spec.loader is not None
    seeded = module_from_spec(spec)
    spec.loader.exec_module(seeded)
    layouts = json.loads((parity / "layouts.json").read_text())
    state = seeded.seeded_state_dict(layouts["layouts"]["cellvit256"], layouts["seed"])
    return CellViTSegmenter(state, mpp=0.25)


def cellpose_network_seconds(side: int) -> float | None:
    """Return the time of Cellpose 4's network, random weights, on a square image; None without Cellpose."""
    with suppress(ImportError):
        import torch

        from napari_hwsi.encoders.operators import mend_torchvision

        mend_torchvision()
        from cellpose import vit

        network = vit.CPSAM().eval()
        tiles = (-(-side // 230)) ** 2  # 256 px with a tenth of overlap
        with torch.inference_mode():
            one = seconds(lambda: network(torch.zeros(1, 3, 256, 256)))
            return tiles * min(one, seconds(lambda: network(torch.zeros(1, 3, 256, 256))))
    return None


def shares(slide: Slide, segmenter: Segmenter) -> tuple[float, float, float]:
    """Return the seconds of one tile: reading, network, post-processing and measuring."""
    tile = tiles_of(slide, slide.bounds, segmenter)[0]
    start = time.perf_counter()
    pixels = read_tile(slide, tile, segmenter)
    read = time.perf_counter()
    if hasattr(segmenter, "predict"):
        (maps,) = segmenter.predict([pixels.rgb], pixels.resolution, lambda: None)
        predicted = time.perf_counter()
        found = segmenter.finish(pixels.rgb, maps, pixels.resolution)
    else:
        predicted = read
        found = segmenter.segment(pixels.rgb, pixels.resolution)
    cells_of(pixels, found, segmenter.type_names)
    return read - start, predicted - read, time.perf_counter() - predicted


def segment(options: argparse.Namespace) -> None:
    slide, tissue = piece(options.mm2)
    print(f"{options.mm2} mm² of synthetic tissue, {os.cpu_count()} cores\n")
    print("| segmenter | s/mm² | nuclei | read, network, rest of a tile, s |\n|---|---|---|---|")
    rows: list[tuple[str, Any, int | None, float]] = []
    classical = find_segmenter("classical").fit(slide, tissue)
    rows += [("`classical`, one process", classical, 0, options.mm2)]
    rows += [(f"`classical`, {spare_workers()} workers", classical, spare_workers(), options.mm2)]
    with suppress(HwsiError):
        if "pocket" in segmenters:
            rows.append(("`pocket`", find_segmenter("pocket"), None, options.mm2))
    cellvit = (
        find_segmenter(f"cellvit:{options.cellvit}") if options.cellvit else seeded_cellvit(options.parity)
    )
    if cellvit is not None:
        rows.append(("`cellvit`", cellvit, None, min(options.mm2, 0.05)))
    for name, segmenter, workers, mm2 in rows:
        side = round((mm2 * 1e6) ** 0.5 / 0.5)
        start = time.perf_counter()
        found = segment_cells(slide, (0, 0, side, side), segmenter=segmenter, workers=workers, tissue=tissue)
        took = time.perf_counter() - start
        parts = ", ".join(f"{part:.2f}" for part in shares(slide, segmenter))
        print(f"| {name} | {took / mm2:.2f} | {len(found)} | {parts} |", flush=True)
    took = cellpose_network_seconds(round(1000 / 0.5))
    words = "not installed" if took is None else f"{took:.0f}"
    print(f"| Cellpose 4's network alone, random weights, 0.5 µm/px | {words} | | |")


def join(count: int) -> None:
    """Join tiles of so many octagons and settle their seams, as after a whole slide."""
    per_tile, side = 2000, 1024
    columns = int(np.ceil((count / per_tile) ** 0.5))
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = 10 * np.stack([np.sin(angle), np.cos(angle)], 1)
    parts, boxes = [], []
    while sum(map(len, parts)) < count:
        y, x = (side * part for part in divmod(len(parts), columns))
        places = rng.uniform((y, x), (y + side, x + side), (per_tile, 2))
        vertices = (places[:, None] + ring).reshape(-1, 2).astype(np.float32)
        offsets = np.arange(per_tile + 1, dtype=np.int64) * len(ring)
        parts.append(Cells.of(Contours(vertices, offsets), mpp=0.25))
        boxes.append((y, x, y + side, x + side))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    owners = np.repeat(np.arange(len(parts)), list(map(len, parts)))
    joined = Cells.concatenate(parts)
    parts.clear()
    between = time.perf_counter()
    kept = resolve_seams(joined, owners, boxes)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(joined)} nuclei in {len(boxes)} tiles: joined in {between - start:.1f} s, seams settled in")
    print(f"{end - between:.1f} s, {len(joined) - len(kept)} doubles. Peak memory {peak:.2f} GiB,")
    print(f"{before:.2f} GiB before.")


def post() -> None:
    """CellViT's maps of 1024 px with 2,000 nuclei to nuclei, types and tokens, and by a loop over nuclei."""
    from napari_hwsi.cells.hover import nuclei_of

    rng, side, step = np.random.default_rng(0), 1024, 23
    y, x = np.indices((side, side))
    dy, dx = (np.mod(part, step) - step // 2 for part in (y, x))
    nucleus = dy**2 + dx**2 < 9**2
    distances = (np.stack([dx, dy]) / 9 * nucleus).astype(np.float16)
    kinds = rng.integers(1, 6, (side, side)).astype(np.uint8)
    tokens = rng.standard_normal((384, side // 16, side // 16)).astype(np.float32)
    rgb = np.zeros((side, side, 3), np.uint8)
    maps = CellViTMaps(nucleus, distances, kinds, tokens)
    labels = nuclei_of(nucleus, *distances.astype(np.float32))
    flooding = min(seconds(lambda: nuclei_of(nucleus, *distances.astype(np.float32))) for _ in range(3))
    ours = min(seconds(lambda: finish(rgb, maps, (0.25, 0.25))) for _ in range(3))

    def loop() -> None:
        for number in range(1, labels.max() + 1):
            mask = labels == number
            names, votes = np.unique(kinds[mask], return_counts=True)
            rows, columns = np.nonzero(mask)
            touched = sorted({*zip(rows // 16, columns // 16, strict=True)})
            _ = names[votes.argmax()], np.mean([tokens[:, r, c] for r, c in touched], 0)

    looped = flooding + seconds(loop)
    print(f"{labels.max()} nuclei on {side} x {side} px: all at once {ours:.2f} s, of which {flooding:.2f} s")
    print(f"find the nuclei; with a loop over nuclei for types and tokens {looped:.2f} s,")
    print(f"{looped / ours:.1f} times that.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mm2", type=float, default=1.0)
    parser.add_argument("--cellvit", type=Path, help="weights; seeded ones where none are named")
    parser.add_argument(
        "--parity",
        type=Path,
        default=Path(__file__).parents[2] / "shared" / "parity",
        help="layouts for seeds",
    )
    parser.add_argument("--cells", type=int)
    parser.add_argument("--post", action="store_true")
    options = parser.parse_args()
    if options.cells:
        join(options.cells)
    elif options.post:
        post()
    else:
        segment(options)


if __name__ == "__main__":
    main()
