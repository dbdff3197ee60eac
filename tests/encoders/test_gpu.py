"""Every network computes the same on a GPU as on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi import encoders
from napari_hwsi.cells import PocketSegmenter
from napari_hwsi.encoders.ccaf import CCAF, fuse, load_ccaf
from napari_hwsi.encoders.cellvit import load_cellvit
from napari_hwsi.encoders.conch import read_conch
from napari_hwsi.encoders.places import load_places
from napari_hwsi.encoders.pocket import load_pocket
from napari_hwsi.encoders.pocket_cells import COLUMNS, load_pocket_fuser
from napari_hwsi.encoders.region import load_regions

pytestmark = pytest.mark.gpu
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 256, 256, 3), np.uint8)


@pytest.fixture(scope="module")
def agree() -> Callable[..., None]:
    """Hold a function of the device on the GPU against the CPU: 1e-3 relative unless told otherwise."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")

    def check(run: Callable[[str], Any], within: float = 1e-3) -> None:
        with torch.inference_mode():
            wanted, found = (
                np.asarray(torch.as_tensor(run(device)).cpu(), float) for device in ("cpu", "cuda")
            )
        assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < within

    return check


@pytest.mark.parity
def test_patches_and_their_attention(published: Any, agree: Callable[..., None]) -> None:
    state = published.state("hipt_vit256")
    agree(lambda device: encoders.load("hipt", state, device=device).encode(IMAGES))
    agree(lambda device: encoders.load("hipt", state, device=device).attention(IMAGES, 5))


@pytest.mark.parity
@pytest.mark.parametrize(("precision", "within"), [("bfloat16", 5e-2), ("float16", 1e-2)])
def test_mixed_precision_of_patches(
    published: Any, agree: Callable[..., None], precision: Any, within: float
) -> None:
    state, kinds = published.state("hipt_vit256"), {"cpu": "float32", "cuda": precision}

    def run(device: str) -> Any:
        return encoders.load("hipt", state, device=device, precision=kinds[device]).encode(IMAGES)  # type: ignore[arg-type]

    agree(run, within)


@pytest.mark.parity
def test_regions(published: Any, agree: Callable[..., None]) -> None:
    state = published.state("hipt_vit4k")
    grids = RNG.standard_normal((2, 16, 16, 384))
    agree(lambda device: load_regions(state, device).encode(grids))


@pytest.mark.parity
def test_both_towers_of_conch(published: Any, agree: Callable[..., None]) -> None:
    image, text = read_conch(published.state("conch"), "conch")
    pixels, ids = torch.randn(1, 3, 448, 448), torch.tensor([[4, 5, 6, 0, 0], [1, 2, 3, 4, 5]])
    agree(lambda device: image.to(device)(pixels.to(device)))
    agree(lambda device: text.to(device)(ids.to(device)))


@pytest.mark.parity
def test_cells_in_both_forms(published: Any, agree: Callable[..., None]) -> None:
    cells, offsets = RNG.standard_normal((40, 384)), np.array([0, 7, 7, 30, 40])
    torch.manual_seed(0)
    for network in (load_ccaf(published.state("ccaf_dinov2_vits14")), CCAF().eval()):
        agree(lambda device, n=network: fuse(n, cells, offsets, device).tokens)
        agree(lambda device, n=network: fuse(n, cells, offsets, device).attention)


@pytest.mark.parity
def test_maps_of_nuclei(published: Any, agree: Callable[..., None]) -> None:
    network, pixels = load_cellvit(published.state("cellvit256")), torch.randn(1, 3, 128, 128)
    agree(lambda device: network.to(device)(pixels.to(device)).types)
    agree(lambda device: network.to(device)(pixels.to(device)).distances)


def test_patches_of_the_pocket_profile(agree: Callable[..., None]) -> None:
    agree(lambda device: load_pocket(device=device).encode_network(IMAGES))


@pytest.mark.parametrize("what", ["vector", "shares"])
def test_regions_and_slides_of_the_pocket_profile(agree: Callable[..., None], what: str) -> None:
    width = load_places(device="cpu").features
    patches, valid = RNG.standard_normal((16, 16, width)), RNG.random((16, 16)) < 0.6
    agree(lambda device: getattr(load_places(device=device).region(patches, valid), what))
    regions, where = RNG.standard_normal((9, load_places(device="cpu").width)), RNG.integers(0, 40, (9, 2))
    agree(lambda device: getattr(load_places(device=device).slide(regions, where), what))


@pytest.mark.parametrize("what", ["tokens", "attention"])
def test_cells_of_the_pocket_profile(agree: Callable[..., None], what: str) -> None:
    cells, offsets = np.abs(RNG.normal(5, 3, (40, len(COLUMNS)))), np.array([0, 7, 7, 30, 40])
    cells[3, 2:5] = np.nan  # not measured
    agree(lambda device: getattr(load_pocket_fuser(device).fuse(cells, offsets), what))


@pytest.mark.parametrize("what", ["nucleus", "depth", "types"])
def test_maps_of_the_pocket_nuclei(agree: Callable[..., None], what: str) -> None:
    def run(device: str) -> Any:
        (maps,) = PocketSegmenter(device=device, precision="float32").predict(
            [IMAGES[0]], (0.5, 0.5), lambda: None
        )
        return getattr(maps, what).astype(np.float32)

    agree(run)
