"""One slide decomposed into four scales: analysis, the semantic filter, and the result on disk."""

from .analysis import analyze, extend
from .filter import Kept, filter_paper, filter_release
from .finding import Example, Finding, Found, find
from .foreign import FeatureHierarchy, open_features
from .fused import FusedCells, fuse_cells, fused_of, patches_of
from .hierarchy import Hierarchy, open_result
from .options import REGION_SHAPES, PatchOptions, RegionShape
from .profile import PROFILES, Profile, profile_named
from .store import default_store, has_result
from .verify import Damage, find_damage

__all__ = [
    "PROFILES",
    "REGION_SHAPES",
    "Damage",
    "Example",
    "FeatureHierarchy",
    "Finding",
    "Found",
    "FusedCells",
    "Hierarchy",
    "Kept",
    "PatchOptions",
    "Profile",
    "RegionShape",
    "analyze",
    "default_store",
    "extend",
    "filter_paper",
    "filter_release",
    "find",
    "find_damage",
    "fuse_cells",
    "fused_of",
    "has_result",
    "open_features",
    "open_result",
    "patches_of",
    "profile_named",
]
