"""Cell-Cell Attention Fusion: the cells of one patch become its cell token (MLLM-HWSI, arXiv 2603.23067).

A class token and the cells of a patch go through a small transformer without position codes; the normed
class token stands for the patch's cells, and what it looks at says how much each cell had a part in it.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError
from .batches import choose_device, in_batches
from .image import Precision
from .layouts import canonical
from .registry import own_weights
from .transformer import Block
from .weights import Source, fill, fingerprint, missing_tensor, read_weights

_PIXELS = ("patch_embed.", "pos_embed", "reg_token")
"""Tensors of a whole DINOv2 file that fusing cells has no use for."""


class CCAF(nn.Module):
    """The fusing transformer; the defaults are the paper's.

    Cells of another width than the transformer's enter through a linear layer. ``no_cells``: a learned
    token for a patch without a cell, as in our own training; without it such a patch gets zeros, as the
    release has it. ``columns``: the measurements of a cell that it takes, empty: a segmenter's vectors.
    """

    columns: tuple[str, ...] = ()

    def __init__(
        self,
        cell_width: int = 384,
        width: int = 768,
        depth: int = 2,
        heads: int = 2,
        *,
        layer_scale: bool = False,
        no_cells: bool = True,
    ) -> None:
        super().__init__()
        self.cell_width, self.width, self.heads = cell_width, width, heads
        self.embed = nn.Linear(cell_width, width) if cell_width != width else nn.Identity()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.no_cells = nn.Parameter(torch.zeros(width)) if no_cells else None
        self.blocks = nn.ModuleList(
            Block(width, heads, 4 * width, layer_scale=layer_scale) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, 1e-6)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        if self.no_cells is not None:
            nn.init.trunc_normal_(self.no_cells, std=0.02)

    def forward(self, cells: Tensor, mask: Tensor) -> Tensor:
        """Return the cell token of each patch, (N, width).

        cells: (N, K, cell_width) in any order, padded; mask: bool (N, K), True for a cell, False for padding,
        whose values are never looked at.
        """
        return self._token(self._until(cells, mask, len(self.blocks))[0], mask)

    def attention(self, cells: Tensor, mask: Tensor, block: int = -1) -> Tensor:
        """Return how the class token looks at itself and at each cell in a block, (N, heads, 1 + K)."""
        place = range(len(self.blocks))[block]
        tokens, seen = self._until(cells, mask, place)
        chosen: Any = self.blocks[place]
        return chosen.attention(tokens, 1, seen)[:, :, 0]

    def token_and_attention(self, cells: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return what :meth:`forward` and :meth:`attention` of the last block do, in one pass."""
        tokens, seen = self._until(cells, mask, len(self.blocks) - 1)
        last: Any = self.blocks[-1]
        return self._token(last(tokens, seen), mask), last.attention(tokens, 1, seen)[:, :, 0]

    def _token(self, tokens: Tensor, mask: Tensor) -> Tensor:
        empty = tokens.new_zeros(self.width) if self.no_cells is None else self.no_cells
        return torch.where(mask.any(1, keepdim=True), self.norm(tokens[:, 0]), empty)

    def _until(self, cells: Tensor, mask: Tensor, block: int) -> tuple[Tensor, Tensor]:
        """Return the tokens that enter a block, and which of them are looked at."""
        # what is no cell may hold anything, also NaN, which even a weight of zero would let through
        cells = cells.masked_fill(~mask[:, :, None], 0)
        tokens = torch.cat([self.cls_token.expand(len(cells), -1, -1), self.embed(cells)], 1)
        seen = torch.cat([mask.new_ones(len(mask), 1), mask], 1)[:, None, None, :]
        for before in self.blocks[:block]:
            tokens = before(tokens, seen)
        return tokens, seen


Form: TypeAlias = Literal["paper", "release"]


def load_ccaf(source: Source, form: Form = "release") -> CCAF:
    """Read a CCAF from a checkpoint: a file, a folder, a hub id or a state dict.

    form: 'release' is the 12 blocks, class token and last norm of DINOv2 ViT-S/14 (6 heads), from a file of
    these alone or from a whole DINOv2 file under its own or transformers' names; 'paper' is a file of this
    class with 2 heads. Width and depth are read from the tensors. Raises WeightsError.
    """
    state, where = read_weights(source)
    state = {name: value for name, value in canonical(state).items() if not name.startswith(_PIXELS)}
    for name in ("cls_token", "blocks.0.norm1.weight"):
        if name not in state:
            raise missing_tensor(name, state, where)
    width = state["cls_token"].shape[-1]
    with torch.device("meta"):
        network = CCAF(
            state["embed.weight"].shape[1] if "embed.weight" in state else width,
            width,
            1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
            6 if form == "release" else 2,
            layer_scale="blocks.0.ls1.gamma" in state,
            no_cells="no_cells" in state,
        )
    return fill(network, state, where)


