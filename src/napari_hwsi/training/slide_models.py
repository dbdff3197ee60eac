"""Networks from the patches of a slide to one answer, and to how much each patch counted.

Slides of one step are packed: their patches lie one after the other in one tensor, with the slide of each,
so that nothing is padded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InputError

ModelName: TypeAlias = Literal["mean", "abmil", "clam", "transmil"]

MODELS: tuple[ModelName, ...] = get_args(ModelName)

_CLAM_PATCHES = 8  # of each end of the attention that are told apart (Lu et al. 2021)


@dataclass(frozen=True)
class Packed:
    """Patches of B slides. vectors: (M, W); slide: int64 (M,), ascending; count: B."""

    vectors: Tensor
    slide: Tensor
    count: int

    @classmethod
    def of(cls, bags: list[Tensor]) -> Packed:
        """Pack the patches (N, W) of each slide."""
        sizes = torch.tensor([len(bag) for bag in bags])
        return cls(torch.cat(bags), torch.repeat_interleave(torch.arange(len(bags)), sizes), len(bags))

    def keep(self, rows: Tensor) -> Packed:
        """Return the patches of ``rows``, bool (M,)."""
        return Packed(self.vectors[rows], self.slide[rows], self.count)


@dataclass(frozen=True)
class Seen:
    """What a network makes of packed slides.

    output: (B, K); attention: (M,), of each slide summing to one; hidden: (M, H), the patches as attended.
    """

    output: Tensor
    attention: Tensor
    hidden: Tensor


class MeanPool(nn.Module):
    """A linear layer on the mean of the patches; every patch counts the same."""

    def __init__(self, width: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, outputs))

    def forward(self, packed: Packed) -> Seen:
        equal = segment_softmax(torch.zeros(len(packed.vectors)), packed)
        return Seen(self.head(weighed(packed.vectors, equal, packed)), equal, packed.vectors)


class Abmil(nn.Module):
    """Gated attention (Ilse et al., ICML 2018, equations 7 and 9) over embedded patches."""

    def __init__(self, width: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.tanh, self.gate = nn.Linear(hidden, hidden // 2), nn.Linear(hidden, hidden // 2)
        self.weigh = nn.Linear(hidden // 2, 1)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, packed: Packed) -> Seen:
        hidden = self.embed(packed.vectors)
        score = self.weigh(torch.tanh(self.tanh(hidden)) * torch.sigmoid(self.gate(hidden)))[:, 0]
        attention = segment_softmax(score, packed)
        return Seen(self.head(weighed(hidden, attention, packed)), attention, hidden)


class Clam(Abmil):
    """CLAM with one attention branch (Lu et al., Nature Biomedical Engineering 2021).

    Beside the slide's answer, a classifier per class tells the most attended patches from the least; where
    the class is another, the most attended are no evidence for it.
    """

    def __init__(self, width: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__(width, outputs, hidden, dropout)
        self.tell = nn.Linear(hidden, 2 * outputs)

    def patch_loss(self, seen: Seen, packed: Packed, classes: Tensor) -> Tensor:
        """Return the mean loss of telling patches apart, given the class (B,) of each slide."""
        answers, wanted = [], []
        for slide in range(packed.count):
            rows = torch.nonzero(packed.slide == slide)[:, 0]
            few = min(_CLAM_PATCHES, len(rows) // 2)
            if not few:
                continue
            order = rows[seen.attention[rows].argsort(descending=True)]
            most, least = seen.hidden[order[:few]], seen.hidden[order[-few:]]
            own = int(classes[slide])
            told = self.tell(torch.cat([most, least])).view(2 * few, -1, 2)
            answers.append(told[:, own])
            wanted.append(torch.tensor([1] * few + [0] * few))
            for other in range(told.shape[1]):
                if other != own:
                    answers.append(told[:few, other])
                    wanted.append(torch.zeros(few, dtype=torch.long))
        if not answers:
            return seen.output.sum() * 0
        return functional.cross_entropy(torch.cat(answers), torch.cat(wanted))


class TransMil(nn.Module):
    """A transformer over the patches of a slide (Shao et al., NeurIPS 2021).

    Two layers of attention with a class token, between them convolutions over the patches laid out as a
    square (PPEG). Attention is exact, computed in a memory-saving way, where the paper approximates it by
    Nyström's method. A patch counts by the class token's attention in the last layer, mean of the heads.
    """

    HEADS = 4

    def __init__(self, width: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout))
        self.token = nn.Parameter(torch.randn(1, hidden) * 0.02)
        self.norms = nn.ModuleList([nn.LayerNorm(hidden) for _ in range(3)])
        self.mixes = nn.ModuleList([nn.Linear(hidden, 3 * hidden, bias=False) for _ in range(2)])
        self.joins = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(2)])
        self.places = nn.ModuleList(
            [nn.Conv2d(hidden, hidden, side, padding=side // 2, groups=hidden) for side in (7, 5, 3)]
        )
        self.head = nn.Linear(hidden, outputs)

    def forward(self, packed: Packed) -> Seen:
        hidden = self.embed(packed.vectors)
        outputs, attention = [], []
        for slide in range(packed.count):
            patches = hidden[packed.slide == slide]
            x = torch.cat([self.token, patches])
            x = x + self._layer(0, x)[0]
            x = torch.cat([x[:1], self._placed(x[1:])])
            mixed, looked = self._layer(1, x)
            outputs.append(self.head(self.norms[2]((x + mixed)[:1])))
            attention.append(looked)
        return Seen(torch.cat(outputs), torch.cat(attention), hidden)

    def _layer(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what attention adds to (1 + N, H), and the class token's attention to the patches (N,)."""
        q, k, v = (
            self.mixes[number](self.norms[number](x)).view(len(x), 3, self.HEADS, -1).permute(1, 2, 0, 3)
        )
        mixed = functional.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        looked = (q[:, :1] @ k.transpose(1, 2) / math.sqrt(q.shape[-1]))[:, 0, 1:].softmax(-1).mean(0)
        return self.joins[number](mixed.transpose(0, 1).reshape(len(x), -1)), looked

    def _placed(self, patches: Tensor) -> Tensor:
        side = math.ceil(math.sqrt(len(patches)))
        square = torch.cat([patches, patches[: side * side - len(patches)]])
        square = square.T.reshape(1, -1, side, side)
        placed = square + sum(place(square) for place in self.places)
        return placed.reshape(patches.shape[1], -1).T[: len(patches)]


