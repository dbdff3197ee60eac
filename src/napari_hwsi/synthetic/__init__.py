"""H&E-like whole slides with known truth, made window by window from a seed.

Pixels, nuclei, regions, artefacts, grade and report; `write_slide` puts one on disk as a pyramid
with its truth.
"""

from .layout import REGIONS
from .nuclei import TYPES
from .slide import SyntheticSlide
from .spec import ARTEFACTS, Scanner, SlideSpec, Stain
from .truth import Findings, Truth
from .write import is_synthetic, write_slide

__all__ = [
    "ARTEFACTS",
    "REGIONS",
    "TYPES",
    "Findings",
    "Scanner",
    "SlideSpec",
    "Stain",
    "SyntheticSlide",
    "Truth",
    "is_synthetic",
    "write_slide",
]
