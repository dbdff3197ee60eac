"""CellViT-256: its maps and tokens against the published outputs, and the vectors of nuclei."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi.encoders.cellvit import TYPES, load_cellvit
from napari_hwsi.encoders.tokens import cell_vectors
from napari_hwsi.encoders.vit import read_vit
from napari_hwsi.errors import InputError, WeightsError


def relative(found: Any, wanted: Any) -> float:
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parity
def test_maps_and_tokens_agree_with_the_published_architecture(published: Any) -> None:
    golden = published.golden()
    checkpoint = {"arch": "CellViT256", "config": {}, "model_state_dict": published.state("cellvit256")}
    network = load_cellvit(checkpoint)
    pixels = torch.from_numpy(golden["cellvit.image"]).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        maps = network((pixels - 0.5) / 0.5)
    for found, name in ((maps.nuclei, "nuclei_binary"), (maps.distances, "hv"), (maps.types, "nuclei_type")):
        assert relative(found[:, :, ::4, ::4], golden[f"cellvit.{name}_map"]) < 1e-4
        assert float(found.std()) == pytest.approx(float(golden[f"cellvit.{name}_map.std"]), rel=1e-4)
    assert maps.types.shape[1] == len(TYPES)
    assert relative(maps.tokens, golden["cellvit.tokens"]) < 1e-4
    assert relative(maps.tissues, golden["cellvit.tissue_types"]) < 1e-4


@pytest.mark.parity
def test_another_seed_and_a_smaller_picture(published: Any) -> None:
    state = published.state("cellvit256", further=1)
    network, pixels = load_cellvit(state), torch.rand(1, 3, 64, 96) * 2 - 1
    encoder = read_vit(
        {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")},
        "encoder",
        heads=6,
        resizing="dino",
    )
    with torch.inference_mode():
        maps = network(pixels)
        tokens = encoder.after(pixels, (-1,))[0][:, 1:]
        assert torch.equal(maps.tokens.flatten(2).transpose(1, 2), tokens)
        for found in (maps.nuclei, maps.distances, maps.types):
            assert found.shape[2:] == (64, 96)
            assert torch.isfinite(found).all()
        # nothing in the network mixes pictures
        both = network(torch.cat([torch.zeros_like(pixels), pixels]))
        assert relative(both.types[1:], maps.types) < 1e-5
    with pytest.raises(WeightsError, match=r"decoder2\.1\.block\.1\.weight should have shape"):
        load_cellvit(state | {"decoder2.1.block.1.weight": torch.ones(256, 128, 3, 3)})
    with pytest.raises(WeightsError, match=r"decoder3\.0\.block\.0\.bias is missing"):
        load_cellvit({k: v for k, v in state.items() if k.startswith("encoder.")})


@pytest.mark.parity
def test_vectors_of_nuclei_agree_with_the_published_ones(published: Any) -> None:
    golden = published.golden()
    labels = golden["postproc.instances_40x"]
    assert np.unique(labels)[1:].tolist() == golden["postproc.ids_40x"].tolist()
    found = cell_vectors(golden["cellvit.tokens"][0], labels)
    assert relative(found, golden["cells.features"]) < 1e-4


def test_a_nucleus_is_the_mean_of_the_tokens_it_touches() -> None:
    tokens = np.arange(8, dtype=np.float32).reshape(2, 2, 2)  # 0 1 / 2 3 and 4 5 / 6 7
    labels = np.zeros((32, 32), np.int32)
    labels[3:5, 3:5] = 7  # within the first token
    labels[10:20, 20:22] = 2  # the two tokens of the right column, however few pixels in one
    labels[31, 0] = labels[0, 31] = 9  # two pieces of one nucleus
    assert cell_vectors(tokens, labels).tolist() == [[2, 6], [0, 4], [1.5, 5.5]]
    assert cell_vectors(tokens, np.zeros_like(labels)).shape == (0, 2)
    with pytest.raises(InputError, match="32 x 32"):
        cell_vectors(tokens, labels[:16])
