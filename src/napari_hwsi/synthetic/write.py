"""Writing a synthetic slide: a tiled pyramid that OpenSlide opens, and its truth beside it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import tifffile

from ..errors import InputError, SlideError
from ..progress import Progress, tell
from .layout import REGIONS
from .nuclei import TYPES, Nuclei
from .slide import BLOCK, SyntheticSlide
from .spec import ARTEFACTS, SlideSpec

_STEP = 4  # each level is this much coarser than the one before, as in Aperio files
_MAP_STEP = 16  # px of level 0 for one px of the region map
_SCANNER_ID = "napari-hwsi synthetic"


def is_synthetic(properties: Mapping[str, str]) -> bool:
    """Say whether a slide's own metadata (OpenSlide properties) mark it as made by `write_slide`."""
    return properties.get("aperio.ScanScope ID") == _SCANNER_ID


def write_slide(
    path: str | os.PathLike[str], spec: SlideSpec, progress: Progress | None = None
) -> SyntheticSlide:
    """Write a synthetic slide as a tiled JPEG pyramid, with its truth beside it, and return it.

    ``path`` ends in .svs or .tif. Beside it go ``<stem>.truth.json`` (spec, findings, report, numbers of
    nuclei, area of regions) and ``<stem>.truth.npz``: a row per nucleus (``id``, centre ``y``, ``x`` in
    level-0 px, ``type``, ``major_um``, ``minor_um``, ``angle_rad``, ``mitosis``; block by block, then by y,
    x) and ``regions``, the class map at every 16th pixel; on a slide with artefacts also theirs,
    ``artefacts``. The slide is made block by block: memory does
    not depend on its size. The same spec gives the same bytes with the same library versions. Files
    appear under their names only when whole.

    Raises InputError for another file ending and SlideError when the files cannot be written.
    """
    target = Path(path)
    if target.suffix.lower() not in (".svs", ".tif", ".tiff"):
        raise InputError(f"A synthetic slide is written as .svs or .tif, not {target.name!r}.")
    slide = SyntheticSlide(spec)
    try:
        with tempfile.TemporaryDirectory(prefix=".synthetic-", dir=target.parent) as folder:
            pyramid = _Pyramid(spec.shape, Path(folder))
            truth = _TruthFiles(slide, Path(folder))
            image = Path(folder) / "slide.tif"
            _write_levels(image, target.name, slide, pyramid, truth, progress)
            table, facts = truth.finish()
            pyramid.close()
            os.replace(table, target.with_suffix(".truth.npz"))
            os.replace(facts, target.with_suffix(".truth.json"))
            os.replace(image, target)
    except OSError as error:
        raise SlideError(
            f"The synthetic slide {target} cannot be written ({error.strerror or error}): "
            "choose an existing folder with enough space that you may write to."
        ) from error
    return slide


