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
from .language import open_text
from .projectors import Adapter, Projector, masked_mean
from .scales import SCALES
from .seen import Seen

FORMAT = "napari-hwsi aligned encoders"

_WEIGHTS, _TOKENIZER = "aligned.safetensors", "tokenizer.json"
_REMEMBERED, _TEXTS = 65536, 64  # strings kept with their vectors; strings at a time


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


class GivenText(nn.Module):
    """A text model of transformers, left as it is (the mean of its last layer), and one linear layer.

    place: its folder; wide: of its vectors. It is read when first used, and not kept with the weights.
    """

    def __init__(self, place: str, wide: int, width: int) -> None:
        super().__init__()
        self.place = place
        self.project = nn.Linear(wide, width)
        self._held: tuple[Any, Any] | None = None
        self._known: dict[str, Tensor] = {}

    def forward(self, strings: Sequence[str]) -> Tensor:
        """Return (M, width) for strings. Raises WeightsError where the text model cannot be read."""
        new = sorted({*strings} - self._known.keys())
        if len(self._known) + len(new) > _REMEMBERED:
            self._known, new = {}, sorted({*strings})
        for i in range(0, len(new), _TEXTS):
            self._known |= zip(new[i : i + _TEXTS], self._encode(new[i : i + _TEXTS]), strict=True)
        vectors = torch.stack([self._known[string] for string in strings]).to(self.project.weight.device)
        projected: Tensor = self.project(vectors)
        return projected

    def _encode(self, strings: list[str]) -> Tensor:
        if self._held is None:
            self._held = open_text(self.place)
        network, tokenizer = self._held
        network.to(self.project.weight.device)
        tokens = tokenizer(strings, padding=True, truncation=True, max_length=512, return_tensors="pt")
        tokens = tokens.to(self.project.weight.device)
        with torch.no_grad():
            last = network(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        return masked_mean(last.float(), tokens.attention_mask.bool()).cpu()


class Aligned(nn.Module):
    """Adapters that correct the vectors of each scale, heads that bring them to the words, a text encoder.

    widths: of the vectors of the scales that are used; width: of the space they share with words; tokenizer:
    of the words, with 0 as padding; text: place and width of a given text model, instead of one of our own.
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
        text: tuple[str, int] | None = None,
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
            "text": text,
        }
        self.tokenizer = tokenizer
        self.adapters = nn.ModuleDict({scale: Adapter(wide, dropout) for scale, wide in self.widths.items()})
        self.heads = nn.ModuleDict(
            {scale: Projector(wide, hidden, width, dropout) for scale, wide in self.widths.items()}
        )
        self.text: TextEncoder | GivenText = (
            TextEncoder(tokenizer.get_vocab_size(), width, layers, heads, longest)
            if text is None
            else GivenText(*text, width)
        )

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.heads.parameters()).device

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
        if isinstance(self.text, GivenText):
            given: Tensor = self.text(strings)
            return given
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
        if network.tokenizer is not None:
            network.tokenizer.save(str(draft / _TOKENIZER))

    return write_folder(folder, FORMAT, {"network": network.settings}, {"about": dict(about)}, put)


def load_aligned(folder: str | Path) -> Aligned:
    """Read what :func:`save_aligned` wrote, frozen; raises WeightsError for anything else."""
    place = Path(folder)
    config = checked(place, FORMAT)
    words, tokenizer = place / _TOKENIZER, None
    if words.is_file():
        tokenizer = optional("tokenizers", "read words").Tokenizer.from_file(str(words))
    with torch.device("meta"):
        network = Aligned(tokenizer=tokenizer, **config["network"])
    return fill(network, *read_weights(place / _WEIGHTS))
