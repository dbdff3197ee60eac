"""Crops of sources as the network is trained on them: other scales, stains, blur, noise, compression."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..cells.pocket_stain import Staining, staining_of
from ..slides import RGB
from ..tissue import HE_MATRIX, optical_density
from .sources import Source, distances

CROP_PX = 256
MPP = 0.5
_FINEST = 0.3
_FEW = 0.03  # share of a crop that is nuclei

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Prepared:
    """A source with its targets: nucleus, depth, vertical, horizontal, known, type; float32 (6, Y, X)."""

    kind: str
    rgb: Floats
    mpp: float
    targets: Floats

    @classmethod
    def of(cls, source: Source) -> Prepared:
        """Work the targets out once; finer pictures than are ever looked at are made smaller first."""
        if source.mpp < _FINEST:
            source = _coarser(source)
        maps = (source.labels > 0, *distances(source.labels), source.known, source.types)
        density = optical_density(source.rgb).transpose(2, 0, 1)
        return cls(source.kind, np.ascontiguousarray(density), source.mpp, np.stack(maps).astype(np.float32))


def _coarser(source: Source) -> Source:
    """Return a source at 0.3 µm/px."""
    size = [round(n * source.mpp / _FINEST) for n in source.labels.shape]
    rows, columns = (
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, source.labels.shape, strict=True)
    )
    labels, known, types = (a[rows[:, None], columns] for a in (source.labels, source.known, source.types))
    rgb = np.asarray(Image.fromarray(source.rgb).resize(size[::-1], Image.Resampling.BOX))
    return replace(source, rgb=rgb, mpp=_FINEST, labels=labels, known=known, types=types)


@dataclass(frozen=True)
class Batch:
    """density: (N, 3, Y, X); the targets (N, ·, Y, X): nucleus, depth, offsets (2), known, types (long).

    doubted: bool (N, 1, 1, 1), crops whose background is not sure.
    """

    density: Tensor
    nucleus: Tensor
    depth: Tensor
    offsets: Tensor
    known: Tensor
    types: Tensor
    doubted: Tensor


def make_batch(prepared: Sequence[Prepared], rng: np.random.Generator) -> Batch:
    """Return one augmented crop of each source."""
    pairs = [_crop(one, rng) for one in prepared]
    targets = torch.stack([target for _, target in pairs])
    density = torch.stack([density for density, _ in pairs])
    return Batch(
        density,
        targets[:, 0:1],
        targets[:, 1:2],
        targets[:, 2:4],
        targets[:, 4:5],
        targets[:, 5].long(),
        torch.tensor([one.kind == "real" for one in prepared]).view(-1, 1, 1, 1),
    )


def _crop(one: Prepared, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    height, width = one.targets.shape[1:]
    ratio = MPP / one.mpp * float(np.exp(rng.uniform(np.log(0.75), np.log(1.35))))  # source px per px
    size = round(CROP_PX * ratio)
    (rows, up), (columns, left) = (_span(n, size, rng) for n in (height, width))
    window = np.ix_(rows, columns)
    density = torch.from_numpy(np.stack([channel[window] for channel in one.rgb]))[None]
    target = torch.from_numpy(np.stack([channel[window] for channel in one.targets]))[None]
    target[0, 2] *= torch.from_numpy(up)[:, None]
    target[0, 3] *= torch.from_numpy(left)
    out = (CROP_PX, CROP_PX)
    density = functional.interpolate(density, out, mode="bilinear", antialias=ratio > 1)[0]
    target = functional.interpolate(target, out, mode="nearest-exact")[0]
    density, target = _turned(density, target, rng)
    if one.kind == "masks" and rng.uniform() < 0.7:
        density = _restained(density, target, rng)
    if rng.uniform() < 0.4:
        density = _paler(density, target, rng)
    if rng.uniform() < 0.35:
        density = density + _ground(rng)
    density = _stained_otherwise(density, rng)
    density = _blurred(density, rng)
    image = _photographed(density, rng)
    few = float(target[0].mean()) < _FEW
    return torch.from_numpy(np.ascontiguousarray(_evened(image, few, rng).transpose(2, 0, 1))), target


def _span(length: int, size: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Floats]:
    """Return where ``size`` neighbours begin at random, mirrored past an edge; −1 in a mirror."""
    start = int(rng.integers(0, max(length - size + 1, 1) if size <= length else length))
    folded = np.arange(start, start + size) % (2 * length)
    mirrored = folded >= length
    return np.where(mirrored, 2 * length - 1 - folded, folded), np.where(mirrored, -1, 1).astype(np.float32)


def _turned(density: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return both mirrored and transposed at random; offsets are vectors and turn with them."""
    if rng.uniform() < 0.5:
        density, target = density.flip(-1), target.flip(-1).clone()
        target[3] *= -1
    if rng.uniform() < 0.5:
        density, target = density.flip(-2), target.flip(-2).clone()
        target[2] *= -1
    if rng.uniform() < 0.5:
        density, target = density.transpose(-1, -2), target.transpose(-1, -2)[[0, 1, 3, 2, 4, 5]]
    return density.contiguous(), target.contiguous()


