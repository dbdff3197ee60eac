"""CONCH: images and words in one space (Lu et al. 2024, https://doi.org/10.1038/s41591-024-02856-4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import WeightsError
from .layouts import canonical, under
from .transformer import Block
from .vit import ViT, read_vit
from .weights import fill, missing_tensor, optional

_HEADS = 12
_POOL_HEADS = 8


class Pooler(nn.Module):
    """Learned queries that look at all tokens of an image (an attention pooler, as in CoCa)."""

    def __init__(self, queries: int, width: int, token_width: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.attn = nn.MultiheadAttention(
            width, _POOL_HEADS, kdim=token_width, vdim=token_width, batch_first=True
        )
        self.ln_q = nn.LayerNorm(width)
        self.ln_k = nn.LayerNorm(token_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, queries, width) for tokens (N, T, token_width)."""
        keys = self.ln_k(tokens)
        queries = self.ln_q(self.query).expand(len(tokens), -1, -1)
        return self.attn(queries, keys, keys, need_weights=False)[0]


class ConchImage(nn.Module):
    """The image tower: a ViT whose tokens are pooled by one query and projected."""

    def __init__(self, trunk: ViT, width: int, out: int) -> None:
        super().__init__()
        self.trunk, self.width = trunk, out
        self.attn_pool_contrast = Pooler(1, width, trunk.anatomy.width)
        self.ln_contrast = nn.LayerNorm(width)
        self.proj_contrast = nn.Parameter(torch.zeros(width, out))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the vectors of normalised pixels (N, 3, 448, 448), (N, width) of length one."""
        return self.project(self.pooled(pixels))

    def attention(self, pixels: Tensor, block: int = -1) -> Tensor:
        """Return the trunk's class token's attention to the patches, (N, heads, rows, columns)."""
        return self.trunk.to_patches(pixels, block)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the image before the projection, (N, width)."""
        return self.ln_contrast(self.attn_pool_contrast(self.trunk(pixels))[:, 0])

    def project(self, pooled: Tensor) -> Tensor:
        """Return the vectors of pooled images, (N, width) of length one."""
        return F.normalize(pooled @ self.proj_contrast, dim=-1)


class ConchText(nn.Module):
    """The text tower: token ids to vectors in the space of the images."""

    def __init__(self, words: int, length: int, width: int, depth: int, out: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.zeros(length, width))
        self.cls_emb = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(Block(width, _HEADS, 4 * width, eps=1e-5) for _ in range(depth))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, out))

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors of texts, (N, width) of length one.

        ids: int64 (N, T) from the model's own tokenizer, 0 where there is no word; what is longer than the
        position codes allow beside the class token (127) is cut.
        """
        ids = ids[:, : len(self.positional_embedding) - 1]
        words = torch.cat([self.token_embedding(ids), self.cls_emb.expand(len(ids), 1, -1)], 1)
        length = words.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril().repeat(len(ids), 1, 1)
        # as trained: the last token's view of the words is shifted by one, so that it takes in the first
        # padding and leaves out itself unless the text is full
        mask[:, -1, 1:] = ids != 0
        x = words + self.positional_embedding[:length]
        for block in self.blocks:
            x = block(x, mask[:, None])
        return F.normalize(self.ln_final(x[:, -1]) @ self.text_projection, dim=-1)


def read_conch(state: Mapping[str, Tensor], where: str) -> tuple[ConchImage, ConchText | None]:
    """Build both towers from a checkpoint and fill them; the text tower is None where the file has none.

    The decoder of captions, and the pooler that feeds it, are left out. Raises WeightsError.
    """
    visual, text = under(state, "visual."), under(state, "text.")
    visual = {k: v for k, v in visual.items() if not k.startswith(("attn_pool_caption.", "ln_caption."))}
    trunk = under(visual, "trunk.")
    for name in ("attn_pool_contrast.query", "proj_contrast"):
        if name not in visual:
            raise missing_tensor(f"visual.{name}", state, where)
    vit = read_vit(trunk, f"{where} (image trunk)", heads=_HEADS)
    with torch.device("meta"):
        image = ConchImage(vit, *visual["proj_contrast"].shape)
    image = fill(image, visual, f"{where} (image tower)")
    return image, _read_text(text, where) if text else None


def _read_text(state: dict[str, Tensor], where: str) -> ConchText:
    state = canonical({k.replace("transformer.resblocks.", "blocks."): v for k, v in state.items()})
    for name in ("token_embedding.weight", "positional_embedding", "text_projection"):
        if name not in state:
            raise missing_tensor(f"text.{name}", state, where)
    depth = 1 + max((int(k.split(".")[1]) for k in state if k.startswith("blocks.")), default=-1)
    width, out = state["text_projection"].shape
    words, length = len(state["token_embedding.weight"]), len(state["positional_embedding"])
    with torch.device("meta"):
        text = ConchText(words, length, width, depth, out)
    return fill(text, state, f"{where} (text tower)")


def tokenize(phrases: Sequence[str], file: Path, length: int = 127) -> Tensor:
    """Return the token ids of phrases, int64 (M, length), padded with 0, by a ``tokenizers`` file.

    The file comes with the model's own package, under its licence. Raises WeightsError for a file that is
    none.
    """
    tokenizers = optional("tokenizers", f"read {file.name}")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more precise
        raise WeightsError(f"{file}: not a tokenizer file: {error}") from error
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(pad_id=0, length=length)
    return torch.tensor([encoded.ids for encoded in tokenizer.encode_batch(list(phrases))])
