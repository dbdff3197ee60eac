"""From pixels, patches and cells to vectors: a measured descriptor, and the published networks.

Networks are imported when one is loaded: importing this folder does not import torch.
"""

from .descriptor import DescriptorEncoder
from .encoder import PatchEncoder
from .registry import Missing, Published, load, missing, models, register
from .vectors import unit

__all__ = [
    "DescriptorEncoder",
    "Missing",
    "PatchEncoder",
    "Published",
    "load",
    "missing",
    "models",
    "register",
    "unit",
]