def make_model(name: str, width: int, outputs: int, hidden: int = 128, dropout: float = 0.25) -> nn.Module:
    """Return an untrained network from vectors of ``width`` to ``outputs``; raises InputError for a name."""
    kinds: dict[str, type[nn.Module]] = {
        "mean": MeanPool,
        "abmil": Abmil,
        "clam": Clam,
        "transmil": TransMil,
    }
    if name not in kinds:
        raise InputError(f"No slide model is called {name!r}. There are: {', '.join(kinds)}.")
    return kinds[name](width, outputs, hidden, dropout)


def segment_softmax(scores: Tensor, packed: Packed) -> Tensor:
    """Return the softmax of scores (M,) among the patches of each slide."""
    highest = torch.full((packed.count,), -torch.inf).scatter_reduce(0, packed.slide, scores, "amax")
    raised = (scores - highest[packed.slide].detach()).exp()
    return raised / torch.zeros(packed.count).index_add(0, packed.slide, raised)[packed.slide]


def weighed(values: Tensor, weights: Tensor, packed: Packed) -> Tensor:
    """Return the sums of values (M, H) by weights (M,) of each slide, (B, H)."""
    return torch.zeros(packed.count, values.shape[1]).index_add(0, packed.slide, values * weights[:, None])


def entropy(attention: Tensor, packed: Packed) -> Tensor:
    """Return the mean entropy of each slide's attention, as a share of the highest it could be."""
    own = torch.zeros(packed.count).index_add(0, packed.slide, -attention * attention.clamp_min(1e-12).log())
    size = torch.bincount(packed.slide, minlength=packed.count)
    return (own / size.clamp_min(2).float().log()).mean()
