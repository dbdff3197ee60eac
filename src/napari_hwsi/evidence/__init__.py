"""What an answer rests on: the places on the slide, and what becomes of it when the image is changed."""

from .agreement import Agreement, agreement, difference
from .change import CHANGES, UNCHANGED, Change, ChangeKind
from .dependence import Dependence, Trial, dependence
from .evidence import SCALES, SOURCES, Evidence, EvidenceSource, ScaleName
from .occlusion import Occlusion, occlusion
from .repeats import Repeats, repeats

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
    "Occlusion",
    "Repeats",
    "ScaleName",
    "Trial",
    "agreement",
    "dependence",
    "difference",
    "occlusion",
    "repeats",
]
