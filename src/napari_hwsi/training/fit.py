"""Fitting the nucleus network to sources: losses, averaged weights, the curve."""

from __future__ import annotations

import csv
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, Dataset

from ..cells.pocket_network import Maps, NucleusNetwork
from .batches import Batch, Prepared, make_batch

logger = logging.getLogger(__name__)

KINDS = ("synthetic", "masks", "real", "empty")

_AVERAGED = 0.995
_WARM_UP = 100  # steps
_TRUSTED_FROM = 400  # steps after which the network may doubt the background of real tissue
_DOUBT = 0.7  # probability of a nucleus from which it does (bootstrapping: Reed et al., ICLR workshop 2015)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: steps of ``crops`` crops, the highest learning rate, a seed.

    shares: of the crops, by kind of source, in the order of KINDS. lower: the network computes in bfloat16,
    its weights, losses and averages stay float32; for one that has learned already.
    """

    steps: int
    rate: float
    shares: tuple[float, float, float, float] = (0.3, 0.16, 0.5, 0.04)
    crops: int = 8
    seed: int = 0
    lower: bool = False


class _Standardised(nn.Module):
    """Weights with mean 0 and variance 1/fan-in per output channel, times a gain (Qiao et al. 2019)."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(gain)

    def forward(self, weight: Tensor) -> Tensor:
        centred = weight - weight.mean((1, 2, 3), keepdim=True)
        return self.gain * centred / _spread(centred)


def _spread(centred: Tensor) -> Tensor:
    return (centred.square().sum((1, 2, 3), keepdim=True) + 1e-6).sqrt()


