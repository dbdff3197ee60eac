"""Small slides of every format, for the readers to be tried on."""

from __future__ import annotations

import json
import runpy
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

ROOT = Path(__file__).parents[1]
MAX_REAL_FILE = 5 << 20


@dataclass(frozen=True)
class Seed:
    """A whole slide: the file or folder, and where its headers lie."""

    path: Path
    headers: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        """Name of the slide, and of its kind."""
        return self.path.name


def make_seeds(folder: Path, slide: Path | None, data: Path | None) -> list[Seed]:
    """Write a small slide of each format; add the real files of ``data`` that are small."""
    from napari_hwsi.slides import open_slide

    folder.mkdir(parents=True)
    source = slide or ROOT / "sample_data" / "synthetic.svs"
    with open_slide(source) as opened:
        at = tuple(side // 2 - 300 for side in opened.shape)
        image = opened.read(at, (600, 520))
    _write_tiffs(folder, image)
    small = Image.fromarray(image[:300, :260])
    small.save(folder / "rgb.png", compress_level=1)
    small.quantize(60).save(folder / "palette.png", transparency=3)
    small.save(folder / "photo.jpg", quality=80, dpi=(300, 300), comment="a" * 40)
    small.save(folder / "photo.bmp")
    small.save(folder / "photo.webp", quality=70)
    _write_zarr(folder / "v3.zarr", image, 3)
    _write_zarr(folder / "v2.zarr", image, 2)
    shutil.make_archive(str(folder / "zipped"), "zip", folder / "v3.zarr")
    _write_dicom(folder / "dicom", image)
    paths = sorted(folder.iterdir())
    if data is not None:
        paths += [
            path for path in sorted(data.iterdir()) if path.is_file() and path.stat().st_size < MAX_REAL_FILE
        ]
    return [Seed(path, headers=_headers(path)) for path in paths]


def _headers(path: Path) -> tuple[int, ...]:
    """Return where headers may lie: the start, the end, and every directory of a TIFF file."""
    if path.is_dir():
        return tuple(range(0, 3000, 300))
    places = [0, 0, max(path.stat().st_size - 400, 0)]
    try:
        with tifffile.TiffFile(path) as file:
            pages = [page for first in file.pages for page in (first, *(first.pages or ()))]
            places += [int(page.offset) for page in pages for _ in range(2)]
    except (tifffile.TiffFileError, ValueError, OSError):
        pass
    return tuple(places)


def _write_tiffs(folder: Path, image: np.ndarray) -> None:
    half = image[::2, ::2]
    tiled = {"photometric": "rgb", "tile": (128, 128)}
    aperio = (
        "Aperio Image Library v11.2.1\n600x520 [0,0,600x520] (128x128) JPEG/RGB Q=80|AppMag = 20|MPP = 0.5"
    )
    with tifffile.TiffWriter(folder / "aperio.svs") as file:
        file.write(image, description=aperio, compression="jpeg", **tiled)
        file.write(
            half, description="Aperio thumbnail", photometric="rgb", compression="jpeg", rowsperstrip=16
        )
        file.write(half, description=aperio, compression="jpeg", **tiled)
    for name, codec in (("pyramid.tif", "zlib"), ("jp2k.tif", "jpeg2000"), ("big.tif", "lzw")):
        with tifffile.TiffWriter(folder / name, bigtiff=name == "big.tif") as file:
            file.write(image, compression=codec, resolution=(2e4, 2e4), resolutionunit="CENTIMETER", **tiled)
            file.write(half, subfiletype=1, compression=codec, **tiled)
    with tifffile.TiffWriter(folder / "sub.ome.tif") as file:
        sizes = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        file.write(image, subifds=1, metadata=sizes, compression="jpeg", **tiled)
        file.write(half, subfiletype=1, compression="jpeg", **tiled)
    strips = {"photometric": "rgb", "rowsperstrip": 32}
    tifffile.imwrite(folder / "strips.tif", image, compression="zlib", predictor=True, **strips)
    tifffile.imwrite(folder / "flat.tif", image[:200], photometric="rgb")
    tifffile.imwrite(folder / "deep.tif", image.astype("u2") * 257, compression="zlib", **strips)
    planes = np.moveaxis(image, -1, 0)
    tifffile.imwrite(folder / "planes.tif", planes, planarconfig="separate", compression="lzw", **strips)
    alpha = np.dstack([image, image[..., 0]])
    tifffile.imwrite(
        folder / "alpha.tif", alpha, extrasamples=["unassalpha"], compression="packbits", **strips
    )
    Image.fromarray(image).quantize(90).save(folder / "palette.tif")


def _write_zarr(path: Path, image: np.ndarray, zarr_format: int) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    datasets = []
    for i, step in enumerate((1, 2)):
        level = np.moveaxis(image[::step, ::step], -1, 0)
        group.create_array(str(i), shape=level.shape, chunks=(3, 128, 128), dtype="u1")[:] = level
        scale = [{"type": "scale", "scale": [1, 0.5 * step, 0.5 * step]}]
        datasets.append({"path": str(i), "coordinateTransformations": scale})
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    images = [{"axes": axes, "datasets": datasets, "version": "0.4"}]
    facts = (
        {"multiscales": images} if zarr_format == 2 else {"ome": {"version": "0.5", "multiscales": images}}
    )
    group.attrs.update(json.loads(json.dumps(facts)))


def _write_dicom(folder: Path, image: np.ndarray) -> None:
    """Write two levels by the writer that the tests have."""
    writer = runpy.run_path(str(ROOT / "tests" / "slides" / "conftest.py"))
    folder.mkdir()
    common = writer["of_one_slide"]()
    for i, step in enumerate((1, 2)):
        level = np.ascontiguousarray(image[::step, ::step])
        frames = [writer["jpeg"](tile) for tile in writer["cut"](level, 128)]
        spacing = (0.0005 * step, 0.0005 * step)
        writer["write_dicom"](folder / f"{i}.dcm", common, "VOLUME", frames, level.shape[:2], 128, spacing)
