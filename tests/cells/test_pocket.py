"""The pocket segmenter: its post-processing on maps of known nuclei, and files that are not its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_hwsi.cells.pocket import Pocket
from napari_hwsi.cells.pocket_decode import decode
from napari_hwsi.cells.pocket_network import NucleusNetwork
from napari_hwsi.errors import ResolutionError, WeightsError
from napari_hwsi.metrics import instance_scores
from napari_hwsi.training.sources import distances

from .conftest import Piece


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
    far = 128 - round(Pocket.margin_um / Pocket.mpp)
    assert torch.equal(before.nucleus[..., :far], after.nucleus[..., :far])
    assert not torch.equal(before.nucleus[..., :128], after.nucleus[..., :128])


def test_what_is_not_its_weights_is_refused(tmp_path: Path) -> None:
    image = np.full((32, 32, 3), 255, np.uint8)
    other = tmp_path / "other.safetensors"
    save_file({"stem.weight": torch.zeros(1)}, other)
    for path in (other, tmp_path / "missing.safetensors"):
        with pytest.raises(WeightsError, match=path.name):
            Pocket(weights=path).segment(image, (0.5, 0.5))
    with pytest.raises(ResolutionError, match="2 x 2"):
        Pocket(weights=other).segment(image, (2.0, 2.0))
