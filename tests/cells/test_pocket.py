"""The pocket segmenter: with its weights on synthetic truth, its post-processing, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from napari_hwsi.cells import segment_cells, segment_owned, tiles
from napari_hwsi.cells.pocket import WEIGHTS, PocketSegmenter
from napari_hwsi.cells.pocket_decode import decode
from napari_hwsi.cells.pocket_network import NucleusNetwork
from napari_hwsi.cells.pocket_stain import Staining, staining_of
from napari_hwsi.cells.segmenter import find_segmenter
from napari_hwsi.errors import ResolutionError, WeightsError
from napari_hwsi.metrics import instance_scores
from napari_hwsi.slides import slide_from_array
from napari_hwsi.tissue import optical_density
from napari_hwsi.training.sources import distances

from .conftest import Piece


@pytest.fixture(scope="module")
def pocket() -> PocketSegmenter:
    return PocketSegmenter(device="cpu")


def test_nuclei_of_a_synthetic_slide_are_found(pocket: PocketSegmenter, tissue_piece: Piece) -> None:
    found = pocket.segment(tissue_piece.rgb, (0.5, 0.5))
    scores = instance_scores(tissue_piece.truth, found.labels)
    assert scores.f1 > 0.85
    assert scores.sq > 0.8
    np.testing.assert_array_equal(np.unique(found.labels), np.arange(len(found.types) + 1))
    assert len(found.probabilities) == len(found.types)
    assert found.probabilities.min() > 0.5
    assert found.types.max() < len(pocket.type_names)


def test_float32_and_bfloat16_score_the_same(tissue_piece: Piece) -> None:
    rgb, truth = tissue_piece.rgb[:384, :384], tissue_piece.truth[:384, :384]
    f1 = [
        instance_scores(truth, PocketSegmenter(None, "cpu", precision).segment(rgb, (0.5, 0.5)).labels).f1
        for precision in ("float32", "bfloat16")
    ]
    assert f1[1] == pytest.approx(f1[0], rel=0.01)


@pytest.mark.parametrize(("mpp", "share"), [(0.25, 0.1), (1.0, 0.3)])
def test_other_resolutions_find_about_as_many(
    pocket: PocketSegmenter, tissue_piece: Piece, mpp: float, share: float
) -> None:
    whole = Image.fromarray(tissue_piece.rgb[:400, :400])
    side = round(400 * 0.5 / mpp)
    scaled = np.asarray(whole.resize((side, side), Image.Resampling.LANCZOS))
    at_half = len(pocket.segment(np.asarray(whole), (0.5, 0.5)).types)
    found = pocket.segment(scaled, (mpp, mpp))
    assert found.labels.shape == (side, side)
    assert len(found.types) == pytest.approx(at_half, rel=share)


def test_a_box_has_the_nuclei_that_the_whole_has_there(pocket: PocketSegmenter, tissue_piece: Piece) -> None:
    slide = slide_from_array(tissue_piece.rgb, mpp=0.5)
    box = (150, 203, 450, 500)  # off the grid of the network's strides
    whole = segment_cells(slide, box=(0, 0, 600, 700), segmenter=pocket, workers=0).in_box(box)
    owned = segment_owned(slide, box, segmenter=pocket)
    assert len(owned) == len(whole)
    again = segment_owned(slide, box, segmenter=pocket)
    np.testing.assert_array_equal(owned.contours.vertices, again.contours.vertices)


def test_the_size_of_tiles_does_not_matter(
    pocket: PocketSegmenter, tissue_piece: Piece, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide, truth = slide_from_array(tissue_piece.rgb, mpp=0.5), tissue_piece.truth
    whole = segment_cells(slide, segmenter=pocket, workers=0)
    for side in (300, 171):
        on_seams = {*np.unique(truth[side::side]), *np.unique(truth[:, side::side])} - {0}
        assert len(on_seams) > 30
        monkeypatch.setattr(tiles, "TILE_PX", side)
        tiled = segment_cells(slide, segmenter=pocket, workers=0)
        assert abs(len(tiled) / len(whole) - 1) <= 0.005
        one, other = (cells.labels((0, 0, *slide.shape)) for cells in (whole, tiled))
        assert instance_scores(one, other).f1 > 0.99
        assert ((one > 0) == (other > 0)).mean() > 0.999


def test_other_stainings_are_brought_to_the_same(tissue_piece: Piece) -> None:
    density = optical_density(tissue_piece.rgb)
    known = staining_of([(tissue_piece.rgb, (0.5, 0.5))])
    evened = known.evened(density)
    for scale, ground in ((0.6, (0.0, 0.0, 0.0)), (0.6, (0.06, 0.10, 0.03)), (1.3, (0.02, 0.0, 0.0))):
        other = scale * density + np.array(ground, np.float32)
        rgb = np.clip(np.rint(256 * 10.0**-other - 1), 0, 255).astype(np.uint8)
        again = staining_of([(rgb, (0.5, 0.5))]).evened(optical_density(rgb))
        dark = density.min(-1) > 0.2  # glass and what is nearly that are told apart otherwise
        assert np.abs(again - evened)[dark].mean() < 0.02
    assert staining_of([(np.full((64, 64, 3), 245, np.uint8), (0.5, 0.5))]) == Staining()


def test_pale_nuclei_are_found_as_dark_ones_are(pocket: PocketSegmenter, tissue_piece: Piece) -> None:
    pale = np.rint(256 * 10 ** (-0.3 * optical_density(tissue_piece.rgb)) - 1).astype(np.uint8)
    found = segment_cells(pale, segmenter=pocket, mpp=0.5, workers=0)
    scores = instance_scores(tissue_piece.truth, found.labels((0, 0, *tissue_piece.truth.shape)))
    assert scores.f1 > 0.8


def test_what_was_measured_on_the_slide_is_in_the_settings(
    pocket: PocketSegmenter, tissue_piece: Piece
) -> None:
    fitted = pocket.fit(slide_from_array(tissue_piece.rgb, mpp=0.5))
    assert pocket.staining is None
    assert fitted.settings() == pocket.settings() | {"staining": asdict(fitted.staining or Staining(0))}
    assert fitted.fit(slide_from_array(tissue_piece.rgb[:300, :300], mpp=0.5)).staining == fitted.staining


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_there_is_nothing_in_an_even_image(pocket: PocketSegmenter, grey: int) -> None:
    found = pocket.segment(np.full((75, 90, 3), grey, np.uint8), (0.5, 0.5))
    assert len(found.types) == 0
    assert not found.labels.any()


def test_true_maps_give_back_the_true_nuclei(tissue_piece: Piece) -> None:
    truth = tissue_piece.truth
    labels, probabilities = decode((truth > 0).astype(np.float32), distances(truth)[0], 0.5)
    assert instance_scores(truth, labels).f1 > 0.97
    assert len(probabilities) == labels.max()
    assert probabilities.min() > 0.9


def test_no_pixel_depends_on_others_farther_than_the_margin() -> None:
    torch.manual_seed(0)
    network = NucleusNetwork().eval()
    image = torch.rand(1, 3, 256, 256)
    changed = image.clone()
    changed[..., 128:] += 1
    with torch.inference_mode():
        before, after = network(image), network(changed)
    far = 128 - round(PocketSegmenter.margin_um / PocketSegmenter.mpp)
    assert torch.equal(before.nucleus[..., :far], after.nucleus[..., :far])
    assert not torch.equal(before.nucleus[..., :128], after.nucleus[..., :128])


def test_the_weights_are_small_and_named_in_the_settings(pocket: PocketSegmenter) -> None:
    assert WEIGHTS.stat().st_size <= 10_000_000
    named = find_segmenter(f"pocket:{WEIGHTS}", "cpu")
    assert named.settings() == pocket.settings()
    assert {"weights", "precision"} <= set(named.settings())


def test_what_is_not_its_weights_is_refused(pocket: PocketSegmenter, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"stem.weight": torch.zeros(1)}, other)
    for path in (other, tmp_path / "missing.safetensors"):
        with pytest.raises(WeightsError, match=path.name):
            PocketSegmenter(path)
    with pytest.raises(ResolutionError, match="2 x 2"):
        pocket.segment(np.full((32, 32, 3), 255, np.uint8), (2.0, 2.0))
