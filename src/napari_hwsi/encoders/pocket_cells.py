"""CCAF of the pocket profile: the paper's form, on what is measured of each cell.

The published CCAF takes the vectors that a segmenter's network gives each nucleus. Most segmenters give none,
but the cells of all are measured alike: shape, stain and texture are what a cell is here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ccaf import CCAF, Fuser
from .image import Precision
from .pocket import SHIPPED
from .weights import Source, fill, read_weights

COLUMNS = (
    "area_um2",
    "major_axis_um",
    "minor_axis_um",
    "eccentricity",
    "solidity",
    "circularity",
    "haematoxylin_mean_od",
    "haematoxylin_sd_od",
    "eosin_mean_od",
    "eosin_sd_od",
    "haematoxylin_contrast_od2",
    "haematoxylin_homogeneity",
    "haematoxylin_entropy_bits",
    "haematoxylin_correlation",
)
"""Measurements of a cell, in the order in which they are given to the network."""

_WIDTH = 192
_SIZES = tuple(COLUMNS.index(name) for name in ("area_um2", "major_axis_um", "minor_axis_um"))
_FARTHEST = 4.0  # standard deviations
_FILE = "pocket_cells.safetensors"


class MeasuredCCAF(CCAF):
    """A CCAF of two blocks and two heads, as in the paper, but narrower, for cells as they are measured.

    ``mean`` and ``sd`` of each of COLUMNS, sizes as logarithms, stand among the weights.
    """

    columns = COLUMNS
    mean: Tensor
    sd: Tensor

    def __init__(self) -> None:
        super().__init__(len(COLUMNS), _WIDTH)
        self.register_buffer("mean", torch.zeros(len(COLUMNS)))
        self.register_buffer("sd", torch.ones(len(COLUMNS)))

    def _until(self, cells: Tensor, mask: Tensor, block: int) -> tuple[Tensor, Tensor]:
        given = (on_scale(cells) - self.mean) / self.sd
        return super()._until(given.nan_to_num(0).clamp(-_FARTHEST, _FARTHEST), mask, block)


def on_scale(cells: Tensor) -> Tensor:
    """Return measured cells (…, columns) with their sizes as logarithms."""
    cells = cells.clone()
    cells[..., _SIZES] = cells[..., _SIZES].clamp(min=0.1).log()
    return cells


def load_pocket_fuser(
    device: str = "auto", precision: Precision = "float32", source: Source | None = None
) -> Fuser:
    """Read the CCAF that ships, or another of its form; raises WeightsError."""
    state, where = read_weights(SHIPPED / _FILE if source is None else source, (_FILE,))
    return Fuser(fill(MeasuredCCAF(), state, where), device, precision)
