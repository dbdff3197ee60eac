"""What is known of one slide, or of a part of it, before a language model sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..units import Box, Mpp
from .scales import SCALES, Scale


@dataclass(frozen=True)
class ScaleVectors:
    """N places of one scale.

    vectors: float32 (N, W); boxes: int64 (N, 4), level-0 px; mask: bool (N,), True for what may be seen;
    regions: int64 (N,), for patches and cells the row of the region that each lies in. A patch has one
    vector for its cells; one of zeros that may be seen says that there are none.
    """

    vectors: NDArray[np.float32]
    boxes: NDArray[np.int64]
    mask: NDArray[np.bool_]
    regions: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        vectors: ArrayLike,
        boxes: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        regions: ArrayLike | None = None,
    ) -> ScaleVectors:
        """Return places whose boxes, masks or regions may be left out: at (0, 0), seen, in region 0."""
        table = np.asarray(vectors, np.float32)
        count = len(table)
        return cls(
            table,
            np.zeros((count, 4), np.int64) if boxes is None else np.asarray(boxes, np.int64),
            np.ones(count, bool) if mask is None else np.asarray(mask, bool),
            np.zeros(count, np.int64) if regions is None else np.asarray(regions, np.int64),
        )

    def __post_init__(self) -> None:
        count = len(self.vectors)
        shapes = (self.boxes.shape, self.mask.shape, self.regions.shape)
        if self.vectors.ndim != 2 or shapes != ((count, 4), (count,), (count,)):
            raise InputError(
                f"Vectors {self.vectors.shape}, boxes {shapes[0]}, masks {shapes[1]} and regions {shapes[2]} "
                "do not belong together."
            )
        bad = np.flatnonzero(~np.isfinite(self.vectors[self.mask]).all(1))
        if len(bad):
            row = np.flatnonzero(self.mask)[bad[0]]
            raise InputError(f"Row {row} of the vectors is not all finite numbers. Make the features again.")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """Numbers a vector."""
        return self.vectors.shape[1]


@dataclass(frozen=True)
class SlideVectors:
    """The vectors of four scales that a question about a box of a slide is answered from.

    slide: one row, the slide as context; region, patch, cell: what meets the box. cells_of: int64 (cells,),
    the row of the patch whose cells each is. box: (y0, x0, y1, x1), level-0 px; mpp: (y, x) µm per level-0
    pixel; left_out: how many of a scale the budget had no room for; census: for a model that counts, every
    patch that meets the box, whatever the budget, its cells' vector behind its own. Raises InputError where
    these do not belong together.
    """

    slide: ScaleVectors
    region: ScaleVectors
    patch: ScaleVectors
    cell: ScaleVectors
    cells_of: NDArray[np.int64]
    box: Box = (0, 0, 1, 1)
    mpp: Mpp = (1.0, 1.0)
    left_out: Mapping[str, int] = field(default_factory=dict)
    census: ScaleVectors | None = None

    @classmethod
    def of_regions(
        cls,
        slide: ArrayLike,
        region: ArrayLike,
        patch: ArrayLike,
        cell: ArrayLike,
        patch_mask: ArrayLike | None = None,
        cell_mask: ArrayLike | None = None,
    ) -> SlideVectors:
        """Return what the release's files hold: K kept patches a region, and no places.

        slide: (W,); region: (R, W); patch, cell: (R, K, W), cell the token of a patch's cells; masks: bool
        (R, K), True for what is there, None: all is.
        """
        parts = {"slide": slide, "region": region, "patch": patch, "cell": cell}
        arrays = {scale: np.asarray(values) for scale, values in parts.items()}
        masks = [np.asarray(mask).shape for mask in (patch_mask, cell_mask) if mask is not None]
        kept = arrays["patch"].shape[:2]
        shapes = [arrays["cell"].shape[:2], *masks]
        ranks = tuple(arrays[scale].ndim for scale in SCALES)
        if (
            ranks != (1, 2, 3, 3)
            or kept[0] != len(arrays["region"])
            or any(shape != kept for shape in shapes)
        ):
            given = ", ".join(f"{scale} {values.shape}" for scale, values in arrays.items())
            raise InputError(f"The vectors of a slide do not belong together: {given}, masks {masks}.")
        rows = np.repeat(np.arange(kept[0]), kept[1])

        def flat(scale: Scale, mask: ArrayLike | None) -> ScaleVectors:
            values = arrays[scale].reshape(len(rows), arrays[scale].shape[2])
            seen = None if mask is None else np.asarray(mask).reshape(-1)
            return ScaleVectors.of(values, mask=seen, regions=rows)

        return cls(
            ScaleVectors.of(arrays["slide"][None]),
            ScaleVectors.of(arrays["region"]),
            flat("patch", patch_mask),
            flat("cell", cell_mask),
            np.arange(len(rows)),
        )

    def __post_init__(self) -> None:
        count = len(self.region)
        if len(self.slide) != 1:
            raise InputError(f"A slide has one vector of its own, not {len(self.slide)}.")
        if not count:
            raise InputError("A slide without a region says nothing to the model.")
        for scale in (self.patch, self.cell):
            if len(scale) and not ((scale.regions >= 0) & (scale.regions < count)).all():
                raise InputError(f"Patches or cells name regions beyond the {count} there are.")
        rows = self.cells_of
        if rows.shape != (len(self.cell),) or not ((rows >= 0) & (rows < len(self.patch))).all():
            raise InputError(f"The cells of {len(self.cell)} patches do not fit {len(self.patch)} patches.")

    def at(self, scale: Scale) -> ScaleVectors:
        """Return the places of a scale."""
        return {"slide": self.slide, "region": self.region, "patch": self.patch, "cell": self.cell}[scale]

    @property
    def widths(self) -> dict[str, int]:
        """Numbers a vector, by scale."""
        return {scale: self.at(scale).width for scale in SCALES}
