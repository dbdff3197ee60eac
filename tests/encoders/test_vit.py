"""One vision transformer: against the published outputs, torch's own layers, and other people's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_hwsi.encoders.layouts import canonical
from napari_hwsi.encoders.positions import resize_positions, rotary
from napari_hwsi.encoders.transformer import Attention
from napari_hwsi.encoders.vit import Anatomy, ViT, read_vit
from napari_hwsi.errors import WeightsError

torch.manual_seed(0)


def relative(found: Any, wanted: Any) -> float:
    """Distance over length, in float64."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def tiny(**changes: Any) -> dict[str, Tensor]:
    """Random weights of a small network, under timm's names."""
    anatomy = Anatomy(**{"width": 32, "depth": 2, "hidden": 48, "patch": (3, 8, 8), "side": 4} | changes)
    state = ViT(anatomy, heads=2).state_dict()
    return {
        name: torch.randn_like(value) * 0.2 + (value.ndim == 1 and name.endswith("weight"))
        for name, value in state.items()
    }


def run(state: dict[str, Tensor], pixels: Tensor, **settings: Any) -> Tensor:
    with torch.inference_mode():
        return read_vit(state, "a checkpoint", **{"heads": 2} | settings)(pixels)


def by_torch(state: dict[str, Tensor], tokens: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Send tokens through torch's own encoder layers with the weights of a state dict."""
    width, depth = tokens.shape[-1], sum(name.endswith("norm1.weight") for name in state)
    for i in range(depth):
        own = {k.removeprefix(f"blocks.{i}."): v for k, v in state.items() if k.startswith(f"blocks.{i}.")}
        hidden = len(own["mlp.fc1.bias"])
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=True
        )
        scale = [own.get(f"ls{n}.gamma", torch.ones(width)) for n in (1, 2)]
        theirs = {
            "self_attn.in_proj_weight": own["attn.qkv.weight"],
            "self_attn.in_proj_bias": own["attn.qkv.bias"],
            "self_attn.out_proj.weight": own["attn.proj.weight"] * scale[0][:, None],
            "self_attn.out_proj.bias": own["attn.proj.bias"] * scale[0],
            "linear1.weight": own["mlp.fc1.weight"],
            "linear1.bias": own["mlp.fc1.bias"],
            "linear2.weight": own["mlp.fc2.weight"] * scale[1][:, None],
            "linear2.bias": own["mlp.fc2.bias"] * scale[1],
        } | {f"norm{n}.{what}": own[f"norm{n}.{what}"] for n in (1, 2) for what in ("weight", "bias")}
        layer.load_state_dict(theirs)
        with torch.inference_mode():
            tokens = layer.train(False)(tokens, src_mask=mask)
    return tokens


@pytest.mark.parity
@pytest.mark.parametrize("part", ["hipt_vit256", "hipt_vit4k"])
def test_both_levels_of_hipt_agree_with_the_published_architecture(published: Any, part: str) -> None:
    golden = published.golden()
    x = torch.from_numpy(golden[f"{part}.input"]).float()
    state = published.state(part)
    vit = read_vit(state, part, heads=6, resizing="dino")
    with torch.inference_mode():
        apart = relative(vit(x)[:, 0], golden[f"{part}.cls"])
        assert apart < 1e-4
        assert relative(vit.attention(x)[:, :, 0], golden[f"{part}.last_attention_cls"]) < 1e-4
        plain = read_vit(state, part, heads=6, resizing="plain")
        assert relative(plain(x)[:, 0], golden[f"{part}.cls"]) > 10 * apart  # the way of resizing is seen


