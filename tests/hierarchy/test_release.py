"""The release profile on seeded weights of the published layouts: CONCH, HIPT, and what stands on them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import napari_hwsi as hwsi
from napari_hwsi import encoders
from napari_hwsi.cells import CellViTSegmenter
from napari_hwsi.encoders.ccaf import load_fuser
from napari_hwsi.encoders.region import load_regions
from napari_hwsi.encoders.registry import find
from napari_hwsi.errors import InputError
from napari_hwsi.slides import Slide, slide_from_array
from napari_hwsi.tissue import TissueMask, fit_normaliser

from .conftest import tissue

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def weights(published: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with seeded weights where the registry looks for them; CONCH without its text tower."""
    home = tmp_path_factory.mktemp("weights")
    visual = {k: v for k, v in published.state("conch").items() if k.startswith("visual.")}
    states = {
        "conch": visual,
        "hipt": {"teacher": {f"module.backbone.{k}": v for k, v in published.state("hipt_vit256").items()}},
        "hipt-4k": {"teacher": published.state("hipt_vit4k")},
    }
    for name, state in states.items():
        file = home / "weights" / name / find(name).files[0]
        file.parent.mkdir(parents=True)
        torch.save(state, file)
    return home


@pytest.fixture(scope="module")
def all_weights(weights: Path, published: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with these, and CCAF and a CellViT that takes every pixel for one of a nucleus."""
    home = tmp_path_factory.mktemp("all")
    everywhere = {"nuclei_binary_map_decoder.decoder0_header.2.bias": torch.tensor([-20.0, 20.0])}
    states = {
        "ccaf": published.state("ccaf_dinov2_vits14"),
        "cellvit": published.state("cellvit256") | everywhere,
    }
    for name, state in states.items():
        file = home / "weights" / name / find(name).files[1]
        file.parent.mkdir(parents=True)
        torch.save(state, file)
    for folder in (weights / "weights").iterdir():
        (home / "weights" / folder.name).symlink_to(folder, target_is_directory=True)
    return home


def test_the_whole_stack_from_a_slide_to_its_vectors(
    all_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSI_HOME", str(all_weights))
    slide = slide_from_array(tissue(1, 256), mpp=0.5, name="tiny")
    everywhere = TissueMask(np.ones((1, 1), bool), (256.0, 256.0))
    result = hwsi.analyze(
        slide, tmp_path / "r.hwsi.zarr", profile="release", phrases=[], device="cpu", tissue=everywhere
    )
    assert np.flatnonzero(result.patches["selected"]).tolist() == [0]
    assert np.linalg.norm(result.patch_vectors[0]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(result.slide_vector, result.region_vectors[0])
    assert result.region_vectors.any()
    cells = CellViTSegmenter(device="cpu").segment(slide.read((0, 0), (256, 256)), (0.5, 0.5))
    assert len(result.cells) == len(cells.types) > 5
    assert set(result.cells.types) == set(cells.types)
    tokens = result.cell_column("tokens")
    by_hand = load_fuser("cpu").fuse(tokens, np.array([0, len(tokens)]))
    np.testing.assert_allclose(result.cell_tokens, by_hand.tokens, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.cell_shares, by_hand.shares, rtol=1e-4, atol=1e-6)
    made = result._store.sidecar("patches")["settings"]["weights"]
    files = [
        file for name in ("ccaf", "conch", "hipt", "hipt-4k") for file in sorted(find(name).folder.iterdir())
    ]
    assert made == {
        f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }


@pytest.fixture
def small() -> Slide:
    """Two patches of tissue, beside what is only glass."""
    image = np.full((700, 900, 3), 245, np.uint8)
    image[:256, :512] = np.hstack([tissue(1, 256), tissue(2, 256)])
    return slide_from_array(image, mpp=0.5, name="small")


def test_patches_regions_and_slide_are_those_of_the_published_encoders(
    weights: Path, small: Slide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWSI_HOME", str(weights))
    result = hwsi.analyze(
        small,
        tmp_path / "r.hwsi.zarr",
        profile="release",
        segmenter="classical",
        phrases=[],
        parts=["patches"],
        device="cpu",
        normalise="reinhard",
    )
    valid = np.flatnonzero(result.patches["valid"])
    assert valid.tolist() == [0, 1]
    facts = result._store.sidecar("patches")["settings"]
    assert (facts["profile"], facts["encoder"]["name"], facts["regions"]["name"]) == (
        "release",
        "conch",
        "hipt",
    )
    assert facts["normalisation"]["name"] == result.normalisation == "reinhard"
    assert (result.patch_vectors.shape, result.region_vectors.shape) == ((256, 512), (1, 192))
    # by hand: all 256 patches, glass where there is no slide, in their places
    normaliser = fit_normaliser("reinhard", small, result.tissue)
    conch, hipt = encoders.load("conch", device="cpu"), encoders.load("hipt", device="cpu")
    boxes = result.grid.patch_boxes(0)
    on_slide = np.flatnonzero(result.patches["on_slide"] > 0)
    images = np.stack([normaliser(small.read(boxes[i, :2], (256, 256))) for i in on_slide])
    features = np.empty((256, 384), np.float32)
    features[:] = hipt.encode(np.full((1, 256, 256, 3), 255, np.uint8))
    features[on_slide] = hipt.encode(images)
    np.testing.assert_allclose(result.patch_vectors[valid], conch.encode(images[[0, 1]]), atol=1e-5)
    region = load_regions(find("hipt-4k").folder, "cpu").encode(features.reshape(1, 16, 16, 384))[0]
    np.testing.assert_allclose(result.region_vectors[0], region, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.slide_vector, region, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="tokenizer file does not lie beside"):
        result.phrase_scores(["tumor"])
    # the cells are another part: the patches stay those of the profile that made them
    vectors = result.patch_vectors
    both = hwsi.analyze(small, result.path, parts=["cells"], device="cpu")
    assert both.profile.name == "release"
    assert both.regions["status"].tolist() == ["done"]
    np.testing.assert_array_equal(both.patch_vectors, vectors)
    np.testing.assert_array_equal(both.region_vectors, result.region_vectors)


def test_what_is_not_here_is_named_with_where_to_get_it(small: Slide, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No weights of CONCH here: get pytorch_model\.bin from https"):
        hwsi.analyze(small, tmp_path / "r.hwsi.zarr", profile="release", segmenter="classical")
    assert not (tmp_path / "r.hwsi.zarr").exists()
