"""What segmenters cost per mm² of tissue, side by side in one run on this machine.

python benchmarks/segmenters.py [--mm2 1] [--minutes 6] [--cellvit FILE] [--parity FOLDER] \\
    [--cellpose-python INTERPRETER]               # segmenters, slide to table
python benchmarks/segmenters.py --cells 1000000   # joining a million nuclei, the pocket network in memory
python benchmarks/segmenters.py --post            # CellViT: all nuclei at once

Networks without weights here run with random ones: they find nothing worth having, at the same cost. Cellpose
may live in an environment of its own; what does not fit into --minutes is left out, and the table says so.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_hwsi.cells import Cells, find_segmenter, resolve_seams, segment_cells
from napari_hwsi.cells.cellvit import CellViTMaps, CellViTSegmenter, finish
from napari_hwsi.cells.contours import Contours
from napari_hwsi.cells.morphology import measure_stains
from napari_hwsi.cells.pocket import PocketSegmenter
from napari_hwsi.cells.segmenter import Segmenter
from napari_hwsi.cells.tiles import cells_of, read_tile, tiles_of
from napari_hwsi.cells.workers import spare_workers
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.synthetic import SlideSpec, SyntheticSlide
from napari_hwsi.tissue import TissueMask
from napari_hwsi.units import Box

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


def cellpose_network() -> None:
    """Print the seconds that Cellpose 4's network takes for one image of 256 px, random weights, twice each.

    Runs in the interpreter that has Cellpose.
    """
    import torch

    from napari_hwsi.encoders.operators import mend_torchvision

    mend_torchvision()
    from cellpose import vit

    for precision in (torch.bfloat16, torch.float32):
        network = vit.CPSAM(dtype=precision).to(precision).eval()
        image = torch.zeros(1, 3, 256, 256, dtype=precision)
        for _ in range(2):
            start = time.perf_counter()
            with torch.inference_mode():
                network(image)
            took = time.perf_counter() - start
            print(str(precision).removeprefix("torch."), took, flush=True)


def cellpose_seconds(python: str, side: int, limit: float) -> tuple[float, str]:
    """Return the seconds of Cellpose 4's network on a square image, and a few words: the faster precision.

    limit: seconds after which no more images are tried. NaN where not one was done.
    """
    command = [python, __file__, "--cellpose-network"]
    source = Path(__file__).parents[1] / "src"
    environment = os.environ | {"PYTHONPATH": str(source)}
    try:
        ran = subprocess.run(command, env=environment, capture_output=True, timeout=limit)
        said, why = ran.stdout, "ended well" if ran.returncode == 0 else ran.stderr.decode().splitlines()[-1]
    except subprocess.TimeoutExpired as error:
        said, why = error.stdout or b"", "no time left"
    times = [(float(took), precision) for precision, took in map(str.split, said.decode().splitlines())]
    if not times:
        return float("nan"), why
    tiles = (-(-side // 230)) ** 2  # 256 px with a tenth of overlap
    took, precision = min(times)
    return tiles * took, precision


def shares(slide: Slide, box: Box, segmenter: Segmenter) -> tuple[float, ...]:
    """Return the seconds of the first tile of a box: reading, network, maps to nuclei, measuring.

    Of a segmenter without a network the second is 0.
    """
    tile = tiles_of(slide, box, segmenter)[0]
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
    finished = time.perf_counter()
    cells_of(pixels, found, segmenter.type_names)
    return read - start, predicted - read, finished - predicted, time.perf_counter() - finished


def segment(options: argparse.Namespace) -> None:
    started = time.perf_counter()
    left = lambda: 60 * options.minutes - (time.perf_counter() - started)  # noqa: E731
    slide, tissue = piece(options.mm2)
    load = os.getloadavg()[0]
    print(f"{options.mm2} mm² of synthetic tissue, {os.cpu_count()} cores, load {load:.1f} at the start\n")
    print(
        "| segmenter | s/mm² | times `pocket` | nuclei | read, network, nuclei, measure, s | nuclei, of all |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    classical = find_segmenter("classical")
    cellvit = (
        find_segmenter(f"cellvit:{options.cellvit}") if options.cellvit else seeded_cellvit(options.parity)
    )
    rows: list[tuple[str, Any, int | None, float]] = [
        ("`pocket`", find_segmenter("pocket"), None, options.mm2),
        ("`classical`, one process", classical, 0, options.mm2),
        (f"`classical`, {spare_workers()} workers", classical, spare_workers(), options.mm2),
    ]
    if cellvit is not None:
        rows.append(("`cellvit`", cellvit, None, min(options.mm2, 0.02)))
    pocket = float("nan")
    for name, segmenter, workers, mm2 in rows:
        if left() <= 0:
            print(f"| {name} | no time left | | | | |", flush=True)
            continue
        side = round((mm2 * 1e6) ** 0.5 / 0.5)
        box = (0, 0, side, side)
        start = time.perf_counter()
        found = segment_cells(slide, box, segmenter=segmenter, workers=workers, tissue=tissue)
        took = (time.perf_counter() - start) / mm2
        pocket = took if name == "`pocket`" else pocket
        fitted = segmenter.fit(slide, tissue)
        parts = shares(slide, box, fitted)
        said = ", ".join(f"{part:.2f}" for part in parts)
        post = parts[2] * len(tiles_of(slide, box, fitted)) / (took * mm2)
        row = f"{took:.2f} | {took / pocket:.1f} | {len(found)} | {said} | {post:.0%}"
        print(f"| {name} | {row} |", flush=True)
    took, words = cellpose_seconds(options.cellpose_python, round(1000 / 0.5), max(left(), 1))
    if took > 0:
        print(f"| Cellpose 4's network alone, random, {words} | {took:.0f} | {took / pocket:.0f} | | | |")
    else:
        print(f"| Cellpose 4's network alone | {words} | | | | |")


def join(count: int) -> None:
    """Join tiles of so many octagons, settle their seams and measure neighbours, as after a whole slide.

    The pocket network is loaded and has just seen a tile, as it has then.
    """
    per_tile, side = 2000, 1024
    network = PocketSegmenter()
    network.segment(SyntheticSlide(SlideSpec(seed=1)).read(ORIGIN, (1152, 1152)), (0.5, 0.5))
    loaded = peak_gib()
    columns = int(np.ceil((count / per_tile) ** 0.5))
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = 10 * np.stack([np.sin(angle), np.cos(angle)], 1)
    stains = measure_stains(np.zeros((1, 1), np.int32), np.zeros((1, 1, 3), np.uint8)).columns
    parts, boxes = [], []
    while sum(map(len, parts)) < count:
        y, x = (side * part for part in divmod(len(parts), columns))
        places = rng.uniform((y, x), (y + side, x + side), (per_tile, 2))
        vertices = (places[:, None] + ring).reshape(-1, 2).astype(np.float32)
        offsets = np.arange(per_tile + 1, dtype=np.int64) * len(ring)
        measured = pd.DataFrame(rng.random((per_tile, len(stains)), np.float32), columns=stains)
        parts.append(Cells.of(Contours(vertices, offsets), mpp=0.25, measurements=measured))
        boxes.append((y, x, y + side, x + side))
    before = peak_gib()
    start = time.perf_counter()
    owners = np.repeat(np.arange(len(parts)), list(map(len, parts)))
    joined = Cells.concatenate(parts)
    parts.clear()
    between = time.perf_counter()
    kept = resolve_seams(joined, owners, boxes)
    doubles, all_of_them = len(joined) - len(kept), len(joined)
    del joined
    settled = time.perf_counter()
    kept.with_neighbours((0, 0, side * columns, side * columns), None)
    end = time.perf_counter()
    print(f"{all_of_them} nuclei in {len(boxes)} tiles: joined in {between - start:.1f} s, seams settled in")
    print(f"{settled - between:.1f} s, {doubles} doubles, neighbours measured in {end - settled:.1f} s.")
    print(
        f"Peak memory {peak_gib():.2f} GiB; {before:.2f} GiB with all tiles, {loaded:.2f} with the network."
    )


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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
    parser.add_argument("--minutes", type=float, default=6, help="no segmenter is begun later")
    parser.add_argument("--cellpose-python", default=sys.executable, help="an interpreter with Cellpose 4")
    parser.add_argument("--cellpose-network", action="store_true", help=argparse.SUPPRESS)
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
    if options.cellpose_network:
        cellpose_network()
    elif options.cells:
        join(options.cells)
    elif options.post:
        post()
    else:
        segment(options)


if __name__ == "__main__":
    main()