@pytest.mark.parity
def test_another_seed_agrees_with_torchs_own_layers(published: Any) -> None:
    state = published.state("hipt_vit256", further=1)
    x = torch.randn(2, 3, 224, 224)
    patches = F.unfold(x, 16, stride=16).transpose(1, 2) @ state["patch_embed.proj.weight"].flatten(1).T
    patches = patches + state["patch_embed.proj.bias"]
    tokens = torch.cat([state["cls_token"].expand(2, -1, -1), patches], 1) + state["pos_embed"]
    wanted = F.layer_norm(by_torch(state, tokens, 6), (384,), state["norm.weight"], state["norm.bias"], 1e-6)
    assert relative(run(state, x, heads=6, resizing="dino"), wanted) < 1e-5


def test_layer_scale_and_registers_by_torchs_own_layers() -> None:
    state = tiny(layer_scale=True, registers=3, coded=1)
    x = torch.randn(2, 3, 32, 32)
    patches = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], 8)
    codes = state["pos_embed"]
    patches = patches.flatten(2).transpose(1, 2) + codes[:, 1:]
    start = [(state["cls_token"] + codes[:, :1]).expand(2, -1, -1), state["reg_token"].expand(2, -1, -1)]
    tokens = by_torch(state, torch.cat([*start, patches], 1), 2)
    wanted = F.layer_norm(tokens, (32,), state["norm.weight"], state["norm.bias"], 1e-6)
    assert relative(run(state, x), wanted) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"registers": 2, "coded": 0},
        {"registers": 2, "coded": 3},
        {"gated": True},
        {"layer_scale": True},
        {"qkv_bias": False},
        {"patch_bias": False},
        {"pre_norm": True},
        {"side": 0, "coded": 0},
        {"patch": (12,), "depth": 1},
        {"depth": 3, "width": 64, "patch": (1, 4, 4), "side": 7},
    ],
)
def test_the_network_is_read_from_the_shapes(changes: dict[str, Any]) -> None:
    state = tiny(**changes)
    vit = read_vit(state, "a checkpoint", heads=2)
    for field, value in changes.items():
        assert getattr(vit.anatomy, field) == value
    for name, value in state.items():  # each tensor has its say
        x = torch.randn(1, *(12, 4, 4) if vit.anatomy.patch == (12,) else (vit.anatomy.patch[0], 32, 32))
        changed = state | {name: value + torch.randn_like(value)}
        if name.endswith("attn.qkv.bias"):
            changed[name][32:64] = value[32:64]  # a bias of the keys changes no softmax
        assert not torch.allclose(run(state, x), run(changed, x), atol=1e-6), name


def test_attention_is_what_mixes_the_values() -> None:
    attention = Attention(24, 3)
    x, mask = torch.randn(2, 7, 24), torch.rand(2, 1, 7, 7) > 0.4
    mask = mask | torch.eye(7, dtype=torch.bool)
    values = attention.qkv(x)[..., 48:].unflatten(-1, (3, 8)).transpose(1, 2)
    weights = attention.weights(x, 7, mask)
    assert torch.equal(weights > 0, mask.expand(-1, 3, -1, -1))
    assert weights.sum(-1).detach().numpy() == pytest.approx(1, abs=1e-6)
    mixed = attention.proj((weights @ values).transpose(1, 2).flatten(2))
    assert torch.allclose(mixed, attention(x, mask), atol=1e-6)
    assert torch.equal(attention.weights(x, 2, mask), weights[:, :, :2])


def test_attention_of_any_block_and_tokens_of_any_block() -> None:
    state, x = tiny(depth=3, registers=2, coded=0), torch.randn(2, 3, 32, 40)
    vit = read_vit(state, "a checkpoint", heads=2)
    with torch.inference_mode():
        assert vit.attention(x, 0).shape == (2, 2, 1, 3 + 4 * 5)
        assert torch.equal(vit.attention(x, 2), vit.attention(x, -1))
        assert not torch.allclose(vit.attention(x, 0), vit.attention(x, 1))
        assert torch.equal(vit.to_patches(x), vit.attention(x)[:, :, 0, 3:].view(2, 2, 4, 5))
        first, last = vit.after(x, (0, -1))
        assert torch.equal(vit.norm(last), vit(x))
        shorter = {k: v for k, v in state.items() if not k.startswith(("blocks.1", "blocks.2"))}
        assert torch.allclose(vit.norm(first), run(shorter, x), atol=1e-6)
    with pytest.raises(IndexError):
        vit.attention(x, 3)


