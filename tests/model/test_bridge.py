"""Four scales to the tokens of a language model: the published form, its masks, where each token looked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_hwsi.errors import WeightsError
from napari_hwsi.model import Bridge, Bridged, load_bridge
from napari_hwsi.model.projectors import masked_mean
from napari_hwsi.model.scales import SCALES

RELEASED = {"slide": "wsi", "region": "region", "patch": "patch", "cell": "cell"}


def relative(found: Any, wanted: Any) -> float:
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def small() -> Bridge:
    torch.manual_seed(0)
    return Bridge(16, 12, 4, widths={"slide": 3, "region": 4, "patch": 5, "cell": 6}).eval()


def vectors(slides: int = 2, regions: int = 3, kept: int = 5) -> dict[str, Tensor]:
    return {
        "slide": torch.randn(slides, 3),
        "region": torch.randn(slides, regions, 4),
        "patch": torch.randn(slides, regions, kept, 5),
        "cell": torch.randn(slides, regions, kept, 6),
    }


@pytest.mark.parity
def test_tokens_and_pooled_vectors_agree_with_the_published_architecture(published: Any) -> None:
    golden = published.golden()
    bridge = load_bridge(published.state("vl_projector"))
    given = {k: torch.from_numpy(golden[f"projector.{v}"]).float() for k, v in RELEASED.items()}
    regions = torch.from_numpy(golden["projector.region_mask"])
    cells = torch.from_numpy(golden["projector.cell_mask"])
    with torch.inference_mode():
        found = bridge(**given, region_mask=regions, patch_mask=cells, cell_mask=cells)
        assert relative(found.tokens, golden["projector.slide_tokens"]) < 1e-4
        assert relative(bridge(**given).tokens, golden["projector.slide_tokens_unmasked"]) < 1e-4
    for scale, released in RELEASED.items():
        assert relative(found.pooled[scale], golden[f"projector.rep_{released}"]) < 1e-4
    assert found.attention.sum(-1).numpy() == pytest.approx(1, abs=1e-5)
    assert (found.attention > 0).all(2).all(1).equal(regions)


@pytest.mark.parity
def test_another_seed_by_the_formulas(published: Any) -> None:
    """The method's formulas, written out for one slide with everything seen."""
    state = published.state("vl_projector", further=1)
    given = {k: torch.randn(1, *shape) for k, shape in (("slide", (192,)), ("region", (3, 192)))}
    given |= {"patch": torch.randn(1, 3, 16, 512), "cell": torch.randn(1, 3, 16, 384)}

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def mlp(x: Tensor, first: str, second: str) -> Tensor:
        return linear(F.gelu(linear(x, first)), second)

    inside = {}
    for scale, name in RELEASED.items():
        at = f"{name}_proj.proj.projector"
        inside[scale] = mlp(norm(given[scale], f"{at}.0"), f"{at}.1", f"{at}.4")
    parts = inside["slide"][:, None].expand(-1, 3, -1), inside["region"], inside["patch"].mean(2)
    joined = torch.cat([*parts, inside["cell"].mean(2)], -1)
    fused = mlp(norm(joined, "fusion.fuse.0"), "fusion.fuse.1", "fusion.fuse.4")
    fused = norm(inside["region"] + fused, "fusion.out_norm")
    queries = state["compressor.queries"]
    weight, bias = (state[f"compressor.attn.in_proj_{what}"].chunk(3) for what in ("weight", "bias"))
    sources = norm(queries, "compressor.norm1"), fused, fused
    q, k, v = (
        (x @ w.T + b).unflatten(-1, (8, -1)).transpose(1, 2)
        for x, w, b in zip(sources, weight, bias, strict=True)
    )
    attention = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    z = queries + linear((attention @ v).transpose(1, 2).flatten(2), "compressor.attn.out_proj")
    z = z + mlp(norm(z, "compressor.norm2"), "compressor.mlp.0", "compressor.mlp.3")
    with torch.inference_mode():
        found = load_bridge(state)(**given)
    assert relative(found.tokens, z) < 1e-5
    assert relative(found.attention, attention) < 1e-5