class _Pyramid:
    """The coarser levels, averaged from level 0 as it is made and kept in files until they are written."""

    def __init__(self, shape: tuple[int, int], folder: Path) -> None:
        shapes = []
        while max(shape) > 2 * BLOCK and min(shape) >= 4 * _STEP:
            shape = shape[0] // _STEP, shape[1] // _STEP
            shapes.append(shape)
        self.levels: list[np.memmap[Any, np.dtype[np.uint8]]] = [
            np.memmap(folder / f"level{k}", np.uint8, "w+", shape=(*s, 3)) for k, s in enumerate(shapes, 1)
        ]

    def add(self, i: int, j: int, block: npt.NDArray[np.uint8]) -> None:
        """Average one block of level 0 into level 1."""
        if self.levels:
            side = BLOCK // _STEP
            _put(self.levels[0], i * side, j * side, _averaged(block))

    def fill(self) -> None:
        """Average each further level from the one above it, strip by strip."""
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            for top in range(0, finer.shape[0], BLOCK):
                _put(coarser, top // _STEP, 0, _averaged(np.asarray(finer[top : top + BLOCK])))

    def close(self) -> None:
        """Let go of the files."""
        self.levels.clear()


def _averaged(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the means of 4 x 4 px, a rest at the end left out."""
    h, w = image.shape[0] // _STEP, image.shape[1] // _STEP
    cells = image[: h * _STEP, : w * _STEP].reshape(h, _STEP, w, _STEP, 3).astype(np.uint16)
    return ((cells.sum((1, 3)) + _STEP * _STEP // 2) // _STEP**2).astype(np.uint8)


def _put(level: npt.NDArray[np.uint8], top: int, left: int, image: npt.NDArray[np.uint8]) -> None:
    room = level[top : top + image.shape[0], left : left + image.shape[1]]
    room[:] = image[: room.shape[0], : room.shape[1]]


class _TruthFiles:
    """The truth of a whole slide, gathered block by block in files."""

    _COLUMNS: Mapping[str, str] = {
        "id": "<u8", "y": "<f4", "x": "<f4", "type": "|u1",
        "major_um": "<f2", "minor_um": "<f2", "angle_rad": "<f2", "mitosis": "|b1",
    }  # fmt: skip

    def __init__(self, slide: SyntheticSlide, folder: Path) -> None:
        self._slide = slide
        self._folder = folder
        h, w = slide.shape
        half = _MAP_STEP // 2  # the map takes the middle pixel of each square
        shape = (h + half - 1) // _MAP_STEP, (w + half - 1) // _MAP_STEP
        names = ("regions", "artefacts") if slide.spec.artefacts else ("regions",)
        self._maps = {name: np.memmap(folder / name, np.uint8, "w+", shape=shape) for name in names}
        self._files: dict[str, IO[bytes]] = {name: (folder / name).open("wb") for name in self._COLUMNS}
        self._rows = 0
        self._types = np.zeros(len(TYPES), np.int64)
        self._mitoses = 0
        self._area = np.zeros(len(REGIONS), np.int64)

    def add(self, i: int, j: int, regions: npt.NDArray[np.uint8], artefacts: npt.NDArray[np.uint8]) -> None:
        """Take in the truth of one block."""
        h, w = self._slide.shape
        y0, x0 = i * BLOCK, j * BLOCK
        box = y0, x0, min(y0 + BLOCK, h), min(x0 + BLOCK, w)
        shown = regions[: box[2] - y0, : box[3] - x0]
        self._area += np.bincount(shown.ravel(), minlength=len(REGIONS))
        half = _MAP_STEP // 2
        side = BLOCK // _MAP_STEP
        classes = {"regions": regions, "artefacts": artefacts}
        for name, chart in self._maps.items():
            room = chart[i * side : (i + 1) * side, j * side : (j + 1) * side]
            room[:] = classes[name][half::_MAP_STEP, half::_MAP_STEP][: room.shape[0], : room.shape[1]]
        self._add_nuclei(self._slide.nuclei(box))

    def _add_nuclei(self, nuclei: Nuclei) -> None:
        mpp = self._slide.spec.mpp
        values: dict[str, npt.NDArray[Any]] = {
            "id": nuclei.key, "y": nuclei.y / mpp, "x": nuclei.x / mpp, "type": nuclei.type,
            "major_um": 2 * nuclei.long, "minor_um": 2 * nuclei.short,
            "angle_rad": np.mod(nuclei.angle, np.pi), "mitosis": nuclei.mitosis,
        }  # fmt: skip
        for name, file in self._files.items():
            file.write(values[name].astype(self._COLUMNS[name]).tobytes())
        self._rows += len(nuclei)
        self._mitoses += int(nuclei.mitosis.sum())
        self._types += np.bincount(nuclei.type, minlength=len(TYPES))

    def finish(self) -> tuple[Path, Path]:
        """Return the paths of the finished table and of the finished facts."""
        for file in self._files.values():
            file.close()
        for chart in self._maps.values():
            chart.flush()
        table = self._folder / "truth.npz"
        with zipfile.ZipFile(table, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, kind in self._COLUMNS.items():
                self._pack(archive, name, kind, (self._rows,))
            for name, chart in self._maps.items():
                self._pack(archive, name, "|u1", chart.shape)
        slide = self._slide
        spec = asdict(slide.spec)
        kinds = spec.pop("artefacts")
        facts = {
            "format": "napari-hwsi synthetic truth 1",
            "spec": spec | ({"artefacts": kinds} if kinds else {}),
            "stain": asdict(slide.stain),
            "findings": slide.findings.as_dict(),
            "report": slide.report,
            "nuclei": {
                name: int(n) for name, n in zip(TYPES, self._types, strict=True) if name != "background"
            },
            "mitoses": self._mitoses,
            "area_mm2": {
                name: round(int(n) * slide.spec.mpp**2 * 1e-6, 6)
                for name, n in zip(REGIONS, self._area, strict=True)
            },
            "region_names": list(REGIONS),
            "region_map_step_px": _MAP_STEP,
            "type_names": list(TYPES),
        } | ({"artefact_names": list(ARTEFACTS)} if kinds else {})
        path = self._folder / "truth.json"
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return table, path

    def _pack(self, archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...]) -> None:
        """Copy one column into the archive as an .npy member, without loading it."""
        member = zipfile.ZipInfo(name + ".npy")  # carries no date, so equal truth has equal bytes
        member.compress_type = zipfile.ZIP_DEFLATED
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        with archive.open(member, "w", force_zip64=True) as out, (self._folder / name).open("rb") as column:
            np.lib.format.write_array_header_2_0(out, header)
            shutil.copyfileobj(column, out, 1 << 20)


def _write_levels(
    path: Path,
    name: str,
    slide: SyntheticSlide,
    pyramid: _Pyramid,
    truth: _TruthFiles,
    progress: Progress | None,
) -> None:
    spec = slide.spec
    h, w = spec.shape
    rows, columns = -(-h // BLOCK), -(-w // BLOCK)

    def finest() -> Iterator[npt.NDArray[np.uint8]]:
        for i in range(rows):
            for j in range(columns):
                image, regions, artefacts = slide.block(i, j)
                pyramid.add(i, j, image)
                truth.add(i, j, regions, artefacts)
                tell(progress, i * columns + j + 1, rows * columns, "blocks")
                yield image

    quality = spec.scanner.jpeg_quality
    options: dict[str, Any] = {
        "dtype": np.uint8, "tile": (BLOCK, BLOCK), "photometric": "rgb", "compression": "jpeg",
        "compressionargs": {"level": quality}, "software": "napari-hwsi", "metadata": None,
    }  # fmt: skip
    facts = {
        "AppMag": f"{10 / spec.mpp:g}",
        "MPP": f"{spec.mpp:.6g}",
        "ScanScope ID": _SCANNER_ID,
        "Filename": Path(name).stem,
        "Synthetic": "napari-hwsi",
        "Seed": str(spec.seed),
    }
    size = f"{w}x{h} [0,0 {w}x{h}] ({BLOCK}x{BLOCK}) JPEG/RGB Q={quality}"
    title = "Aperio-style synthetic slide"
    description = "|".join([f"{title}\r\n{size}", *(f"{key} = {value}" for key, value in facts.items())])
    with tifffile.TiffWriter(path, bigtiff=h * w > 2**31) as tif:
        tif.write(finest(), shape=(h, w, 3), description=description, **options)
        pyramid.fill()
        for level in pyramid.levels:
            shape = f"{title}\r\n{w}x{h} -> {level.shape[1]}x{level.shape[0]}"
            tif.write(_tiles(level), shape=level.shape, description=shape, **options)


def _tiles(level: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the tiles of a level, those at its end repeated outwards to full size."""
    for top in range(0, level.shape[0], BLOCK):
        for left in range(0, level.shape[1], BLOCK):
            tile = np.asarray(level[top : top + BLOCK, left : left + BLOCK])
            rest = BLOCK - tile.shape[0], BLOCK - tile.shape[1]
            yield np.pad(tile, ((0, rest[0]), (0, rest[1]), (0, 0)), mode="edge")
