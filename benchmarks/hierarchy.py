"""How long a result takes to make and to read, side by side with the plain way, in one run on this machine.

python benchmarks/hierarchy.py release [--parity FOLDER] [--patches 3]   # the published stack, seeded weights
python benchmarks/hierarchy.py reading [--cells 1000000] [--patches 100000]
python benchmarks/hierarchy.py pocket [--regions 2] [--whole]   # 15 x 15 mm, half of it tissue
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from large_slide import write_large_slide

import napari_hwsi as hwsi
from napari_hwsi.hierarchy.checksums import put, seal_tree
from napari_hwsi.hierarchy.columns import Columns
from napari_hwsi.hierarchy.store import Store
from napari_hwsi.progress import Step
from napari_hwsi.sample_data import sample_slide
from napari_hwsi.tissue import TissueMask


def best(*ways: Callable[[], object], repeats: int = 9) -> list[float]:
    """Return the shortest of several runs of each way, in seconds; the ways take turns."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for work, taken in zip(ways, times, strict=True):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def processor_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# the published stack


def seeded_home(folder: Path, parity: Path) -> None:
    """Put seeded weights where the registry looks for them; those of CellViT find nuclei everywhere."""
    import torch

    from napari_hwsi.encoders.registry import find

    spec = spec_from_file_location("seeded_weights", parity / "seeded_weights.py")
    assert spec is not None
    assert spec.loader is not None
    seeded = module_from_spec(spec)
    spec.loader.exec_module(seeded)
    layouts = json.loads((parity / "layouts.json").read_text())

    def state(part: str) -> dict[str, Any]:
        values = seeded.seeded_state_dict(layouts["layouts"][part], layouts["seed"])
        return {name: torch.as_tensor(value) for name, value in values.items()}

    everywhere = {"nuclei_binary_map_decoder.decoder0_header.2.bias": torch.tensor([-20.0, 20.0])}
    states = {
        ("conch", 0): {name: value for name, value in state("conch").items() if name.startswith("visual.")},
        ("hipt", 0): state("hipt_vit256"),
        ("hipt-4k", 0): state("hipt_vit4k"),
        ("ccaf", 1): state("ccaf_dinov2_vits14"),
        ("cellvit", 1): state("cellvit256") | everywhere,  # the file for 0.5 µm/px
    }
    for (name, which), tensors in states.items():
        file = folder / "weights" / name / find(name).files[which]
        file.parent.mkdir(parents=True)
        torch.save(tensors, file)
    os.environ["HWSI_HOME"] = str(folder)


@contextmanager
def network_seconds() -> Iterator[list[float]]:
    """Sum up the wall time inside the networks."""
    import torch

    from napari_hwsi.encoders.ccaf import CCAF

    total, depth = [0.0], [0]

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            depth[0] += 1
            start = time.perf_counter()
            try:
                return call(*args, **named)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    total[0] += time.perf_counter() - start

        return run

    before = torch.nn.Module.__call__, CCAF.token_and_attention
    torch.nn.Module.__call__, CCAF.token_and_attention = map(timed, before)
    try:
        yield total
    finally:
        torch.nn.Module.__call__, CCAF.token_and_attention = before


