"""One vision transformer that reads every plain ViT published for pathology.

Its tensors are named as in timm and DINO; :mod:`.layouts` brings other names to these. All that shapes
can tell (depth, width, registers, LayerScale, SwiGLU, biases) is read from the checkpoint itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from .layouts import canonical
from .positions import Resizing, resize_positions, rotary
from .transformer import Block, Rotation
from .weights import fill, missing_tensor

_ROPE_BASE = 100.0  # DINOv3


@dataclass(frozen=True)
class Anatomy:
    """What the tensors of a ViT checkpoint say of its network.

    patch: (channels, py, px) of the patch embedding, or (features,) where it is linear (HIPT ViT-4K);
    hidden: width inside the MLP; side: of the square grid that the position codes are for, 0 with rotary
    ones; coded: how many more codes there are, for none of the other tokens (timm's no_embed_class), for
    the class token, or for it and the registers.
    """

    width: int
    depth: int
    hidden: int
    patch: tuple[int, ...]
    patch_bias: bool = True
    side: int = 0
    coded: int = 1
    registers: int = 0
    gated: bool = False
    layer_scale: bool = False
    qkv_bias: bool = True
    pre_norm: bool = False

    @classmethod
    def of(cls, state: Mapping[str, Tensor], where: str) -> Anatomy:
        """Read it from a state dict in timm's naming; raises WeightsError if that is none of a ViT."""
        linear = "phi.0.weight" in state
        embedding = "phi.0" if linear else "patch_embed.proj"
        mlp = "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight"
        for name in ("cls_token", f"{embedding}.weight", *mlp):
            if name not in state:
                raise missing_tensor(name, state, where)
        hidden = state[mlp[1]].shape[-1]
        registers = state["reg_token"].shape[1] if "reg_token" in state else 0
        codes = state["pos_embed"].shape[1] if "pos_embed" in state else 0
        side, coded = _square(codes, registers, where) if codes else (0, 0)
        return cls(
            width=state["cls_token"].shape[-1],
            depth=1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
            hidden=hidden,
            patch=tuple(state[f"{embedding}.weight"].shape[1:]),
            patch_bias=f"{embedding}.bias" in state,
            side=side,
            coded=coded,
            registers=registers,
            gated=state[mlp[0]].shape[0] == 2 * hidden,
            layer_scale="blocks.0.ls1.gamma" in state,
            qkv_bias="blocks.0.attn.qkv.bias" in state,
            pre_norm="norm_pre.weight" in state,
        )


class ViT(nn.Module):
    """Class token, registers and patches through pre-norm blocks (Dosovitskiy et al. 2021).

    heads and eps stand in no tensor and must be known; resizing: how the position codes are brought to
    another grid. With no position codes in the file the patches are placed by rotary codes (DINOv3).
    """

    def __init__(self, anatomy: Anatomy, heads: int, eps: float = 1e-6, resizing: Resizing = "timm") -> None:
        super().__init__()
        a = self.anatomy = anatomy
        self.resizing, self.heads, self.prefix = resizing, heads, 1 + a.registers
        if len(a.patch) == 1:
            self.phi = nn.Sequential(nn.Linear(a.patch[0], a.width), nn.GELU())
        else:
            channels, *size = a.patch
            step = (size[0], size[1])
            self.patch_embed = nn.ModuleDict(
                {"proj": nn.Conv2d(channels, a.width, step, step, bias=a.patch_bias)}
            )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, a.width))
        if a.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, a.registers, a.width))
        if a.side:
            self.pos_embed = nn.Parameter(torch.zeros(1, a.coded + a.side**2, a.width))
        self.norm_pre = nn.LayerNorm(a.width, eps) if a.pre_norm else nn.Identity()
        self.blocks = nn.ModuleList(
            Block(
                a.width,
                heads,
                a.hidden,
                gated=a.gated,
                layer_scale=a.layer_scale,
                bias=a.qkv_bias,
                eps=eps,
            )
            for _ in range(a.depth)
        )
        self.norm = nn.LayerNorm(a.width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normed tokens (N, 1 + registers + h * w, W), class token first, then registers.

        x: normalised pixels (N, C, Y, X), or (N, features, h, w) where the embedding is linear.
        """
        return self.norm(self.after(x, (-1,))[0])

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Return how many patches (h, w) the network makes of x."""
        py, px = self.anatomy.patch[1:] or (1, 1)
        return x.shape[2] // py, x.shape[3] // px

    def after(self, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Return the tokens as they leave the given blocks (0 the first, -1 the last), not yet normed."""
        wanted = [range(len(self.blocks))[i] for i in blocks]
        rotation, tokens, kept = self._rotation(x), self._embed(x), {}
        for i, block in enumerate(self.blocks[: max(wanted) + 1]):
            tokens = kept[i] = block(tokens, rotation=rotation)
            if i not in wanted:
                del kept[i]
        return [kept[i] for i in wanted]

    def attention(self, x: Tensor, block: int = -1, queries: int = 1) -> Tensor:
        """Return how the first ``queries`` tokens of a block look at all, (N, heads, queries, T)."""
        last = range(len(self.blocks))[block]
        rotation, tokens = self._rotation(x), self._embed(x)
        for before in self.blocks[:last]:
            tokens = before(tokens, rotation=rotation)
        chosen: Any = self.blocks[last]
        return chosen.attention(tokens, queries, rotation=rotation)

    def to_patches(self, x: Tensor, block: int = -1) -> Tensor:
        """Return the class token's attention to the patches of a block, (N, heads, h, w)."""
        attention = self.attention(x, block)
        return attention[:, :, 0, self.prefix :].reshape(*attention.shape[:2], *self.grid(x))

    def _rotation(self, x: Tensor) -> Rotation | None:
        if self.anatomy.side:
            return None
        return rotary(self.grid(x), self.anatomy.width // self.heads, _ROPE_BASE, x.device)

    def _embed(self, x: Tensor) -> Tensor:
        grid = self.grid(x)
        if len(self.anatomy.patch) == 1:
            patches = self.phi(x.flatten(2).transpose(1, 2))
        else:
            patches = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        start: Tensor = self.cls_token
        if self.anatomy.registers:
            start = torch.cat([start, self.reg_token], 1)
        if self.anatomy.side:
            codes, coded = self.pos_embed, self.anatomy.coded
            patches = patches + resize_positions(codes[:, coded:], grid, self.resizing)
            start = torch.cat([start[:, :coded] + codes[:, :coded], start[:, coded:]], 1)
        return self.norm_pre(torch.cat([start.expand(len(x), -1, -1), patches], 1))


def _square(codes: int, registers: int, where: str) -> tuple[int, int]:
    """Return the side of the grid that position codes are for, and how many belong to no patch."""
    for coded in (0, 1, 1 + registers):
        side = math.isqrt(max(codes - coded, 0))
        if side and side**2 == codes - coded:
            return side, coded
    raise WeightsError(f"{where}: tensor pos_embed holds {codes} codes, which fill no square of patches.")


def read_vit(
    state: Mapping[str, Tensor],
    where: str,
    *,
    heads: int | None = None,
    eps: float = 1e-6,
    resizing: Resizing = "timm",
) -> ViT:
    """Build the network of a checkpoint and fill it, on the CPU, in evaluation mode.

    state: tensors under any of the names that :func:`.layouts.canonical` knows; where: what messages call
    the checkpoint; heads: 64 channels a head unless given. Raises WeightsError, naming the tensor, for a
    checkpoint that is none of a ViT or whose tensors do not belong together.
    """
    state = canonical(state)
    anatomy = Anatomy.of(state, where)
    heads = heads or max(anatomy.width // 64, 1)
    if anatomy.width % heads:
        raise WeightsError(f"{where}: {heads} heads do not divide a width of {anatomy.width}.")
    with torch.device("meta"):
        vit = ViT(anatomy, heads, eps, resizing)
    return fill(vit, state, where)