def standardise(network: NucleusNetwork, fitted: bool = False) -> None:
    """Make the convolutions of a network learn standardised weights, all but the head.

    fitted: its weights are worth keeping; else their gain is 1.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and name != "head":
            weight = module.weight.detach()
            spread = _spread(weight - weight.mean((1, 2, 3), keepdim=True))
            gain = spread if fitted else torch.ones_like(spread)
            parametrize.register_parametrization(module, "weight", _Standardised(gain), unsafe=True)


def plain(network: NucleusNetwork, averages: Sequence[Tensor]) -> NucleusNetwork:
    """Return a network with ordinary weights that computes what the averaged parameters do."""
    kept = [p.detach().clone() for p in network.parameters()]
    with torch.no_grad():
        for parameter, average in zip(network.parameters(), averages, strict=True):
            parameter.copy_(average)
        modules = dict(network.named_modules())
        bare = NucleusNetwork()
        state = {
            name: getattr(modules[name.rpartition(".")[0]], name.rpartition(".")[2]).detach().clone()
            for name in bare.state_dict()
        }
        for parameter, value in zip(network.parameters(), kept, strict=True):
            parameter.copy_(value)
    bare.load_state_dict(state)
    return bare.eval()


def losses(maps: Maps, batch: Batch, doubt: Tensor | None = None) -> dict[str, Tensor]:
    """Return the parts of the loss: nucleus, overlap, depth, offsets, types."""
    known = batch.known if doubt is None else batch.known * ~(doubt & (batch.nucleus == 0))
    weight = known.sum().clamp(min=1)
    pixel = functional.binary_cross_entropy_with_logits(maps.nucleus, batch.nucleus, reduction="none")
    probability = maps.nucleus.sigmoid() * known
    inside = batch.nucleus * known
    both = 2 * (probability * inside).sum((1, 2, 3)) + 200
    overlap = both / (probability.sum((1, 2, 3)) + inside.sum((1, 2, 3)) + 200)
    within = inside.sum().clamp(min=1)
    types = functional.interpolate(batch.types[:, None].float(), scale_factor=0.5, mode="nearest").long()[
        :, 0
    ]
    typed = types > 0
    kind = maps.types.permute(0, 2, 3, 1)[typed]
    return {
        "nucleus": (pixel * known).sum() / weight,
        "overlap": (1 - overlap).mean(),
        "depth": 5 * ((maps.depth - batch.depth).square() * known).sum() / weight,
        "offsets": ((maps.offsets - batch.offsets).square() * inside).sum() / within,
        "types": 0.15
        * (functional.cross_entropy(kind, types[typed] - 1) if len(kind) else maps.types.sum() * 0),
    }


class _Crops(Dataset[Batch]):
    """Batch number i, always the same."""

    def __init__(self, sources: Sequence[Prepared], schedule: Schedule, first: int = 0) -> None:
        self.schedule, self.first = schedule, first
        self.kinds = {
            kind: [one for one in sources if one.kind == kind]
            for kind in KINDS
            if any(one.kind == kind for one in sources)
        }
        self.shares = {
            kind: np.array([math.sqrt(one.targets[0].sum() * one.mpp**2 + 100) for one in those])
            for kind, those in self.kinds.items()
        }

    def __len__(self) -> int:
        return self.schedule.steps

    def __getitem__(self, step: int) -> Batch:
        torch.set_num_threads(1)
        rng = np.random.default_rng((self.schedule.seed, self.first + step))
        share = np.array([self.schedule.shares[KINDS.index(kind)] for kind in self.kinds])
        chosen = []
        for kind in rng.choice(list(self.kinds), self.schedule.crops, p=share / share.sum()):
            weights = self.shares[kind]
            chosen.append(self.kinds[kind][rng.choice(len(weights), p=weights / weights.sum())])
        return make_batch(chosen, rng)


def fit(
    network: NucleusNetwork,
    train: Sequence[Prepared],
    check: Sequence[Prepared],
    schedule: Schedule,
    curve: Path,
    fitted: bool = False,
) -> Iterator[NucleusNetwork]:
    """Fit a network; yield it with averaged, plain weights every 100 steps and at the end.

    AdamW with a cosine after a short warm-up, gradients clipped; weights are averaged exponentially. fitted:
    the network goes on from where it stands, not from chance. curve: a CSV of the losses, of training and
    of ``check`` (held-out crops, always the same).
    """
    standardise(network, fitted)
    averages = [p.detach().clone() for p in network.parameters()]
    decayed = [p for name, p in network.named_parameters() if name.endswith("original")]
    others = [p for name, p in network.named_parameters() if not name.endswith("original")]
    groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))
    held = _Crops(check, Schedule(1, 0, crops=24, seed=10**6))[0] if check else None
    crops = DataLoader(_Crops(train, schedule), batch_size=None, num_workers=1, prefetch_factor=4)
    started = time.perf_counter()
    with curve.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        names = ("nucleus", "overlap", "depth", "offsets", "types")
        table.writerow(["step", "rate", *names, *(f"check_{name}" for name in names), "seconds"])
        summed = np.zeros(len(names))
        for step, batch in enumerate(crops, 1):
            rate = schedule.rate * min(1, step / _WARM_UP) * _cosine(step / schedule.steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=schedule.lower):
                maps = network(batch.density.contiguous(memory_format=torch.channels_last))
            doubt = maps.nucleus.detach().sigmoid() > _DOUBT if step > _TRUSTED_FROM else None
            if doubt is not None:
                doubt = doubt & batch.doubted
            parts = losses(maps, batch, doubt)
            optimizer.zero_grad()
            torch.autograd.backward(torch.stack(list(parts.values())).sum())
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            keep = min(_AVERAGED, step / (step + 10))
            torch._foreach_lerp_(averages, [p.detach() for p in network.parameters()], 1 - keep)
            summed += [float(part.detach()) for part in parts.values()]
            every = 100 if step % 100 == 0 else step % 100 if step == schedule.steps else 0
            if every:
                bare = plain(network, averages)
                checked = _checked(bare, held)
                took = time.perf_counter() - started
                values = [*(summed / every), *checked]
                table.writerow([step, f"{rate:.2e}", *(f"{v:.4f}" for v in values), f"{took:.0f}"])
                file.flush()
                logger.info("step %d: %s", step, " ".join(f"{v:.3f}" for v in values))
                summed[:] = 0
                yield bare


def _checked(network: NucleusNetwork, held: Batch | None) -> list[float]:
    if held is None:
        return []
    with torch.inference_mode():
        return [float(part) for part in losses(network(held.density), held).values()]


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