@pytest.mark.parametrize("how", ["dino", "timm", "plain"])
def test_codes_keep_their_meaning_on_another_grid(how: Any) -> None:
    flat = torch.full((1, 49, 2), 0.3)
    assert torch.allclose(resize_positions(flat, (5, 9), how), torch.full((1, 45, 2), 0.3), atol=1e-6)
    ramp = torch.arange(7.0).repeat(7, 1).view(1, 49, 1)  # grows with x
    assert torch.equal(resize_positions(ramp, (7, 7), how), ramp)
    wide = resize_positions(ramp, (7, 14), how).view(7, 14)
    assert torch.allclose(wide[0], wide[-1], atol=1e-5)
    assert (wide[0].diff() > -0.05).all()
    assert wide[0, 3:11].numpy() == pytest.approx((np.arange(3, 11) + 0.5) / 2 - 0.5, abs=0.1)


def test_rotary_codes_tell_only_how_far_apart() -> None:
    sin, cos = (code.view(5, 6, 16) for code in rotary((5, 6), 16, 100.0, torch.device("cpu")))
    q, k = torch.randn(2, 16)

    def turned(x: Tensor, y: int, xx: int) -> Tensor:
        first, second = x.chunk(2)
        return x * cos[y, xx] + torch.cat([-second, first]) * sin[y, xx]

    def score(a: tuple[int, int], b: tuple[int, int]) -> float:
        return float(turned(q, *a) @ turned(k, *b))

    assert score((0, 0), (2, 1)) == pytest.approx(score((2, 4), (4, 5)), abs=1e-5)
    assert score((0, 0), (2, 1)) != pytest.approx(score((0, 0), (1, 2)), abs=1e-3)
    middle = rotary((1, 1), 16, 100.0, torch.device("cpu"))
    assert torch.equal(middle[0], torch.zeros(1, 16))


def others(state: dict[str, Tensor], renames: list[tuple[str, str]]) -> dict[str, Tensor]:
    """Name the tensors as others do, query, key and value apart where a rename says so."""
    found = {}
    for name, value in state.items():
        for ours, theirs in renames:
            name = name.replace(ours, theirs)
        if "{}" in name:
            found |= {name.format(part): v for part, v in zip("qkv", value.chunk(3), strict=True)}
        else:
            found[name] = value
    return found