def plain_release(path: Path) -> dict[str, Any]:
    """The stack the obvious way: PIL crops, one tensor a patch, loops over cells."""
    import openslide
    import torch
    from skimage.measure import find_contours, regionprops

    from napari_hwsi import encoders
    from napari_hwsi.cells import CellViTSegmenter
    from napari_hwsi.cells.hover import nuclei_of
    from napari_hwsi.encoders.ccaf import load_fuser
    from napari_hwsi.encoders.region import load_hipt
    from napari_hwsi.encoders.registry import find

    conch, hipt, fuser = encoders.load("conch", device="cpu"), load_hipt("cpu"), load_fuser("cpu")
    cellvit = CellViTSegmenter(find("cellvit").folder, device="cpu")
    start = time.perf_counter()
    with openslide.OpenSlide(path) as slide:
        region = slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")
    across = region.width // 256
    features = np.empty((256, hipt.features), np.float32)
    features[:] = hipt.encode_patches(np.full((1, 256, 256, 3), 255, np.uint8))
    vectors = []
    for i in range(across**2):
        y, x = divmod(i, across)
        crop = np.asarray(region.crop((x * 256, y * 256, x * 256 + 256, y * 256 + 256)))[None]
        vectors.append(conch.encode(crop)[0])
        features[y * 16 + x] = hipt.encode_patches(crop)[0]
    whole = hipt.encode_grid(features.reshape(16, 16, -1))
    rgb = np.asarray(region)
    (maps,) = cellvit.predict([rgb], (0.5, 0.5), lambda: None)
    labels = nuclei_of(maps.nucleus, *maps.distances.astype(np.float32))
    cells: list[list[np.ndarray]] = [[] for _ in vectors]
    for cell in regionprops(labels, rgb):
        mask = labels == cell.label
        np.unique(maps.kinds[mask], return_counts=True)
        find_contours(np.pad(cell.image, 1).astype(float), 0.5)
        _ = cell.area, cell.perimeter, cell.eccentricity, cell.solidity, cell.intensity_mean
        rows, columns = np.nonzero(mask)
        touched = sorted({*zip(rows // 16, columns // 16, strict=True)})
        token = np.mean([maps.tokens[:, r, c] for r, c in touched], 0)
        y, x = cell.centroid
        cells[int(y // 256) * across + int(x // 256)].append(token)
    tokens = []
    for inside in cells:
        stacked = np.array(inside, np.float32).reshape(-1, 384)
        with torch.inference_mode():
            tokens.append(fuser.fuse(stacked, np.array([0, len(stacked)])).tokens[0])
    return {
        "vectors": np.array(vectors),
        "region": whole,
        "tokens": np.array(tokens),
        "cells": labels.max(),
        "seconds": time.perf_counter() - start,
    }


def release(options: argparse.Namespace) -> None:
    import tifffile

    side = options.patches * 256
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeded_home(folder, options.parity)
        with hwsi.open_slide(sample_slide()) as sample:
            middle = [(n - side) // 2 for n in sample.shape]
            pixels = sample.read(middle, (side, side), level=0)
        path = folder / "tissue.svs"
        description = f"Aperio test\r\n{side}x{side}|AppMag = 20|MPP = 0.5"
        tiles = {"tile": (256, 256), "photometric": "rgb", "metadata": None, "description": description}
        tifffile.imwrite(path, pixels, compression="deflate", **tiles)
        tissue = TissueMask(np.ones((1, 1), bool), (float(side), float(side)))
        plain = plain_release(path)
        begun: list[tuple[float, float]] = []  # weights are loaded then

        def note(step: Step) -> None:
            if step.what == "regions" and not begun:
                begun.append((time.perf_counter(), inside[0]))

        with network_seconds() as inside:
            result = hwsi.analyze(
                path,
                folder / "r.hwsi.zarr",
                profile="release",
                phrases=[],
                device="cpu",
                tissue=tissue,
                progress=note,
            )
            ours, theirs = time.perf_counter() - begun[0][0], float(plain["seconds"])
        outside = 1 - (inside[0] - begun[0][1]) / ours
        on_slide = result.patches["on_slide"].to_numpy() >= 0.5
        kept = result.selected_patches
        order = kept["patch"].to_numpy() // 16 * options.patches + kept["patch"].to_numpy() % 16

        def apart(mine: np.ndarray, other: np.ndarray) -> float:
            return float(np.linalg.norm(mine - other) / np.linalg.norm(other))

        print(f"{options.patches**2} patches, {plain['cells']} nuclei ({len(result.cells)} by analyze)\n")
        print("| way | s | ratio | outside the networks |\n|---|---|---|---|")
        print(f"| plain | {theirs:.1f} | 1 | |")
        print(f"| analyze | {ours:.1f} | {theirs / ours:.2f} | {outside:.1%} |")
        apart_by = (
            apart(result.patch_vectors[on_slide], plain["vectors"]),
            apart(result.region_vectors[0], plain["region"]),
            apart(result.cell_tokens, plain["tokens"][order]),
        )
        print("\nApart from the plain way's by {:.1e} (patches), {:.1e} (region),".format(*apart_by[:2]))
        print(f"{apart_by[2]:.1e} (cell tokens).")


# reading


def reading(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slide = hwsi.slide_from_array(_tissue(300), mpp=0.5)
        result = hwsi.analyze(slide, folder / "r.hwsi.zarr")
        measured = [*result.cells.table.columns]
        bare = folder / "bare.npy"
        table = rng.normal(20, 5, (len(measured), options.cells)).astype(np.float32)
        np.save(bare, table)
        _write_cells(result.path, table)
        grown, rows = hwsi.open_result(result.path), Store(result.path).read
        print("| what | MB | memory-mapped, ms | store, ms | ratio |\n|---|---|---|---|---|")
        times = best(
            lambda: [np.array(column) for column in np.load(bare, mmap_mode="r")],
            lambda: [rows(f"cells/table/{name}") for name in measured],
            lambda: _fresh(grown).cell_table,
        )
        _row("columns of the table, as stored", table.nbytes, *times[:2])
        _row("the table, doubles left out", table.nbytes, *times[::2])
        vectors = rng.normal(0, 1, (options.patches, 512)).astype(np.float32)
        np.save(bare, vectors)
        group = zarr.open_group(str(result.path / "patches"), mode="a")
        del group["vectors"]
        columns = Columns(group, {"vectors": ("float32", (512,))})
        columns.append(vectors=vectors)
        columns.close()
        seal_tree(result.path)
        times = best(lambda: np.array(np.load(bare, mmap_mode="r")), lambda: _fresh(grown).patch_vectors)
        _row("vectors of patches, 512 wide", vectors.nbytes, *times)


def _row(what: str, size: int, mapped: float, store: float) -> None:
    numbers = f"{size / 1e6:.0f} | {mapped * 1e3:.0f} | {store * 1e3:.0f} | {store / mapped:.2f}"
    print(f"| {what} | {numbers} |", flush=True)


def _fresh(result: hwsi.Hierarchy) -> hwsi.Hierarchy:
    result.refresh()
    return result


def _tissue(side: int) -> np.ndarray:
    with hwsi.open_slide(sample_slide()) as sample:
        return sample.read([n // 2 for n in sample.shape], (side, side), level=0)


def _write_cells(store: Path, table: np.ndarray) -> None:
    """Replace the cells of a result of one region by those of a table, with outlines of 24 vertices."""
    group = zarr.open_group(str(store / "cells"), mode="a")
    names, count = list(group.attrs["measurements"]), table.shape[1]
    rng = np.random.default_rng(1)
    blocks: dict[str, np.ndarray] = {
        "centroids": rng.random((count, 2), np.float32) * 300,
        "types": np.zeros(count, np.uint8),
        "probabilities": np.ones(count, np.float32),
        "vertices": rng.random((count * 24, 2), np.float32) * 300,
        "vertex_offsets": np.arange(count + 1, dtype=np.int64) * 24,
        "double": rng.random(count) < 0.01,
    } | {f"table/{name}": column for name, column in zip(names, table, strict=True)}
    for name in (*blocks, "offsets"):
        del group[name]
    layout = {name: (str(block.dtype), block.shape[1:]) for name, block in blocks.items()}
    columns = Columns(group, layout)
    columns.append(**blocks)
    columns.close()
    put(group, "offsets", np.array([0, count]))
    seal_tree(store)


# the pocket profile


def pocket(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = write_large_slide(Path(name) / "15mm.svs", 60_000)
        with hwsi.open_slide(path) as slide:
            start = time.perf_counter()
            tissue = hwsi.tissue.tissue_of(slide)
            looked = time.perf_counter() - start
            mm2 = tissue.area_in((0, 0, *slide.shape)) * 0.25**2 / 1e6
            side = 8192 * options.regions
            corner = 8192 * 3
            box = None if options.whole else (corner, corner, corner + 8192, corner + side)
            part = tissue.area_in(box or (0, 0, *slide.shape)) * 0.25**2 / 1e6
            start, used = time.perf_counter(), processor_seconds()
            result = hwsi.analyze(slide, Path(name) / "r.hwsi.zarr", box=box)
            took, used = time.perf_counter() - start, processor_seconds() - used
            size = sum(file.stat().st_size for file in result.path.rglob("*") if file.is_file()) / 2**20
        minutes = (looked + took * mm2 / part) / 60
        how = "" if options.whole else ", extrapolated"
        print(f"15 x 15 mm, {mm2:.0f} mm² of tissue, {os.cpu_count()} cores; {part:.1f} mm² analysed.")
        print(f"Tissue found in {looked:.1f} s, {len(result.cells)} nuclei and the rest in {took:.1f} s,")
        print(f"{took / part:.2f} s/mm²; the whole slide: {minutes:.1f} minutes{how}.")
        print(f"Of that {used / part:.2f} s/mm² of processor time.")
        print(f"Peak memory {peak_mib():.0f} MiB, on the disk {size:.0f} MiB.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("release")
    one.add_argument("--parity", type=Path, default=Path("../shared/parity"))
    one.add_argument("--patches", type=int, default=3, help="a side")
    one.set_defaults(run=release)
    two = commands.add_parser("reading")
    two.add_argument("--cells", type=int, default=1_000_000)
    two.add_argument("--patches", type=int, default=100_000)
    two.set_defaults(run=reading)
    three = commands.add_parser("pocket")
    three.add_argument("--regions", type=int, default=2)
    three.add_argument("--whole", action="store_true")
    three.set_defaults(run=pocket)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
