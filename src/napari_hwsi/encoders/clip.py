"""CLIP under transformers' names (PLIP, QuiltNet and their like), run by transformers itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError
from .weights import is_hub_id, optional


class ClipImage(nn.Module):
    """The image tower of a ``transformers.CLIPModel``: projected class token, to length one."""

    vision: Any
    projection: Any

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision, self.projection = model.vision_model, model.visual_projection
        self.width: int = model.config.projection_dim

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (N, width)."""
        return F.normalize(self.projection(self.vision(pixels).pooler_output), dim=-1)

    def attention(self, pixels: Tensor, block: int = -1) -> Tensor:
        """Return the class token's attention to the patches, (N, heads, rows, columns)."""
        usual = self.vision.config._attn_implementation
        self.vision.set_attn_implementation("eager")  # the only one that keeps its weights
        try:
            weights = self.vision(pixels, output_attentions=True).attentions[block]
        finally:
            self.vision.set_attn_implementation(usual)
        px = self.vision.config.patch_size
        return weights[:, :, 0, 1:].reshape(*weights.shape[:2], pixels.shape[2] // px, -1)


def load_clip(source: str | Path) -> tuple[ClipImage, Callable[[Sequence[str], torch.device], Tensor]]:
    """Read a CLIP model folder, or fetch it by its hub id: image tower, and texts to vectors of length one.

    Weights are read from safetensors, or as plain tensors; no code of the model's is run. Raises
    WeightsError where transformers cannot read it.
    """
    transformers = optional("transformers", f"read {source}")
    folder = Path(source).expanduser()
    place, local = (str(folder), True) if folder.is_dir() else (str(source), False)
    if not local and not is_hub_id(source):
        raise WeightsError(
            f"{source}: neither a folder of a CLIP model (config.json beside its weights) nor a hub id."
        )
    try:
        model = transformers.CLIPModel.from_pretrained(place, local_files_only=local)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, local_files_only=local)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{source}: transformers cannot read it as CLIP: {error}") from error
    model = model.eval().requires_grad_(False)
    longest = model.config.text_config.max_position_embeddings

    def encode_text(phrases: Sequence[str], device: torch.device) -> Tensor:
        tokens = tokenizer(
            list(phrases), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(device)
        pooled = model.to(device).text_model(**tokens).pooler_output
        return F.normalize(model.text_projection(pooled), dim=-1)

    return ClipImage(model), encode_text
