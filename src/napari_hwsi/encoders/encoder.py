"""What the hierarchy needs from whatever turns patches into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PatchEncoder(Protocol):
    """Patches and phrases to vectors of length one in the same space."""

    @property
    def name(self) -> str:
        """What it is called in results and registries."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever its vectors do."""
        ...

    @property
    def width(self) -> int:
        """Numbers a vector."""
        ...

    @property
    def mpp(self) -> float:
        """µm per pixel of the patches it takes."""
        ...

    @property
    def input_px(self) -> int:
        """Side of the patches it takes."""
        ...

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (N, width) for uint8 RGB patches (N, input_px, input_px, 3)."""
        ...

    def encode_text(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 (M, width); raises InputError for a phrase it cannot encode."""
        ...
