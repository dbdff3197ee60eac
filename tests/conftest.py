"""Fixtures shared by all folders: real data, and a home that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openslide
import pytest
import tifffile

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).parents[1]
MOST_WORKERS = 4  # each holds torch, Qt and a display: about 2 GB


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share folders among processes; single files start sooner without."""
    names = (Path(argument.partition("::")[0]) for argument in config.args)
    return min(MOST_WORKERS, os.cpu_count() or 1) if any(name.is_dir() for name in names) else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole programs, which take longest, so that no process waits for another at the end."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


def pytest_configure(config: pytest.Config) -> None:
    """Let processes that share the machine compute with one thread each."""
    if config.getoption("numprocesses"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def _folder(variable: str, default: Path, what: str) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"{what} are not at {folder}; set {variable} to their folder")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real slides, nuclei and patches."""
    return _folder("HWSI_TEST_DATA", ROOT.parent / "shared" / "data", "Real test slides")


@pytest.fixture(scope="session")
def parity() -> Path:
    """Folder of seeded checkpoints and what the published architecture returns for them."""
    return _folder("HWSI_PARITY", ROOT.parent / "shared" / "parity", "Parity arrays")


@dataclass(frozen=True)
class Published:
    """Seeded checkpoints in the published layouts, and what the published architecture returns for them."""

    folder: Path

    def state(self, part: str, further: int = 0) -> dict[str, torch.Tensor]:
        """Return a checkpoint by tensor name; ``further`` counts on from the seed of the golden arrays."""
        return dict(_seeded(self.folder, part, further))

    def golden(self, name: str = "golden") -> Mapping[str, np.ndarray]:
        """Return the inputs and outputs kept in a file."""
        return np.load(self.folder / f"{name}.npz")


@lru_cache(maxsize=1)
def _seeded(folder: Path, part: str, further: int) -> dict[str, torch.Tensor]:
    import torch

    spec = spec_from_file_location("seeded_weights", folder / "seeded_weights.py")
    seeded = module_from_spec(spec)
    spec.loader.exec_module(seeded)
    layouts = json.loads((folder / "layouts.json").read_text())
    values = seeded.seeded_state_dict(layouts["layouts"][part], layouts["seed"] + further)
    return {name: torch.as_tensor(value) for name, value in values.items()}


@pytest.fixture(scope="session")
def published(parity: Path) -> Published:
    """Seeded checkpoints and golden arrays of the published architectures."""
    return Published(parity)


@pytest.fixture(scope="session")
def cmu(data: Path) -> Path:
    """A real H&E slide with a pixel size: Aperio, skin, 2220 x 2967, 0.499 µm/px."""
    return data / "wsi" / "CMU-1-Small-Region.svs"


def write_piece(path: Path, cmu: Path, mpp: float | None = 0.499) -> Path:
    """Write 900 x 770 px of that slide as a slide of its own, of one tile of work; by itself 0.499 µm/px."""
    with openslide.OpenSlide(cmu) as slide:
        pixels = np.asarray(slide.read_region((770, 1026), 0, (770, 900)).convert("RGB"))
    stated = f"|MPP = {mpp}" if mpp else ""
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate", "metadata": None}
    tifffile.imwrite(path, pixels, description=f"Aperio test\r\n770x900|AppMag = 20{stated}", **options)
    return path


@pytest.fixture(scope="session")
def piece(cmu: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A piece of real tissue, analysed in a few seconds: 900 x 770 px, 0.499 µm/px."""
    return write_piece(tmp_path_factory.mktemp("piece") / "piece.svs", cmu)


@pytest.fixture(scope="session")
def write_leica() -> Callable[..., None]:
    """What writes a scan that begins somewhere on the glass: its slide has bounds."""
    return _write_leica


def _write_leica(path: Path, image: np.ndarray, place: tuple[int, int], glass: tuple[int, int]) -> None:
    """Write a Leica SCN of 0.5 µm/px: a scan at ``place`` of the glass, (y, x) px, and its overview."""
    levels = [image, image[::4, ::4]]
    macro = np.full((glass[0] // 32, glass[1] // 32, 3), 240, np.uint8)

    def described(pages: dict[int, np.ndarray], size: tuple[int, ...], offset: tuple[int, int]) -> str:
        nm = [500 * v for v in (*size, *offset)]
        sizes = "".join(
            f'<dimension sizeX="{page.shape[1]}" sizeY="{page.shape[0]}" ifd="{i}"/>'
            for i, page in pages.items()
        )
        return (
            f"<image><pixels>{sizes}</pixels>"
            f'<view sizeY="{nm[0]}" sizeX="{nm[1]}" offsetY="{nm[2]}" offsetX="{nm[3]}"/>'
            "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    overview = described({0: macro}, glass, (0, 0))
    scan = described(dict(enumerate(levels, 1)), image.shape[:2], place)
    text = (
        '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection sizeY="{500 * glass[0]}" sizeX="{500 * glass[1]}">{overview}{scan}</collection></scn>'
    )
    options = {"photometric": "rgb", "compression": "zlib", "tile": (256, 256), "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for i, (page, um) in enumerate(((macro, 16), (image, 0.5), (levels[1], 2))):
            described_by = {"description": text} if i == 0 else {}
            file.write(page, resolution=(1e4 / um,) * 2, resolutionunit=3, **described_by, **options)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what the package remembers for its user in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HWSI_HOME", str(folder))
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A web server of a temporary folder, on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
