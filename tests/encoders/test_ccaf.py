"""Fusing the cells of a patch: order, padding, one cell and none, and the published form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_hwsi.encoders.ccaf import CCAF, fuse, load_ccaf
from napari_hwsi.errors import InputError, WeightsError

CELLS = np.random.default_rng(0).standard_normal((9, 384)).astype(np.float32)


def relative(found: Any, wanted: Any) -> float:
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def paper() -> CCAF:
    """The paper's form, with weights far from their start."""
    torch.manual_seed(0)
    network = CCAF().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return network


def one(network: CCAF, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Token (width,) and attention (cells, heads) of a single patch."""
    fused = fuse(network, cells, np.array([0, len(cells)]), "cpu")
    return fused.tokens[0], fused.attention


@pytest.mark.parity
def test_the_released_form_agrees_with_the_published_architecture(published: Any) -> None:
    golden = published.golden()
    a, b = golden["ccaf.cells_a"], golden["ccaf.cells_b"]
    network = load_ccaf(published.state("ccaf_dinov2_vits14"))
    fused = fuse(network, np.concatenate([b, a]), np.array([0, len(b), len(b), len(b) + len(a)]), "cpu")
    assert relative(fused.tokens[0], golden["ccaf.token_b"]) < 1e-4
    assert relative(fused.tokens[2], golden["ccaf.token_a"]) < 1e-4
    assert relative(fused.attention[len(b) :].T, golden["ccaf.last_attention_cls_a"][:, 1:]) < 1e-4
    cells = torch.from_numpy(b)[None]
    row = network.attention(cells, torch.ones(1, len(b), dtype=torch.bool))[0]
    assert relative(row, golden["ccaf.last_attention_cls_b"]) < 1e-4
    # a patch without a cell: zeros, and the mask says so
    assert fused.has_cells.tolist() == [True, False, True]
    assert not fused.tokens[1].any()


@pytest.mark.parity
def test_the_released_form_is_found_in_a_whole_dinov2_file(published: Any) -> None:
    state = published.state("ccaf_dinov2_vits14", further=1)
    whole = state | {
        "pos_embed": torch.zeros(1, 1370, 384),
        "patch_embed.proj.weight": torch.zeros(384, 3, 14, 14),
        "patch_embed.proj.bias": torch.zeros(384),
        "mask_token": torch.zeros(1, 384),
    }
    token, _ = one(load_ccaf(state), CELLS)
    assert one(load_ccaf(whole), CELLS)[0].tobytes() == token.tobytes()
    assert relative(one(load_ccaf(published.state("ccaf_dinov2_vits14")), CELLS)[0], token) > 0.1
    with pytest.raises(WeightsError, match=r"blocks\.11\.ls2\.gamma"):
        load_ccaf({k: v for k, v in state.items() if k != "blocks.11.ls2.gamma"})


def test_the_papers_form_has_two_blocks_two_heads_and_width_768(paper: CCAF) -> None:
    assert (len(paper.blocks), paper.heads, paper.width, paper.cell_width) == (2, 2, 768, 384)
    token, attention = one(paper, CELLS)
    assert token.shape == (768,)
    assert attention.shape == (9, 2)


def test_the_order_of_cells_means_nothing(paper: CCAF) -> None:
    order = np.random.default_rng(1).permutation(len(CELLS))
    token, attention = one(paper, CELLS)
    turned, shares = one(paper, CELLS[order])
    assert turned == pytest.approx(token, abs=1e-5)
    assert shares == pytest.approx(attention[order], abs=1e-5)
    assert np.ptp(attention, axis=0).min() > 0.01  # cells do differ in their share


def test_padding_is_never_looked_at(paper: CCAF) -> None:
    padded = torch.full((2, 12, 384), torch.nan)
    mask = torch.zeros(2, 12, dtype=torch.bool)
    places = [1, 2, 3, 5, 6, 7, 8, 10, 11]
    padded[0, places], mask[0, places] = torch.from_numpy(CELLS), True
    padded[1, 0], mask[1, 0] = torch.from_numpy(CELLS[4]), True
    with torch.inference_mode():
        tokens, attention = paper(padded, mask), paper.attention(padded, mask)
        assert torch.equal(paper.token_and_attention(padded, mask)[0], tokens)
    assert tokens[0].numpy() == pytest.approx(one(paper, CELLS)[0], abs=1e-5)
    assert tokens[1].numpy() == pytest.approx(one(paper, CELLS[4:5])[0], abs=1e-5)
    assert (attention[:, :, 1:] > 0).any(1).equal(mask)
    assert attention.sum(-1).numpy() == pytest.approx(1, abs=1e-6)


def test_one_cell_shares_the_attention_with_the_class_token(paper: CCAF) -> None:
    """A block with identity where learning would be: the attention is a softmax of two scalar products."""
    network = CCAF(4, 4, depth=1, heads=1).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_() if not name.endswith("norm1.weight") else parameter.fill_(1)
        network.cls_token[0, 0] = torch.tensor([1.0, -1, 1, -1])
        network.blocks[0].attn.qkv.weight[:] = torch.eye(4).repeat(3, 1)
    cell = torch.tensor([[[1.0, 1, -1, -1]]])  # at right angles to the class token; both are normed already
    attention = network.attention(cell, torch.ones(1, 1, dtype=torch.bool))[0, 0]
    itself = np.exp(4 / 2)  # the length of the class token squared, over the root of the width
    assert attention.detach().numpy() == pytest.approx([itself / (itself + 1), 1 / (itself + 1)], abs=1e-4)
    assert one(paper, CELLS[:1])[1].shape == (1, 2)


def test_no_cell_is_the_learned_token(paper: CCAF) -> None:
    fused = fuse(paper, CELLS, np.array([0, 0, 9, 9]), "cpu")
    assert fused.has_cells.tolist() == [False, True, False]
    assert fused.tokens[0].tobytes() == paper.no_cells.detach().numpy().tobytes()
    assert fused.tokens[1] == pytest.approx(one(paper, CELLS)[0], abs=1e-5)
    empty = fuse(paper, CELLS[:0], np.array([0, 0]), "cpu")
    assert empty.tokens.shape == (1, 768)
    assert empty.attention.shape == (0, 2)
    assert fuse(paper, CELLS[:0], np.array([0]), "cpu").tokens.shape == (0, 768)


def test_many_patches_are_fused_as_each_alone(paper: CCAF) -> None:
    offsets = np.array([0, 2, 2, 7, 9])
    wanted = fuse(paper, CELLS, offsets, "cpu", batch=1)
    found = fuse(paper, CELLS, offsets, "cpu", batch=3)
    assert found.tokens == pytest.approx(wanted.tokens, abs=1e-5)
    assert found.attention == pytest.approx(wanted.attention, abs=1e-6)


def test_gradients_reach_every_weight(paper: CCAF) -> None:
    network = CCAF(6, 8, heads=2)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    network(torch.randn(2, 3, 6), mask).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith("qkv.bias"):
            assert parameter.grad.any(), name


def test_the_papers_form_is_written_and_read(paper: CCAF, tmp_path: Any) -> None:
    torch.save(paper.state_dict(), tmp_path / "ccaf.pt")
    read = load_ccaf(tmp_path / "ccaf.pt", form="paper")
    assert one(read, CELLS)[0].tobytes() == one(paper, CELLS)[0].tobytes()
    assert one(read, CELLS)[1].tobytes() == one(paper, CELLS)[1].tobytes()


def test_what_does_not_fit_is_refused(paper: CCAF) -> None:
    with pytest.raises(InputError, match="384"):
        fuse(paper, CELLS[:, :100], np.array([0, 9]))
    for offsets in ([0, 8], [1, 9], [0, 5, 3, 9], []):
        with pytest.raises(InputError, match="Offsets must rise"):
            fuse(paper, CELLS, np.array(offsets, np.int64))
