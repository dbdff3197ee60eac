"""The names that published files give to the tensors of a transformer, brought to timm's.

timm and DINO name alike; DINOv2 and DINOv3 files, transformers' ViT, Dinov2 and DINOv3ViT, and torch's own
multi-head attention differ in names, and in whether query, key and value stand in one tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_NAMES = (
    # blocks in chunks (DINOv2 trained with FSDP)
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),
    # transformers
    (r"^(?:vit|dinov2|model)\.(?=embeddings|encoder|layer)", ""),
    (r"^embeddings\.(cls|mask)_token$", r"\1_token"),
    (r"^embeddings\.register_tokens$", "reg_token"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.(?:projection\.)?", "patch_embed.proj."),
    (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"^layernorm\.", "norm."),
    (r"\.attention\.(?:attention\.)?([qkv])(?:uery|ey|alue|_proj)\.", r".attn.\1."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.weights_out\.", ".mlp.fc2."),
    (r"\.mlp\.gate_proj\.", ".mlp.w1."),
    (r"\.mlp\.down_proj\.", ".mlp.fc2."),
    # DINOv2, DINOv3
    (r"^(?:register|storage)_tokens$", "reg_token"),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
    # torch's multi-head attention, CLIP
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.attn\.in_proj_", ".attn.qkv."),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_RENAMED = tuple((re.compile(theirs), timms) for theirs, timms in _NAMES)
_UNUSED = re.compile(
    r"mask_token$|head\.|head_dist\.|dino_head\.|ibot_head\.|pooler\.|rope_embed\.|classifier\."
)
_PART = re.compile(r"(?P<where>.*)\.(?P<part>q|k|v|w1|w2)\.(?P<what>weight|bias)")
_ORDER = ("q", "k", "v", "w1", "w2")


def under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a transformer under timm's names: q, k and v packed, and the halves of a SwiGLU.

    Tensors for training alone (mask token, heads) are left out; names nobody knows stay as they are.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    state = under(state, "backbone.") or state
    up = ".mlp.w2." if any(".mlp.gate_proj." in name for name in state) else ".mlp.fc1."
    named: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        name = name.replace(".mlp.up_proj.", up)
        for pattern, replacement in _RENAMED:
            name = pattern.sub(replacement, name)
        if found := _PART.fullmatch(name):
            whole = "qkv" if found["part"][0] in "qkv" else "fc1"
            parts.setdefault(f"{found['where']}.{whole}.{found['what']}", {})[found["part"]] = value
        elif not _UNUSED.match(name):
            named[name] = value
    for name, pieces in parts.items():
        if "k" not in pieces and "q" in pieces:  # DINOv3 has no bias for keys
            pieces["k"] = torch.zeros_like(pieces["q"])
        named[name] = torch.cat([pieces[part] for part in _ORDER if part in pieces])
    for name in [name for name in named if name.endswith(".bias_mask")]:
        mask, bias = named.pop(name), name.removesuffix("_mask")
        named[bias] = torch.where(mask == 0, 0, named[bias])
    return named
