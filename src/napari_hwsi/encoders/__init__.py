"""From pixels to vectors: so far the descriptor, which measures a patch and needs no weights."""

from .descriptor import DescriptorEncoder
from .encoder import PatchEncoder
from .vectors import unit

__all__ = ["DescriptorEncoder", "PatchEncoder", "unit"]
