"""Tissue and artefacts, stains, and the grid of regions and patches."""

from .artefacts import ARTEFACTS
from .edits import forget_tissue, is_edited, keep_tissue, kept_tissue, tissue_of
from .grid import MPP, PATCH_PX, PER_SIDE, REGION_PX, Grid, region_grid
from .mask import CLASSES, TissueMask, tissue_mask
from .normalisation import NORMALISERS, Normaliser, check_normaliser, fit_normaliser
from .stains import (
    HE_MATRIX,
    StainKind,
    measurable_stain,
    optical_density,
    separate_stains,
    stain_kind,
)
from .thresholds import Thresholds

__all__ = [
    "ARTEFACTS",
    "CLASSES",
    "HE_MATRIX",
    "MPP",
    "NORMALISERS",
    "PATCH_PX",
    "PER_SIDE",
    "REGION_PX",
    "Grid",
    "Normaliser",
    "StainKind",
    "Thresholds",
    "TissueMask",
    "check_normaliser",
    "fit_normaliser",
    "forget_tissue",
    "is_edited",
    "keep_tissue",
    "kept_tissue",
    "measurable_stain",
    "optical_density",
    "region_grid",
    "separate_stains",
    "stain_kind",
    "tissue_mask",
    "tissue_of",
]
