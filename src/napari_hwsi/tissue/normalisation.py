"""Stain normalisation: the colours of one slide, brought to those of a reference slide before an encoder.

Fitted once per slide, from its tissue alone, and applied to every patch alike. Glass stays glass: what
absorbs nothing is left as it is. The reference is a public slide, CMU-1-Small-Region of OpenSlide's test data
(CC0, Aperio, H&E), as fitted by this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, TissueError
from ..slides import RGB, Slide, stream_patches
from .grid import MPP, PATCH_PX, Grid, region_grid
from .mask import TissueMask
from .stains import optical_density

Rows: TypeAlias = tuple[tuple[float, float, float], ...]

_PATCHES = 48
_PIXELS_A_PATCH = 4096
_FAINT = 0.15  # a pixel of less optical density in all channels is glass rather than stain
_GLASS = 0.05  # what is fainter is not changed at all; between the two, in part
_OUTER = (1.0, 99.0)  # percentiles of the angle that stand for the two stains, and of their amounts
_DIGITS = 6  # kept of what is fitted, so that it does not depend on the machine's arithmetic

_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_OPPONENT = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])


class Normaliser(Protocol):
    """Brings the colours of the slide it was fitted to to those of the reference."""

    @property
    def name(self) -> str:
        """What the method is called."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """All that decides its result, as plain values."""
        ...

    def __call__(self, rgb: RGB) -> RGB:
        """Return uint8 RGB (..., 3) in the colours of the reference."""
        ...


@dataclass(frozen=True)
class Macenko:
    """The slide's own stain vectors exchanged for the reference's (Macenko et al. 2009, ISBI).

    vectors: unit optical densities of haematoxylin and eosin, R, G, B; amounts: their 99th percentiles. An
    optical density is split into the two by least squares, each is scaled to the reference's amount and
    laid on the reference's vector; what is neither goes.
    """

    vectors: Rows
    amounts: tuple[float, float]
    name = "macenko"

    def settings(self) -> dict[str, Any]:
        """Return method, fit and reference."""
        return {"name": self.name, **asdict(self), "reference": asdict(REFERENCE_MACENKO)}

    def __call__(self, rgb: RGB) -> RGB:
        """Return uint8 RGB (..., 3) in the colours of the reference."""
        scale = np.divide(REFERENCE_MACENKO.amounts, self.amounts)
        turn = np.linalg.pinv(np.array(self.vectors)) @ (scale[:, None] * np.array(REFERENCE_MACENKO.vectors))
        density = optical_density(rgb) @ turn.astype(np.float32)
        return _over_glass(rgb, 256 * np.power(10, -density) - 1)


@dataclass(frozen=True)
class Reinhard:
    """Mean and spread of the slide's colours exchanged for the reference's (Reinhard et al. 2001, IEEE CG&A).

    mean, sd: of the stained pixels, in the decorrelated logarithmic space lαβ of that paper.
    """

    mean: tuple[float, float, float]
    sd: tuple[float, float, float]
    name = "reinhard"

    def settings(self) -> dict[str, Any]:
        """Return method, fit and reference."""
        return {"name": self.name, **asdict(self), "reference": asdict(REFERENCE_REINHARD)}

    def __call__(self, rgb: RGB) -> RGB:
        """Return uint8 RGB (..., 3) in the colours of the reference."""
        scale = np.divide(REFERENCE_REINHARD.sd, self.sd).astype(np.float32)
        shift = np.asarray(REFERENCE_REINHARD.mean - np.asarray(self.mean) * scale, np.float32)
        return _over_glass(rgb, _from_lab(_to_lab(rgb) * scale + shift))


REFERENCE_MACENKO = Macenko(
    ((0.727641, 0.607574, 0.318421), (0.075182, 0.92605, 0.369837)), (1.568359, 1.090959)
)
REFERENCE_REINHARD = Reinhard((-0.68015, -0.073202, 0.027616), (0.376482, 0.087746, 0.02062))


def fit_macenko(pixels: RGB) -> Macenko:
    """Fit to stained pixels (N, 3) uint8; raises TissueError where they hold no two stains."""
    density = optical_density(pixels).astype(np.float64)
    _, basis = np.linalg.eigh(np.cov(density.T))
    plane = basis[:, 1:] * np.where(basis[:, 1:].sum(0) < 0, -1, 1)
    angles = np.arctan2(*(density @ plane).T)
    vectors = np.array([plane @ (np.sin(a), np.cos(a)) for a in np.percentile(angles, _OUTER)])
    # haematoxylin absorbs more red than eosin does
    vectors = np.maximum(vectors[np.argsort(-vectors[:, 0])], 0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if np.linalg.norm(np.cross(*vectors)) < 0.05:
        raise TissueError(
            "The tissue of this slide shows one stain only, so its two stains cannot be told apart: "
            "analyse it with normalise='reinhard' or without normalisation."
        )
    amounts = np.percentile(density @ np.linalg.pinv(vectors), _OUTER[1], axis=0)
    return Macenko(_rows(vectors), _row(np.maximum(amounts, 1e-3)))


def fit_reinhard(pixels: RGB) -> Reinhard:
    """Fit to stained pixels (N, 3) uint8."""
    space = _to_lab(pixels).astype(np.float64)
    return Reinhard(_row(space.mean(0)), _row(np.maximum(space.std(0), 1e-3)))


NORMALISERS: Mapping[str, Callable[[RGB], Normaliser]] = {"macenko": fit_macenko, "reinhard": fit_reinhard}
"""The methods by name: each fits itself to stained pixels (N, 3)."""


def check_normaliser(name: str | None) -> None:
    """Raise InputError, naming those there are, for an unknown method; None is no normalisation."""
    if name is not None and name not in NORMALISERS:
        raise InputError(f"There is no normalisation {name!r}. Choose from: {', '.join(NORMALISERS)}.")


def fit_normaliser(name: str, slide: Slide, tissue: TissueMask) -> Normaliser:
    """Return a method fitted to a slide's tissue, in the same way on each call.

    Up to 48 patches of the grid that are half tissue, evenly spread over the slide, and of each every 16th
    pixel that is stained. Raises InputError for an unknown method, TissueError where the slide has too little
    stained tissue to fit to.
    """
    check_normaliser(name)
    pixels = stained_pixels(slide, tissue)
    if len(pixels) < _PIXELS_A_PATCH // 4:
        raise TissueError(f"{slide.name} has too little stained tissue to fit its colours to.")
    return NORMALISERS[name](pixels)


def stained_pixels(slide: Slide, tissue: TissueMask) -> RGB:
    """Return pixels (N, 3) of a slide's tissue that are stained, at 0.5 µm/px."""
    grid = region_grid(slide, MPP)
    boxes = _tissue_patches(grid, tissue)
    chosen = (
        boxes[np.unique(np.linspace(0, len(boxes) - 1, _PATCHES).round().astype(int))]
        if len(boxes)
        else boxes
    )
    found = [np.empty((0, 3), np.uint8)]
    for batch in stream_patches(slide, chosen[:, :2], grid.mpp, (PATCH_PX, PATCH_PX), 8):
        pixels = batch.images[batch.readable][:, ::4, ::4].reshape(-1, 3)
        found.append(pixels[optical_density(pixels).max(1) > _FAINT])
    return np.concatenate(found)


