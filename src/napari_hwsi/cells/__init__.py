"""Cells of a slide: segmenters, seams between tiles, the cell table, nuclear morphology, exchange formats."""

from .cells import Cells
from .classical import Classical, StainLevels
from .contours import Contours
from .seams import resolve_seams
from .segment import TILE_PX, segment_cells, segment_owned
from .segmenter import Segmentation, Segmenter, find_segmenter, segmenters

__all__ = [
    "TILE_PX",
    "Cells",
    "Classical",
    "Contours",
    "Segmentation",
    "Segmenter",
    "StainLevels",
    "find_segmenter",
    "resolve_seams",
    "segment_cells",
    "segment_owned",
    "segmenters",
]
