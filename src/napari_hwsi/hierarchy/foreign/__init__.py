"""Patch features of other tools: the release's files, TRIDENT, CLAM, STAMP, AtlasPatch, slide2vec, plain CSV.

A module a layout; what it reads and writes is :class:`PatchFeatures`, in this package's (y, x) level-0
pixels.
"""

from .export import features_of
from .features import Facts, PatchFeatures, Regions
from .hints import Hints
from .layout import Layout, Written
from .opened import FeatureHierarchy, open_features
from .registry import LAYOUTS, layout_of, read_features, write_features

__all__ = [
    "LAYOUTS",
    "Facts",
    "FeatureHierarchy",
    "Hints",
    "Layout",
    "PatchFeatures",
    "Regions",
    "Written",
    "features_of",
    "layout_of",
    "open_features",
    "read_features",
    "write_features",
]