def _restained(density: Tensor, target: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a picture of one dye as if nuclei were stained with haematoxylin and the rest with eosin."""
    inside = functional.avg_pool2d(target[0:1][None], 5, 1, 2, count_include_pad=False)[0, 0]
    amount = density.mean(0)
    ground = torch.quantile(amount, 0.05)
    amount = (amount - ground).clamp(min=0)
    amount = amount / torch.quantile(amount, 0.98).clamp(min=0.1)
    leak = rng.uniform(0, 0.35)
    blue = amount * (inside + leak * (1 - inside)) * rng.uniform(0.5, 1.1)
    grain = _grain(24, rng) * rng.uniform(0, 1)
    pink = (0.25 + 0.9 * grain + 1.5 * amount * (1 - inside)) * rng.uniform(0.1, 0.6)
    pink = pink * (1 - 0.6 * inside)
    vectors = torch.from_numpy(HE_MATRIX.astype(np.float32))
    return vectors[0, :, None, None] * blue + vectors[1, :, None, None] * pink


_BASIS = np.vstack([HE_MATRIX, np.cross(*HE_MATRIX)]).astype(np.float32)
_BASIS /= np.linalg.norm(_BASIS, axis=1, keepdims=True)


def _paler(density: Tensor, target: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the picture with nuclei that stand out less, some more so than others."""
    inside = functional.avg_pool2d(target[None, 0:1], 5, 1, 2, count_include_pad=False)
    beside = torch.cat([density[None] * (1 - inside), 1 - inside], dim=1)
    beside = functional.avg_pool2d(functional.avg_pool2d(beside, 8), 5, 1, 2)
    beside = functional.interpolate(beside, (CROP_PX, CROP_PX), mode="bilinear")
    around = beside[:, :3] / (beside[:, 3:] + 0.01)
    share = _grain(14, rng) * float(rng.uniform(0.2, 0.7))
    return density - (share * inside * (density[None] - around).clamp(min=0))[0]


def _ground(rng: np.random.Generator) -> Tensor:
    """Return a ground of either dye to lie on, (3, Y, X): cloudy to fibrous, as matrix and cytoplasm are."""
    coarse, fine = int(rng.integers(4, 20)), int(rng.integers(24, 110))
    vectors = torch.from_numpy(HE_MATRIX.astype(np.float32))
    amounts = torch.stack([_grain(coarse, rng) + _grain(fine, rng) for _ in range(2)])
    strengths = torch.from_numpy(rng.uniform(0, (0.07, 0.18)).astype(np.float32))
    return torch.einsum("dhw,d,dc->chw", amounts, strengths, vectors)


def _grain(cells: int, rng: np.random.Generator) -> Tensor:
    """Return noise between about 0 and 1, (Y, X), with so many independent values a side."""
    values = torch.from_numpy(rng.random((1, 1, cells, cells), np.float32))
    return functional.interpolate(values, (CROP_PX, CROP_PX), mode="bicubic")[0, 0].clamp(0, 1)


def _stained_otherwise(density: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the picture with other amounts and hues of its stains, and another ground."""
    strong = 1.0 if rng.uniform() < 0.6 else 2.0
    factors = np.exp(rng.normal(0, 0.2 * strong, 3)) * np.exp(rng.normal(-0.1, 0.35))
    hues = _BASIS + rng.normal(0, 0.04 * strong, (3, 3))
    hues *= np.linalg.norm(_BASIS, axis=1, keepdims=True) / np.linalg.norm(hues, axis=1, keepdims=True)
    mix = (np.linalg.inv(_BASIS) * factors) @ hues
    ground = rng.normal(0.0, 0.02, 3) + abs(rng.normal(0, 0.02))
    power = float(np.exp(rng.normal(0, 0.1)))
    mixed = torch.einsum("chw,cd->dhw", density, torch.from_numpy(mix.astype(np.float32)))
    mixed = mixed.clamp(min=0) ** power
    return mixed + torch.from_numpy(ground.astype(np.float32))[:, None, None]


def _blurred(density: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the picture out of focus, at a coarser scan, sharpened, or as it is."""
    draw = rng.uniform()
    if draw < 0.3:
        return _gaussian(density, float(rng.uniform(0.4, 2.0)))
    if draw < 0.55:
        small = int(CROP_PX / rng.uniform(1.2, 2.1))
        coarse = functional.interpolate(density[None], (small, small), mode="bilinear", antialias=True)
        return functional.interpolate(coarse, (CROP_PX, CROP_PX), mode="bilinear")[0]
    if draw < 0.7:
        return density + float(rng.uniform(0.2, 0.9)) * (density - _gaussian(density, 1.0))
    return density


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    reach = int(np.ceil(2.5 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    line = line / line.sum()
    image = functional.pad(image[:, None], (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(image, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))[:, 0]


def _photographed(density: Tensor, rng: np.random.Generator) -> RGB:
    """Return the picture (Y, X, 3), one in five through glare, with noise, half of them compressed."""
    light = 256 * 10 ** -density.clamp(0, 2.5) - 1
    if rng.uniform() < 0.2:
        glare = float(rng.uniform(0.05, 0.5))
        light = (1 - glare) * light + glare * 225
    if rng.uniform() < 0.6:
        noise = rng.integers(-3, 4, light.shape, np.int8) + rng.integers(-3, 4, light.shape, np.int8)
        light = light + torch.from_numpy(noise) * float(rng.uniform(0, 2))
    image = light.clamp(0, 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    if rng.uniform() < 0.5:
        held = io.BytesIO()
        Image.fromarray(image).save(held, "JPEG", quality=int(rng.integers(35, 95)))
        image = np.asarray(Image.open(held))
    return image


def _evened(image: RGB, few: bool, rng: np.random.Generator) -> Floats:
    """Return the densities of a crop (Y, X, 3) as the segmenter evens them, its measure somewhat wrong.

    few: it shows too few nuclei to tell how its slide is stained; that is drawn then.
    """
    measured = staining_of([(image, (MPP, MPP))])
    contrast = max(measured.contrast, float(rng.uniform(0.2, 0.6))) if few else measured.contrast
    contrast *= float(np.exp(rng.normal(0, 0.15)))
    red, green, blue = (float(value) for value in measured.ground * np.exp(rng.normal(0, 0.25, 3)))
    return Staining(contrast, (red, green, blue)).evened(optical_density(image))
