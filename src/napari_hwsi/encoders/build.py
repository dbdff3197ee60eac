"""From an entry of the registry and a checkpoint to an encoder that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from .clip import load_clip
from .conch import ConchText, read_conch, tokenize
from .image import ImageEncoder, Precision, TextTower
from .preprocess import Preprocess
from .registry import Published
from .towers import Tower, read_keep, read_vit_image
from .weights import Source, read_weights

_TOKENIZERS = ("tokenizer.json", "conch_byte_level_bpe_uncased.json")


def build(
    entry: Published,
    source: Source,
    *,
    device: str,
    batch: int,
    precision: Precision,
    tokenizer: str | Path | None,
) -> ImageEncoder:
    """Read the weights of an entry and put them into its network; errors as of :func:`.registry.load`."""
    tower, text = _towers(entry, source, tokenizer)
    pixels = Preprocess(entry.input_px, entry.mean, entry.std, entry.resize_px, entry.filter)
    return ImageEncoder(
        entry.name, entry.mpp, tower, pixels, text, device=device, batch=batch, precision=precision
    )


def _towers(entry: Published, source: Source, tokenizer: str | Path | None) -> tuple[Tower, TextTower | None]:
    if entry.layout == "clip":
        if isinstance(source, Mapping):
            raise InputError(f"{entry.title} is read from a model folder or a hub id, not from a state dict.")
        return load_clip(source)
    state, where = read_weights(source, entry.files)
    if entry.layout == "conch":
        image, words = read_conch(state, where)
        file = Path(tokenizer) if tokenizer else _beside(where)
        return image, _conch_text(words, file) if words and file else None
    if entry.layout == "keep":
        return read_keep(state, where), None
    vit = read_vit_image(
        state,
        where,
        width=entry.width,
        heads=entry.heads,
        eps=entry.eps,
        resizing=entry.positions,
        pooling=entry.pooling,
    )
    return vit, None


def _beside(weights: str) -> Path | None:
    folder = Path(weights).parent
    return next((folder / name for name in _TOKENIZERS if (folder / name).is_file()), None)


def _conch_text(words: ConchText, file: Path) -> TextTower:
    def encode(phrases: Sequence[str], device: torch.device) -> Tensor:
        return words.to(device)(tokenize(phrases, file).to(device))

    return encode