@dataclass(frozen=True)
class Fused:
    """What CCAF makes of the cells of P patches.

    tokens: float32 (P, width); has_cells: bool (P,), False where the token stands for no cell at all;
    attention: float32 (cells, heads), the share of the class token's attention that each cell got in the
    last block; with the share of the class token itself they sum to one over a patch.
    """

    tokens: NDArray[np.float32]
    has_cells: NDArray[np.bool_]
    attention: NDArray[np.float32]

    @property
    def shares(self) -> NDArray[np.float32]:
        """The attention of each cell, the mean of the heads, float32 (cells,)."""
        return self.attention.mean(1, dtype=np.float64).astype(np.float32)


def fuse(
    network: CCAF,
    cells: NDArray[np.floating],
    offsets: NDArray[np.integer],
    device: str = "auto",
    batch: int = 64,
    precision: Precision = "float32",
) -> Fused:
    """Fuse the cells of many patches.

    cells: (cells, cell_width), the cells of patch p in rows offsets[p] to offsets[p + 1]; offsets: (P + 1,).
    device: 'auto', 'cpu', 'cuda', 'mps', …; batch: patches at a time, halved where memory does not suffice;
    precision: of the arithmetic, that of the results is float32 always.
    Raises InputError for shapes that do not fit.
    """
    counts = np.diff(offsets)
    if cells.ndim != 2 or cells.shape[1] != network.cell_width:
        raise InputError(f"Cell vectors must be (cells, {network.cell_width}), not {cells.shape}.")
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(cells) or (counts < 0).any():
        raise InputError(f"Offsets must rise from 0 to the number of cells ({len(cells)}).")
    where = choose_device(device)
    network = network.to(where)
    lower = getattr(torch, precision)
    tokens = np.empty((len(counts), network.width), np.float32)
    attention = np.empty((len(cells), network.heads), np.float32)

    def run(part: slice) -> tuple[Tensor, Tensor, NDArray[np.bool_]]:
        mask = np.arange(max(counts[part].max(), 1)) < counts[part, None]
        padded = np.zeros((*mask.shape, network.cell_width), np.float32)
        padded[mask] = cells[offsets[part.start] : offsets[part.stop]]
        inputs = torch.from_numpy(padded).to(where), torch.from_numpy(mask).to(where)
        with nullcontext() if lower is torch.float32 else torch.autocast(where.type, lower):
            token, share = network.token_and_attention(*inputs)
        return token.float().cpu(), share[:, :, 1:].float().cpu(), mask

    with torch.inference_mode():
        for part, (token, share, mask) in in_batches(run, len(counts), batch):
            tokens[part] = token
            attention[offsets[part.start] : offsets[part.stop]] = share.movedim(1, 2).numpy()[mask]
    return Fused(tokens, counts > 0, attention)


@dataclass(frozen=True)
class Fuser:
    """A CCAF, ready: where it runs, and in which precision."""

    network: CCAF
    device: str = "auto"
    precision: Precision = "float32"

    name = "ccaf"

    @property
    def width(self) -> int:
        """Numbers a cell token."""
        return self.network.width

    @property
    def cell_width(self) -> int:
        """Numbers a cell, as it takes them."""
        return self.network.cell_width

    @property
    def columns(self) -> tuple[str, ...]:
        """The measurements it takes of each cell, empty: the segmenter's vectors."""
        return self.network.columns

    @cached_property
    def version(self) -> str:
        """A hash of the weights and the precision."""
        return f"{fingerprint(self.network)[:16]}-{self.precision}"

    def fuse(self, cells: NDArray[np.floating], offsets: NDArray[np.integer]) -> Fused:
        """Fuse the cells of many patches, as :func:`fuse` does."""
        return fuse(self.network, cells, offsets, self.device, precision=self.precision)


def load_fuser(device: str = "auto", precision: Precision = "float32") -> Fuser:
    """Read the release's CCAF from this user's weights. Raises InputError where they are not there."""
    return Fuser(load_ccaf(own_weights("ccaf")), device, precision)
