"""Vectors of four scales and words in one space: what stage 1 learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..encoders.weights import fill, optional, read_weights
from .batch import SlideBatch
from .folder import checked, write_folder
from .projectors import Adapter, Projector
from .scales import SCALES
from .seen import Seen

FORMAT = "napari-hwsi aligned encoders"

_WEIGHTS, _TOKENIZER = "aligned.safetensors", "tokenizer.json"


class TextEncoder(nn.Module):
    """A small transformer (pre-norm) over byte-level BPE tokens; the mean of what it says is the vector."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, longest: int) -> None:
        super().__init__()
        self.longest = longest
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(longest, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return (M, width) for token ids int64 (M, L), padded with 0."""
        there = ids > 0
        x = self.layers(self.tokens(ids) + self.positions[: ids.shape[1]], src_key_padding_mask=~there)
        shown = x * there[..., None]
        return shown.sum(1) / there.sum(1, keepdim=True).clamp(min=1)


class Aligned(nn.Module):
    """Adapters that correct the vectors of each scale, heads that bring them to the words, a text encoder.

    widths: of the vectors of the scales that are used; width: of the space they share with words; tokenizer:
    of the words, with 0 as padding.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        tokenizer: Any,
        width: int = 256,
        hidden: int = 512,
        dropout: float = 0.1,
        layers: int = 4,
        heads: int = 4,
        longest: int = 128,
    ) -> None:
        super().__init__()
        self.widths: dict[str, int] = {scale: widths[scale] for scale in SCALES if scale in widths}
        self.settings = {
            "widths": self.widths,
            "width": width,
            "hidden": hidden,
            "dropout": dropout,
            "layers": layers,
            "heads": heads,
            "longest": longest,
        }
        self.tokenizer = tokenizer
        self.adapters = nn.ModuleDict({scale: Adapter(wide, dropout) for scale, wide in self.widths.items()})
        self.heads = nn.ModuleDict(
            {scale: Projector(wide, hidden, width, dropout) for scale, wide in self.widths.items()}
        )
        self.text = TextEncoder(tokenizer.get_vocab_size(), width, layers, heads, longest)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.text.positions.device

    def see(self, batch: SlideBatch) -> Seen:
        """Return the vectors of B slides among the words; there are no tokens."""
        projected = {scale: self.place(scale, batch.vectors[scale]) for scale in self.widths}
        masks = {scale: batch.masks[scale] for scale in self.widths}
        if "cell" in masks:  # where there are no cells there is nothing to say of them
            masks["cell"] = masks["cell"] & batch.vectors["cell"].any(-1)
        nothing = batch.vectors["slide"].new_zeros(len(batch), 0, 1)
        return Seen(nothing, nothing[..., 0].bool(), projected, masks, batch.regions, batch.cells_of)

    def place(self, scale: str, vectors: Tensor) -> Tensor:
        """Return vectors (…, W) of a scale among the words, (…, width); cosines say how alike."""
        placed: Tensor = self.heads[scale](self.adapters[scale](vectors))
        return placed

    def encode_text(self, strings: Sequence[str]) -> Tensor:
        """Return strings among the vectors, (M, width)."""
        rows = [row.ids[: self.text.longest] or [1] for row in self.tokenizer.encode_batch(list(strings))]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
        vectors: Tensor = self.text(ids.to(self.device))
        return vectors


def save_aligned(network: Aligned, folder: Path, about: Mapping[str, Any]) -> str:
    """Write a folder, whole or not at all; returns the hash of its files and settings."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}

    def put(draft: Path) -> None:
        save_file(state, draft / _WEIGHTS)
        network.tokenizer.save(str(draft / _TOKENIZER))

    return write_folder(folder, FORMAT, {"network": network.settings}, {"about": dict(about)}, put)


def load_aligned(folder: str | Path) -> Aligned:
    """Read what :func:`save_aligned` wrote, frozen; raises WeightsError for anything else."""
    place = Path(folder)
    config = checked(place, FORMAT)
    tokenizer = optional("tokenizers", "read words").Tokenizer.from_file(str(place / _TOKENIZER))
    with torch.device("meta"):
        network = Aligned(tokenizer=tokenizer, **config["network"])
    return fill(network, *read_weights(place / _WEIGHTS))
