"""Maps of scores over a slide, at all scales, and their files."""

from .collect import maps_of, occlusion_map
from .files import ENDINGS, read_maps, write_maps
from .score_map import Pixels, ScoreMap, pixels_for

__all__ = [
    "ENDINGS",
    "Pixels",
    "ScoreMap",
    "maps_of",
    "occlusion_map",
    "pixels_for",
    "read_maps",
    "write_maps",
]
