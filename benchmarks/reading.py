"""How fast pixels come, side by side with other readers, in one run on this machine.

python benchmarks/reading.py [--slide PATH] [--side PX] [--threads N]

Without --slide: a slide of --side px at 0.25 µm/px (see large_slide.py). Every way reads the same places.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import tifffile
from large_slide import write_large_slide
from PIL import Image

import napari_hwsi as hwsi
from napari_hwsi.slides import stream_patches
from napari_hwsi.tissue import region_grid, tissue_mask

CHUNK, PATCH, UM_PX = 1024, 256, 0.5


def spread(work: Callable[[int], object], count: int, threads: int) -> float:
    """Return the seconds that ``work`` takes for 0 … count - 1, spread over threads in pieces."""
    pieces = np.array_split(np.arange(count), threads)
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda piece: [work(int(i)) for i in piece], pieces))
    return time.perf_counter() - start


def tiles_of(path: Path) -> tuple[tifffile.TiffPage, list[tuple[int, int]]]:
    """Return the first page and the (y, x) of its whole tiles that hold something else than glass."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        h, w = page.tile
        places = [(y, x) for y in range(0, page.imagelength - h, h) for x in range(0, page.imagewidth - w, w)]
        return page, places


def streaming(path: Path, threads: int) -> dict[str, float]:
    """Return MP/s of every way to decode the aligned tiles of level 0."""
    page, places = tiles_of(path)
    if len(places) > 600:
        places = places[len(places) // 2 - 300 : len(places) // 2 + 300]
    h, w = page.tile
    across = -(-page.imagewidth // w)
    content = path.read_bytes()
    starts = [page.dataoffsets[y // h * across + x // w] for y, x in places]
    sizes = [page.databytecounts[y // h * across + x // w] for y, x in places]
    megapixels = len(places) * h * w / 1e6
    space = "YCBCR" if page.photometric == tifffile.PHOTOMETRIC.YCBCR else "RGB"

    def bare(i: int) -> object:
        data = content[starts[i] : starts[i] + sizes[i]]
        if page.compression == tifffile.COMPRESSION.JPEG:
            return imagecodecs.jpeg8_decode(
                data, tables=page.jpegtables, colorspace=space, outcolorspace="RGB"
            )
        return page.decode(data, 0)

    with openslide.OpenSlide(path) as plain, hwsi.open_slide(path) as slide:
        slide.read((0, 0), (8, 8))
        ways: dict[str, Callable[[int], object]] = {
            "codec alone, bytes in memory": bare,
            "napari-hwsi": lambda i: slide.read(places[i], (h, w)),
            "OpenSlide read_region": lambda i: plain.read_region(places[i][::-1], 0, (w, h)),
        }
        best: dict[str, float] = {}
        for _ in range(3):
            for name, way in (ways | others(path, places, (h, w))).items():
                best[name] = min(best.get(name, np.inf), spread(way, len(places), threads))
    return {name: megapixels / s for name, s in best.items()}


def others(
    path: Path, places: Sequence[tuple[int, int]], size: tuple[int, int]
) -> dict[str, Callable[[int], object]]:
    """Return the ways of the readers that are installed besides, opened anew: some keep what they decoded."""
    found: dict[str, Callable[[int], object]] = {}
    h, w = size
    try:
        import tiffslide

        tiff = tiffslide.TiffSlide(path)
        found["tiffslide"] = lambda i: tiff.read_region(places[i][::-1], 0, (w, h), as_array=True)
    except ImportError:
        pass
    try:
        from fastslide import FastSlide

        fast = FastSlide.from_file_path(str(path))
        found["fastslide"] = lambda i: fast.read_region(places[i][::-1], 0, (w, h)).numpy()
    except ImportError:
        pass
    import dask
    import dask.array as da

    with tifffile.TiffFile(path) as file:
        # What napari's own reader makes of a pyramid: dask over tifffile's Zarr store.
        zarr = tifffile.imread(path, aszarr=True, series=0, level=0 if file.series[0].is_pyramidal else None)
    array = da.from_zarr(zarr)

    def lazily(i: int) -> object:
        y, x = places[i]
        with dask.config.set(scheduler="synchronous"):
            return array[y : y + h, x : x + w].compute()

    found["tifffile's Zarr store in dask (napari's own)"] = lazily
    return found


def opening(path: Path) -> dict[str, float | str]:
    """Return the seconds of every way to open a slide and read 1024 px of its middle, or why it cannot."""
    tiff = path.with_suffix(".tif")  # dask-image goes by the suffix
    tiff.symlink_to(path)
    with hwsi.open_slide(path) as slide:
        y, x = (side // 2 for side in slide.shape)

    def ours() -> object:
        with hwsi.open_slide(path) as slide:
            return slide.read((y, x), (CHUNK, CHUNK))

    def plain() -> object:
        with openslide.OpenSlide(path) as slide:
            return np.asarray(slide.read_region((x, y), 0, (CHUNK, CHUNK)).convert("RGB"))

    def tiffslide_() -> object:
        import tiffslide

        with tiffslide.TiffSlide(path) as slide:
            return slide.read_region((x, y), 0, (CHUNK, CHUNK), as_array=True)

    def napari_() -> object:
        from napari_builtins.io import napari_get_reader

        data = napari_get_reader(str(tiff))(str(tiff))[0][0]
        finest = data[0] if isinstance(data, list) else data
        return np.asarray(finest[y : y + CHUNK, x : x + CHUNK])

    def dask_image() -> object:
        from dask_image.imread import imread

        return np.asarray(imread(str(tiff))[0, y : y + CHUNK, x : x + CHUNK])

    ways = {"napari-hwsi": ours, "OpenSlide": plain, "tiffslide": tiffslide_}
    ways |= {"napari's own TIFF reader": napari_, "dask-image": dask_image}
    found: dict[str, float | str] = {}
    for name, way in ways.items():
        try:
            way()
            start = time.perf_counter()
            way()
            found[name] = time.perf_counter() - start
        except Exception as error:  # noqa: BLE001  whatever it raises is the answer
            found[name] = f"cannot: {type(error).__name__}: {error}".splitlines()[0][:120]
    return found


def patches(path: Path, threads: int) -> tuple[int, dict[str, float]]:
    """Return the number of patches of tissue at 0.5 µm/px, and patches/s of every way to read them."""
    with hwsi.open_slide(path) as slide:
        if slide.mpp is None:
            slide.set_mpp(0.25)
        grid, tissue = region_grid(slide), tissue_mask(slide)
        boxes = np.concatenate([grid.patch_boxes(i) for i in range(len(grid))])
        boxes = boxes[np.array([tissue.coverage(tuple(box)) > 0.1 for box in boxes.tolist()])]
        boxes = boxes[(boxes[:, 2] < slide.shape[0] - 99) & (boxes[:, 3] < slide.shape[1] - 99)]
        boxes = boxes[np.lexsort((boxes[:, 1], boxes[:, 0]))]  # row by row, as loops go
        boxes = boxes[max(len(boxes) // 2 - 1000, 0) : len(boxes) // 2 + 1000]
        origins = boxes[:, :2] + (37, 53)  # no patch begins where a tile does
        step = slide.scale_at(UM_PX).downsample
        side = round(PATCH * step[0])

    def obvious() -> None:
        with openslide.OpenSlide(path) as plain:
            for y, x in origins:
                region = plain.read_region((int(x), int(y)), 0, (side, side)).convert("RGB")
                if side != PATCH:
                    region = region.resize((PATCH, PATCH), Image.Resampling.BOX)
                np.asarray(region)

    def ours(count: int) -> None:
        with hwsi.open_slide(path) as slide:
            for _ in stream_patches(slide, origins, UM_PX, threads=count):
                pass

    ways = {"one read_region a patch, PIL": obvious, "napari-hwsi, 1 thread": lambda: ours(1)}
    if threads > 1:
        ways[f"napari-hwsi, {threads} threads"] = lambda: ours(threads)
    rates = dict.fromkeys(ways, 0.0)
    for _ in range(3):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            rates[name] = max(rates[name], len(origins) / (time.perf_counter() - start))
    return len(origins), rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--side", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.slide or write_large_slide(Path(folder) / "large.svs", options.side)
        print(f"{path.name}: aligned tiles of level 0\n")
        print("| way | MP/s, 1 thread | ratio | threads | MP/s | ratio |\n|---|---|---|---|---|---|")
        one, more = streaming(path, 1), streaming(path, options.threads)
        for name in one:
            a, b = (rates[name] / rates["OpenSlide read_region"] for rates in (one, more))
            print(f"| {name} | {one[name]:.0f} | {a:.2f} | {options.threads} | {more[name]:.0f} | {b:.2f} |")
        print("\nOpening it and reading 1024 x 1024 px of its middle\n\n| way | seconds |\n|---|---|")
        for name, value in opening(path).items():
            print(f"| {name} | {value if isinstance(value, str) else format(value, '.3f')} |")
        count, rates = patches(path, options.threads)
        print(f"\n{count} patches of 256 px at {UM_PX} µm/px, on a grid that tiles do not share\n")
        print("| way | patches/s | ratio |\n|---|---|---|")
        base = next(iter(rates.values()))
        for name, rate in rates.items():
            print(f"| {name} | {rate:.0f} | {rate / base:.2f} |")


if __name__ == "__main__":
    main()