LAYOUTS = {
    "DINO teacher": [("", "")],
    "transformers ViT": [
        ("cls_token", "embeddings.cls_token"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        ("blocks.", "encoder.layer."),
        ("attn.proj", "attention.output.dense"),
        ("attn.qkv", "attention.attention.{}"),
        ("norm1", "layernorm_before"),
        ("norm2", "layernorm_after"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
        ("norm.", "layernorm."),
    ],
    "DINOv2": [("reg_token", "register_tokens"), ("mlp.fc1", "mlp.w12"), ("mlp.fc2", "mlp.w3")],
    "DINOv2 in chunks": [("blocks.0", "blocks.0.0"), ("blocks.1", "blocks.1.1")],
    "CLIP": [("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"), ("norm1", "ln_1")],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_names_are_read_alike(layout: str) -> None:
    state, x = tiny(gated="DINOv2" in layout, registers=2 * (layout == "DINOv2")), torch.randn(1, 3, 32, 32)
    named = others(state, LAYOUTS[layout])
    if layout == "transformers ViT":
        words = {"q": "query", "k": "key", "v": "value"}
        named = {".".join(words.get(part, part) for part in k.split(".")): v for k, v in named.items()}
        named["pooler.dense.weight"] = torch.zeros(32, 32)
    if layout.startswith("DINO"):
        named = {f"module.backbone.{k}": v for k, v in named.items()} | {"module.head.mlp.0.weight": x}
        named["module.backbone.mask_token"] = torch.zeros(1, 32)
    assert {*named} != {*state}
    assert {*canonical(named)} == {*state}
    assert torch.equal(run(named, x), run(state, x))


def test_dinov3_keys_have_no_bias_and_its_swiglu_stands_apart() -> None:
    state, x = tiny(gated=True, side=0, coded=0, registers=4), torch.randn(1, 3, 32, 32)
    for name in [name for name in state if name.endswith("qkv.bias")]:
        state[name][32:64] = 0
    meta = {}
    for name, value in state.items():
        if ".mlp.fc1." in name:
            gate, up = value.chunk(2)
            meta |= {name.replace("fc1", "w1"): gate, name.replace("fc1", "w2"): up}
        elif name.endswith("qkv.bias"):
            mask = torch.ones(96)
            mask[32:64] = 0
            noise = torch.where(mask == 0, torch.full_like(value, torch.nan), value)
            meta |= {name: noise, f"{name}_mask": mask}
        else:
            meta[name.replace("mlp.fc2", "mlp.w3").replace("reg_token", "storage_tokens")] = value
    meta["rope_embed.periods"] = torch.ones(4)
    assert torch.equal(run(meta, x), run(state, x))


def test_transformers_own_models_agree(tmp_path: Any) -> None:
    """The files that transformers writes, against what its own classes compute."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("safetensors")
    size = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    models = [
        ("ViT", "plain", {"intermediate_size": 48, "layer_norm_eps": 1e-6}),
        ("Dinov2", "plain", {"mlp_ratio": 2}),
        ("Dinov2", "plain", {"mlp_ratio": 2, "use_swiglu_ffn": True}),
        ("Dinov2WithRegisters", "timm", {"mlp_ratio": 2, "num_register_tokens": 3}),
        ("DINOv3ViT", "timm", {"intermediate_size": 48, "num_register_tokens": 3, "layer_norm_eps": 1e-6}),
    ]
    from napari_hwsi.encoders.weights import read_weights

    for i, (kind, resizing, settings) in enumerate(models):
        config = getattr(transformers, f"{kind}Config")(**size, **settings)
        model = getattr(transformers, f"{kind}Model")(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(tmp_path / str(i))
        state, where = read_weights(tmp_path / str(i))
        for shape in [(32, 32)] + [(48, 32)] * (kind != "ViT"):
            x = torch.randn(2, 3, *shape)
            with torch.inference_mode():
                wanted = model(x).last_hidden_state
                found = read_vit(state, where, heads=2, resizing=resizing)(x)  # type: ignore[arg-type]
            assert relative(found, wanted) < 1e-5, (kind, shape)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.1.norm2.weight": torch.ones(33)}, r"blocks\.1\.norm2\.weight .*\(32,\).*\(33,\)"),
        ({"blocks.0.attn.qkv.weight": torch.ones(96, 64)}, r"attn\.qkv\.weight .*\(96, 32\).*\(96, 64\)"),
        ({"norm.bias": None}, r"norm\.bias of shape \(32,\) is missing"),
        ({"cls_token": None}, r"cls_token is missing"),
        ({"decoder.weight": torch.ones(2)}, r"1 tensors that have no place.*decoder\.weight"),
        ({"pos_embed": torch.ones(1, 19, 32)}, r"pos_embed holds 19 codes"),
    ],
)
def test_a_wrong_checkpoint_is_told_by_its_tensor(change: dict[str, Tensor | None], message: str) -> None:
    state = {k: v for k, v in (tiny() | change).items() if v is not None}
    with pytest.raises(WeightsError, match=f"^my.pth: .*{message}"):
        read_vit(state, "my.pth", heads=2)
    with pytest.raises(WeightsError, match="5 heads"):
        read_vit(tiny(), "my.pth", heads=5)
