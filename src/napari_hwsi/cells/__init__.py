"""Cells of a slide: segmenters, seams between tiles, the cell table, nuclear morphology, exchange formats."""

from .cells import Cells
from .cellvit import CellViTSegmenter
from .classical import Classical, StainLevels
from .contours import Contours, trace
from .corrections import Correction, Editable, Reversal, correct
from .exchange import ending_of, write_cells, write_objects
from .index import CellIndex
from .neighbours import Graph
from .packaged import PackagedSegmenter
from .pocket import PocketSegmenter
from .seams import resolve_seams
from .segment import segment_cells, segment_owned
from .segmenter import (
    NetworkSegmenter,
    Offer,
    Segmentation,
    Segmenter,
    find_segmenter,
    offered,
    segmenters,
    unverified,
)
from .tiles import TILE_PX, no_cells

__all__ = [
    "TILE_PX",
    "CellIndex",
    "CellViTSegmenter",
    "Cells",
    "Classical",
    "Contours",
    "Correction",
    "Editable",
    "Graph",
    "NetworkSegmenter",
    "Offer",
    "PackagedSegmenter",
    "PocketSegmenter",
    "Reversal",
    "Segmentation",
    "Segmenter",
    "StainLevels",
    "correct",
    "ending_of",
    "find_segmenter",
    "no_cells",
    "offered",
    "resolve_seams",
    "segment_cells",
    "segment_owned",
    "segmenters",
    "trace",
    "unverified",
    "write_cells",
    "write_objects",
]