def _tissue_patches(grid: Grid, tissue: TissueMask) -> NDArray[np.int64]:
    """Return the boxes of patches that are half tissue; of all with tissue, where none is."""
    boxes = np.concatenate([grid.patch_boxes(region) for region in range(len(grid))])
    share = np.array([tissue.coverage((int(b[0]), int(b[1]), int(b[2]), int(b[3]))) for b in boxes])
    return boxes[share >= 0.5] if (share >= 0.5).any() else boxes[share > 0]


def _over_glass(rgb: RGB, changed: NDArray[np.floating[Any]]) -> RGB:
    """Return the changed colours where there is stain, fading into the old ones where there is none."""
    weight = np.clip((optical_density(rgb).max(-1, keepdims=True) - _GLASS) / (_FAINT - _GLASS), 0, 1)
    return np.clip(np.rint(weight * changed + (1 - weight) * rgb), 0, 255).astype(np.uint8)


def _to_lab(rgb: RGB) -> NDArray[np.float32]:
    matrix = _LMS.T.astype(np.float32)
    return np.log10((rgb.astype(np.float32) + 1) / 256 @ matrix) @ _OPPONENT.T.astype(np.float32)


def _from_lab(space: NDArray[np.float32]) -> NDArray[np.float32]:
    # the opponent axes are at right angles, so turning back is the transpose
    back = np.linalg.inv(_LMS).T.astype(np.float32)
    return np.power(10, space @ _OPPONENT.astype(np.float32)) @ back * 256 - 1


def _row(values: NDArray[Any]) -> Any:
    return tuple(round(float(value), _DIGITS) for value in values)


def _rows(values: NDArray[Any]) -> Any:
    return tuple(_row(row) for row in values)
