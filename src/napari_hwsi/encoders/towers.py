"""The image towers of the published layouts, each from normalised pixels to one vector an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError
from .clip import ClipImage
from .conch import ConchImage
from .layouts import under
from .positions import Resizing
from .registry import Pooling
from .vit import ViT, read_vit
from .weights import fill, missing_tensor


class ViTImage(nn.Module):
    """A ViT whose class token, alone or with the mean of the patches after it, is the vector of an image."""

    def __init__(self, vit: ViT, pooling: Pooling = "cls") -> None:
        super().__init__()
        self.vit, self.pooling = vit, pooling
        self.width = vit.anatomy.width * (2 if pooling == "cls+mean" else 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (N, width)."""
        tokens = self.vit(pixels)
        if self.pooling == "cls":
            return tokens[:, 0]
        return torch.cat([tokens[:, 0], tokens[:, self.vit.prefix :].mean(1)], -1)

    def attention(self, pixels: Tensor, block: int = -1) -> Tensor:
        """Return the class token's attention to the patches, (N, heads, rows, columns)."""
        return self.vit.to_patches(pixels, block)


class KeepImage(nn.Module):
    """KEEP: a ViT, then two linear layers with GELU, to length one (Zhou et al. 2026)."""

    def __init__(self, visual: ViT, width: int) -> None:
        super().__init__()
        self.visual, self.width = visual, width
        self.visual_head = nn.Sequential(
            nn.Linear(visual.anatomy.width, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (N, width)."""
        return F.normalize(self.visual_head(self.visual(pixels)[:, 0]), dim=-1)

    def attention(self, pixels: Tensor, block: int = -1) -> Tensor:
        """Return the class token's attention to the patches, (N, heads, rows, columns)."""
        return self.visual.to_patches(pixels, block)


Tower: TypeAlias = ViTImage | KeepImage | ConchImage | ClipImage


def read_vit_image(
    state: Mapping[str, Tensor],
    where: str,
    *,
    width: int | None = None,
    heads: int | None = None,
    eps: float = 1e-6,
    resizing: Resizing = "timm",
    pooling: Pooling = "cls",
) -> ViTImage:
    """Build a ViT encoder from a checkpoint; width: of its vectors, where known, else any will do."""
    vit = read_vit(state, where, heads=heads, eps=eps, resizing=resizing)
    tower = ViTImage(vit, pooling)
    if width not in (None, tower.width):
        wanted = width // (tower.width // vit.anatomy.width)
        raise WeightsError(
            f"{where}: tensor cls_token should have shape {(1, 1, wanted)}, but has "
            f"{tuple(vit.cls_token.shape)}: this is a checkpoint of another model."
        )
    return tower


def read_keep(state: Mapping[str, Tensor], where: str) -> KeepImage:
    """Build the image tower of KEEP from its checkpoint; its text tower is left out. Raises WeightsError."""
    head = {name: value for name, value in state.items() if name.startswith("visual_head.")}
    if "visual_head.0.weight" not in head:
        raise missing_tensor("visual_head.0.weight", state, where)
    visual = read_vit(under(state, "visual."), f"{where} (image tower)")
    with torch.device("meta"):
        tower = KeepImage(visual, head["visual_head.0.weight"].shape[0])
    return fill(tower, head | {f"visual.{k}": v for k, v in visual.state_dict().items()}, where)
