"""CellViT-256: maps of nuclei, and a vector for each, in one pass (Hörst et al. 2024,
https://doi.org/10.1016/j.media.2024.103143).

The network alone: its maps become nuclei, and nuclei become cells, where cells are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layouts import under
from .vit import ViT, read_vit
from .weights import Source, fill, missing_tensor, read_weights

TYPES = ("background", "neoplastic", "inflammatory", "connective", "dead", "epithelial")
"""The channels of the type map, as trained on PanNuke."""

_HEADS = 6
_SKIPS = (2, 5, 8, -1)


@dataclass(frozen=True)
class Maps:
    """What the network says of N images of Y x X px, before any softmax.

    nuclei: (N, 2, Y, X), background and nucleus; distances: (N, 2, Y, X), horizontal then vertical, to the
    centre of the nucleus; types: (N, types, Y, X), see :data:`TYPES`; tokens: (N, 384, Y / 16, X / 16), the
    last block's; tissues: (N, 19), one for each tissue of PanNuke.
    """

    nuclei: Tensor
    distances: Tensor
    types: Tensor
    tokens: Tensor
    tissues: Tensor


class Conv(nn.Module):
    """A 3 x 3 convolution with batch norm and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, after, h, w)."""
        return self.block(x)


class Deconv(nn.Module):
    """A transposed convolution to twice the size, then a 3 x 3 convolution with batch norm and ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.block = nn.Sequential(_double(before, after), *Conv(after, after).block)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, after, 2 h, 2 w)."""
        return self.block(x)


def _double(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 2, stride=2)


class Head(nn.Module):
    """One way up from the tokens to a map, taking in a skip at each size (as in UNETR)."""

    def __init__(self, width: int, neck: int, out: int) -> None:
        super().__init__()
        self.bottleneck_upsampler = _double(width, neck)
        self.decoder3_upsampler = nn.Sequential(
            Conv(2 * neck, neck), Conv(neck, neck), Conv(neck, neck), _double(neck, 256)
        )
        self.decoder2_upsampler = nn.Sequential(Conv(512, 256), Conv(256, 256), _double(256, 128))
        self.decoder1_upsampler = nn.Sequential(Conv(256, 128), Conv(128, 128), _double(128, 64))
        self.decoder0_header = nn.Sequential(Conv(128, 64), Conv(64, 64), nn.Conv2d(64, out, 1))

    def forward(self, skips: list[Tensor], bottom: Tensor) -> Tensor:
        """Return the map (N, out, Y, X) from skips of full, half, fourth and eighth size and the tokens."""
        full, half, fourth, eighth = skips
        x = self.decoder3_upsampler(torch.cat([eighth, self.bottleneck_upsampler(bottom)], 1))
        x = self.decoder2_upsampler(torch.cat([fourth, x], 1))
        x = self.decoder1_upsampler(torch.cat([half, x], 1))
        return self.decoder0_header(torch.cat([full, x], 1))


class CellViT(nn.Module):
    """A ViT-S/16 whose blocks 3, 6, 9 and 12 feed three heads."""

    def __init__(self, encoder: ViT, neck: int, types: int, tissues: int) -> None:
        super().__init__()
        width = encoder.anatomy.width
        self.encoder = encoder
        self.encoder.add_module("head", nn.Linear(width, tissues))
        self.decoder0 = nn.Sequential(Conv(3, 32), Conv(32, 64))
        self.decoder1 = nn.Sequential(Deconv(width, 256), Deconv(256, 128), Deconv(128, 128))
        self.decoder2 = nn.Sequential(Deconv(width, 256), Deconv(256, 256))
        self.decoder3 = nn.Sequential(Deconv(width, neck))
        self.nuclei_binary_map_decoder = Head(width, neck, 2)
        self.hv_map_decoder = Head(width, neck, 2)
        self.nuclei_type_maps_decoder = Head(width, neck, types)

    def forward(self, pixels: Tensor) -> Maps:
        """Return the maps of pixels (N, 3, Y, X), sides divisible by 16, scaled to [-1, 1]."""
        grid = self.encoder.grid(pixels)
        ends = self.encoder.after(pixels, _SKIPS)
        z1, z2, z3, z4 = (
            tokens[:, self.encoder.prefix :].transpose(1, 2).reshape(len(pixels), -1, *grid)
            for tokens in ends
        )
        skips = [self.decoder0(pixels), self.decoder1(z1), self.decoder2(z2), self.decoder3(z3)]
        return Maps(
            nuclei=self.nuclei_binary_map_decoder(skips, z4),
            distances=self.hv_map_decoder(skips, z4),
            types=self.nuclei_type_maps_decoder(skips, z4),
            tokens=z4,
            tissues=self.encoder.get_submodule("head")(self.encoder.norm(ends[-1][:, 0])),
        )


def load_cellvit(source: Source) -> CellViT:
    """Read CellViT-256 from its file, a folder, a hub id or a state dict; raises WeightsError."""
    state, where = read_weights(source)
    sizes = {
        "neck": "decoder3.0.block.0.bias",
        "types": "nuclei_type_maps_decoder.decoder0_header.2.bias",
        "tissues": "encoder.head.bias",
    }
    for name in sizes.values():
        if name not in state:
            raise missing_tensor(name, state, where)
    encoder = read_vit(under(state, "encoder."), f"{where} (encoder)", heads=_HEADS, resizing="dino")
    with torch.device("meta"):
        network = CellViT(encoder, **{key: len(state[name]) for key, name in sizes.items()})
    return fill(network, state, where)