@pytest.mark.parity
def test_the_released_file_is_read_and_written(published: Any, tmp_path: Path) -> None:
    state = published.state("vl_projector")
    bridge = load_bridge(published.folder / "tiny_mllm_hwsi")
    assert {k: tuple(v.shape) for k, v in bridge.released().items()} == {
        k: tuple(v.shape) for k, v in state.items()
    }
    torch.save({"vl_projector_state_dict": bridge.released()}, tmp_path / "vl_projector.pt")
    again = load_bridge(tmp_path)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in bridge.state_dict().items())
    wrong = state | {"cell_proj.proj.projector.1.weight": torch.zeros(48, 385)}
    with pytest.raises(WeightsError, match=r"projectors\.cell\.0\.weight should have shape \(385,\)"):
        load_bridge(wrong)
    with pytest.raises(WeightsError, match=r"wsi_proj\.proj\.projector\.1\.weight is missing"):
        load_bridge({k: v for k, v in state.items() if not k.startswith("wsi")})


def test_what_is_masked_is_not_seen(small: Bridge) -> None:
    given = vectors()
    masks = {
        "region_mask": torch.tensor([[True, True, False], [True, True, True]]),
        "patch_mask": torch.rand(2, 3, 5) > 0.3,
        "cell_mask": torch.rand(2, 3, 5) > 0.3,
    }

    def run(changed: dict[str, Tensor]) -> Bridged:
        with torch.inference_mode():
            return small(**changed, **masks)

    wanted = run(given)
    other = {k: v.clone() for k, v in given.items()}
    other["region"][~masks["region_mask"]] = 9
    other["patch"][~masks["patch_mask"] | ~masks["region_mask"][..., None]] = 9
    other["cell"][~masks["cell_mask"] | ~masks["region_mask"][..., None]] = 9
    found = run(other)
    assert torch.equal(found.tokens, wanted.tokens)
    assert all(torch.equal(found.pooled[scale], wanted.pooled[scale]) for scale in SCALES)
    assert not found.attention[0, :, :, 2].any()
    for scale in SCALES:  # and what is not masked is
        seen = {k: v.clone() for k, v in given.items()}
        seen[scale] += 1.0 + torch.randn_like(seen[scale])
        assert not torch.allclose(run(seen).tokens, wanted.tokens, atol=1e-4), scale


def test_padding_regions_changes_nothing_and_order_means_nothing(small: Bridge) -> None:
    given = vectors(slides=1)
    padded = {
        k: torch.cat([v, torch.randn_like(v[:, :2])], 1) if k != "slide" else v for k, v in given.items()
    }
    mask = torch.tensor([[True, True, True, False, False]])
    turned = {k: v.flip(1) if k != "slide" else v for k, v in given.items()}
    with torch.inference_mode():
        plain, more = small(**given), small(**padded, region_mask=mask)
        back = small(**turned)
    assert more.tokens.numpy() == pytest.approx(plain.tokens.numpy(), abs=1e-5)
    assert back.tokens.numpy() == pytest.approx(plain.tokens.numpy(), abs=1e-5)
    assert back.attention.flip(-1).numpy() == pytest.approx(plain.attention.numpy(), abs=1e-6)
    for scale in SCALES:
        assert more.pooled[scale].numpy() == pytest.approx(plain.pooled[scale].numpy(), abs=1e-5)


def test_the_mean_of_nothing_is_zero() -> None:
    x = torch.tensor([[1.0, 2], [3, 6], [torch.nan, 0]])
    assert masked_mean(x, torch.tensor([True, True, False])).tolist() == [2, 4]
    assert masked_mean(x, torch.tensor([False, False, False])).tolist() == [0, 0]
    assert masked_mean(x[:2], None).tolist() == [2, 4]


def test_gradients_reach_every_weight() -> None:
    bridge = Bridge(16, 12, 4, widths={"slide": 3, "region": 4, "patch": 5, "cell": 6})
    bridge(**vectors()).tokens.square().sum().backward()
    for name, parameter in bridge.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.gpu
def test_cpu_and_gpu_agree(small: Bridge) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    given = vectors()
    with torch.inference_mode():
        wanted = small(**given).tokens
        found = small.to("cuda")(**{k: v.to("cuda") for k, v in given.items()}).tokens.cpu()
    small.to("cpu")
    assert relative(found, wanted) < 1e-3
