"""What an answer rests on: a place on the slide, its scale, its score, and how it was found."""

from .evidence import SCALES, SOURCES, Evidence, EvidenceSource, ScaleName

__all__ = ["SCALES", "SOURCES", "Evidence", "EvidenceSource", "ScaleName"]
