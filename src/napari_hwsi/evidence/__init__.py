"""What an answer rests on: the places on the slide, and what becomes of it when the image is changed."""

from .agreement import Agreement, agreement, difference
from .change import CHANGES, UNCHANGED, Change, ChangeKind
from .dependence import Dependence, Trial, dependence
from .evidence import SCALES, SOURCES, Evidence, EvidenceSource, ScaleName

__all__ = [
    "CHANGES",
    "SCALES",
    "SOURCES",
    "UNCHANGED",
    "Agreement",
    "Change",
    "ChangeKind",
    "Dependence",
    "Evidence",
    "EvidenceSource",
    "ScaleName",
    "Trial",
    "agreement",
    "dependence",
    "difference",
]
