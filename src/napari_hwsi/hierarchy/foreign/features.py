"""Patch features of a slide as any tool makes them: vectors, places, and what is known of both."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Floats = NDArray[np.float32]
Places = NDArray[np.float64]
Indices = NDArray[np.int64]

_OBJECTIVE = 10.0
"""Magnification times µm per pixel: 20x is 0.5 µm/px."""

_KINDS = {np.dtype(np.float16): "float16", np.dtype(np.float32): "float32", np.dtype(np.float64): "float32"}


@dataclass(frozen=True)
class Facts:
    """What is known of how features were made; None where nobody says.

    name: of the slide, as its files are called; patch_px: side of a patch as the encoder's reader saw it;
    overlap_px: of neighbours, in those pixels; mpp: (one number) of those pixels, µm; slide_mpp: µm per
    level-0 pixel; slide_shape: (Y, X) level 0; precision: of the numbers in the file, 'float16' or
    'float32'. float16 is widened without loss when read, and written as it was where a layout allows.
    """

    name: str
    encoder: str | None = None
    patch_px: int | None = None
    overlap_px: int | None = None
    mpp: float | None = None
    slide_mpp: float | None = None
    slide_shape: tuple[int, int] | None = None
    slide_magnification: float | None = None
    magnification: float | None = None
    slide_path: str | None = None
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or Path(self.name).name != self.name:
            raise InputError(f"{self.name!r} is not a name that a slide's files can be called by.")

    @property
    def label(self) -> str:
        """The encoder's name as part of a file's name."""
        return re.sub(r"[^\w.+-]+", "-", self.encoder or "unknown")

    def magnifications(self) -> tuple[float | None, float | None]:
        """Return those of the slide and of the patches, as stated or by µm per pixel."""
        source = self.slide_magnification or (self.slide_mpp and round(_OBJECTIVE / self.slide_mpp))
        return source or None, self.magnification or (self.mpp and round(_OBJECTIVE / self.mpp)) or None


@dataclass(frozen=True)
class Regions:
    """Regions that group patches, in a square grid each.

    boxes: float64 (R, 4); vectors: float32 (R, W) or None; per_region: patches a region; the patches of
    region r are rows r · per_region … of the features, row by row of the grid. kept: int64 (R, K) patches
    that a filter kept, most relevant first, −1 where fewer, or None; tokens: float32 (R, K, C), the cells
    of the kept patches, or None; has_cells: bool (R,), whether cells were looked for, or None.
    """

    boxes: Places
    per_region: int
    vectors: Floats | None = None
    kept: Indices | None = None
    tokens: Floats | None = None
    has_cells: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        count = len(self.boxes)
        for name in ("vectors", "kept", "tokens", "has_cells"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise InputError(f"There are {count} regions, but {name} of {len(value)}.")
        if self.kept is not None and not ((self.kept >= -1) & (self.kept < self.per_region)).all():
            raise InputError(f"Kept patches are numbered 0 to {self.per_region - 1} within their region.")
        if self.tokens is not None and (
            self.kept is None or self.tokens.ndim != 3 or self.tokens.shape[:2] != self.kept.shape
        ):
            raise InputError(f"Cell vectors of shape {self.tokens.shape} do not fit the kept patches.")


@dataclass(frozen=True)
class PatchFeatures:
    """Features of N patches of one slide.

    vectors: float32 (N, W), W = 0 where a file has places only; boxes: float64 (N, 4) y0, x0, y1, x1 in
    level-0 pixels, which may lie between pixels; valid: bool (N,), False where a grid has a place but no
    vector; slide_vector: float32 (S,), the file's own, or None. Raises InputError where these do not fit.
    """

    vectors: Floats
    boxes: Places
    facts: Facts
    valid: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    regions: Regions | None = None
    slide_vector: Floats | None = None

    def __post_init__(self) -> None:
        where = self.facts.name
        if self.vectors.ndim != 2 or self.boxes.shape[1:] != (4,):
            raise InputError(
                f"{where}: vectors are (N, W) and places (N, 2), not {self.vectors.shape} and "
                f"{self.boxes.shape[:1]}."
            )
        if len(self.vectors) != len(self.boxes):
            raise InputError(
                f"{where}: there are {len(self.vectors)} vectors, but {len(self.boxes)} places. The files do "
                "not belong together, or one was not written to its end."
            )
        if not len(self.valid):
            object.__setattr__(self, "valid", np.ones(len(self.boxes), bool))
        if len(self.valid) != len(self.boxes):
            raise InputError(f"{where}: {len(self.boxes)} patches need as many marks of being valid.")
        if not np.isfinite(self.vectors).all() or not np.isfinite(self.boxes).all():
            raise InputError(f"{where}: vectors or places are not finite numbers. Make the features again.")
        if not (self.boxes[:, 2:] > self.boxes[:, :2]).all():
            raise InputError(f"{where}: patches have no size. Make the features again.")
        if self.regions is not None and len(self.regions.boxes) * self.regions.per_region != len(self.boxes):
            raise InputError(
                f"{where}: {len(self.regions.boxes)} regions of {self.regions.per_region} patches are not "
                f"{len(self.boxes)} patches."
            )
        self._check_on_slide()

    def _check_on_slide(self) -> None:
        if self.facts.slide_shape is None:
            return
        boxes = self.boxes[self.valid] if self.regions is None else self.regions.boxes
        outside = (boxes[:, :2] < 0).any(1) | (boxes[:, :2] >= self.facts.slide_shape).any(1)
        if outside.any():
            height, width = self.facts.slide_shape
            what = "patches" if self.regions is None else "regions"
            raise InputError(
                f"{self.facts.name}: {int(outside.sum())} of {len(boxes)} {what} begin outside the slide of "
                f"{height} x {width} px (y, x). Are they of another slide, or not in level-0 pixels?"
            )

    def flat(self) -> PatchFeatures:
        """Return the valid patches alone, without regions."""
        rows = self.valid
        return PatchFeatures(self.vectors[rows], self.boxes[rows], self.facts, slide_vector=self.slide_vector)

    def squares(self) -> tuple[Indices, int]:
        """Return whole-pixel corners (x, y), int64 (N, 2), and the one side of all patches, level-0 px.

        Raises InputError where they are not squares of one size; a pixel's difference is rounding.
        """
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        if len(sides) and np.ptp(sides) > 1.5:
            raise InputError(
                f"{self.facts.name}: patches of {sides.min():.0f} to {sides.max():.0f} px cannot be written "
                "in this layout, which has squares of one size. Choose csv."
            )
        side = int(np.rint(sides.mean())) if len(sides) else 0
        return np.rint(self.boxes[:, 1::-1]).astype(np.int64), side

    def left_out(self, *held: str) -> list[str]:
        """Return, in words, what a layout that holds only ``held`` beside vectors and places leaves out."""
        regions = self.regions
        there = {
            "masked": f"places without a vector ({int((~self.valid).sum())})" if not self.valid.all() else "",
            "slide": "the slide vector" if self.slide_vector is not None else "",
            "regions": f"the regions ({len(regions.boxes)})" if regions else "",
            "kept": "which patches the filter kept" if regions and regions.kept is not None else "",
            "cells": "the cell vectors" if regions and regions.tokens is not None else "",
            "encoder": f"the encoder's name, {self.facts.encoder}" if self.facts.encoder else "",
        }
        return [text for name, text in there.items() if text and name not in held]


def as_vectors(values: NDArray[Any], where: str | Path, ndim: int = 2) -> tuple[Floats, str]:
    """Return vectors as float32 and the precision they had; float64 is rounded. Raises InputError."""
    if values.dtype not in _KINDS or values.ndim != ndim:
        raise InputError(
            f"{where} holds {values.dtype} of shape {values.shape} where vectors are expected: floating "
            f"point numbers of {ndim} dimension{'s' * (ndim > 1)}."
        )
    return values.astype(np.float32), _KINDS[values.dtype]


def corner_boxes(xy: NDArray[Any], side: float | tuple[float, float]) -> Places:
    """Return boxes (N, 4) from corners (x, y), (N, 2), and one side or (height, width), level-0 px."""
    corners = np.asarray(xy, np.float64).reshape(-1, 2)[:, ::-1]
    return np.concatenate([corners, corners + np.asarray(side, np.float64)], 1)


def mean_side(boxes: Places) -> float:
    """Return the mean side of boxes, 0 where there are none."""
    return float((boxes[:, 2:] - boxes[:, :2]).mean()) if len(boxes) else 0.0


def grid_boxes(regions: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Return the boxes of rows x rows patches of each region, row by row, float64 (R · rows², 4)."""
    row, column = np.divmod(np.arange(rows * rows), rows)
    step = np.repeat((regions[:, 2:] - regions[:, :2]) / rows, rows * rows, 0)
    place = np.tile(np.stack([row, column], 1), (len(regions), 1))
    corner = np.repeat(regions[:, :2], rows * rows, 0) + place * step
    return np.concatenate([corner, corner + step], 1)
