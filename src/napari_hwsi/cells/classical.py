"""Nuclei of haematoxylin and eosin without a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import ResolutionError
from ..slides import RGB, Slide
from ..tissue import TissueMask, optical_density
from ..units import Mpp
from .extremal import Tree, boundary_sums, component_tree, count_levels
from .fields import sample_fields
from .segmenter import Offer, Segmentation, segmenters
from .split import split_touching

_FINEST, _COARSEST = 0.2, 1.1  # µm/px within which the sizes below span enough pixels

_SMOOTH_UM = 0.45  # evens out chromatin and noise, keeps the edge
_AROUND_UM = 5.0  # the neighbourhood whose stain a nucleus must stand out from
_AROUND_WEIGHT = 0.6
_TRUNCATE = 2.5  # where the Gaussians end, in sigmas: what makes tiles independent
_THRESHOLDS = 32
_HOLE_UM2 = 20.0

_SMALLEST_UM2, _SMALL_UM2 = 12.0, 30.0  # no nucleus; surely large enough
_LARGE_UM2, _LARGEST_UM2 = 350.0, 560.0
_THINNEST_UM, _THIN_UM = 1.5, 3.0
_ELLIPSE = (0.70, 0.95)  # share of its ellipse an object fills: none of the score, all of it
_COMPACT = (0.30, 0.50)  # 4π area over the boundary's pixels squared; a disc has 1.2, flakes and folds little
_EDGE = (0.08, 0.40)  # edge per µm as a share of the slide's contrast: none of the score, all of it
_SHAPE_POWER = 0.8
_AREA_POWER = 0.4  # how much a whole nucleus is worth more than its parts
_LEAST_SCORE = 0.08
_ROUNDS = 2  # pale nuclei that lean on dark ones appear when those are taken out

_STAINED = 0.08  # mean optical density of what is not glass
_LEAST_CONTRAST = 0.18  # optical density: paler tissue is not stretched further, so noise stays noise
_HUE_SHARE, _HUE_SOFT = 0.6, 0.1
_LEAST_HUE = 0.15
_INK_HUE = 1.15  # red absorbed more than green: marker ink, which haematoxylin never is


@dataclass(frozen=True)
class StainLevels:
    """What a slide's staining looks like.

    low, contrast: where the nuclear signal of its tissue begins, and its range, optical density;
    hue: red over green optical density of its most nuclear pixels.
    """

    low: float
    contrast: float
    hue: float


@dataclass(frozen=True)
class Classical:
    """Nuclei as the best-shaped, best-edged objects among all thresholds of the nuclear signal.

    The signal is the optical density of red, which haematoxylin absorbs and eosin hardly does
    (Ruifrok & Johnston 2001), less a share of its surroundings. Of the nested components of 32
    thresholds (see :mod:`.extremal`) those are chosen that together score highest in shape,
    edge, size and hue; waisted ones are split. levels: measured on the whole slide by
    :meth:`fit`, so that neighbouring tiles agree; on each image alone where None.
    """

    mpp: float = 0.5
    levels: StainLevels | None = None

    name = "classical"
    margin_um = 24.0
    type_names = ("nucleus",)

    def settings(self) -> Mapping[str, Any]:
        """Name, version of the method, resolution and fitted levels."""
        return {"name": self.name, "version": 1, **asdict(self)}

    def fit(self, slide: Slide, tissue: TissueMask | None = None) -> Classical:
        """Return it with the stain levels of the slide, from at most 16 fields of its tissue."""
        if self.levels is not None:
            return self
        fields = sample_fields(slide, self.mpp, tissue)
        return replace(self, levels=_stain_levels([(Signal.of(rgb, mpp)) for rgb, mpp in fields]))

    def segment(self, rgb: RGB, mpp: Mpp) -> Segmentation:
        """Find the nuclei of (Y, X, 3) uint8 at (y, x) µm per pixel.

        Probabilities are scores from 0 to 1, not calibrated. Raises ResolutionError outside
        0.2 to 1.1 µm/px, where nuclei are too small or the objects not nuclei.
        """
        if not all(_FINEST <= step <= _COARSEST for step in mpp):
            raise ResolutionError(
                f"The classical segmenter works from {_FINEST} to {_COARSEST} µm per pixel; "
                f"this image has {mpp[0]:.3g} x {mpp[1]:.3g}."
            )
        pixel_um = float(np.sqrt(mpp[0] * mpp[1]))
        signal = Signal.of(rgb, mpp)
        levels = self.levels or _stain_levels([signal])
        thresholds = np.linspace(levels.low, levels.low + levels.contrast, _THRESHOLDS, endpoint=False)
        depth = count_levels(signal.nuclear, thresholds, _HOLE_UM2 / pixel_um**2)
        labels = np.zeros(depth.shape, np.int32)
        scores: list[NDArray[np.float64]] = []
        for _ in range(_ROUNDS):
            found, score = _choose(depth, signal, levels, pixel_um)
            labels[found > 0] = found[found > 0] + sum(map(len, scores))
            scores.append(score)
            depth[ndimage.binary_dilation(found > 0)] = 0
        labels, origin = split_touching(labels, pixel_um)
        probabilities = np.concatenate(scores)[origin - 1].astype(np.float32)
        return Segmentation(labels, np.zeros(len(origin), np.uint8), probabilities)


segmenters["classical"] = Offer(
    lambda device, source: Classical(), what="haematoxylin and shape, without a network"
)


@dataclass(frozen=True)
class Signal:
    """Optical densities of an image, float32 (Y, X), and the nuclear signal made of them.

    tissue: bool (Y, X), what is stained and no ink.
    """

    red: NDArray[np.float32]
    green: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    nuclear: NDArray[np.float32]

    @classmethod
    def of(cls, rgb: RGB, mpp: Mpp) -> Signal:
        density = optical_density(rgb)
        red = np.ascontiguousarray(density[..., 0])
        fine, around = (
            ndimage.gaussian_filter(red, [um / step for step in mpp], truncate=_TRUNCATE)
            for um in (_SMOOTH_UM, _AROUND_UM)
        )
        green = np.ascontiguousarray(density[..., 1])
        tissue = (density.mean(-1) > _STAINED) & (red < _INK_HUE * green)
        return cls(red, green, tissue, fine - _AROUND_WEIGHT * around)


def _stain_levels(signals: list[Signal]) -> StainLevels:
    """Measure the levels of a slide on the tissue of some of its images; ink is left out."""
    nuclear = np.concatenate([s.nuclear[s.tissue] for s in signals])
    if len(nuclear) < 100:
        return StainLevels(0.1, _LEAST_CONTRAST, _LEAST_HUE)
    red, green = (np.concatenate([getattr(s, name)[s.tissue] for s in signals]) for name in ("red", "green"))
    low, dark, high = np.percentile(nuclear, [10, 98, 99.5])
    darkest = nuclear >= dark
    hue = float(red[darkest].sum() / max(green[darkest].sum(), 1e-6))
    return StainLevels(float(low), max(float(high - low), _LEAST_CONTRAST), hue)


def _choose(
    depth: NDArray[np.uint8], signal: Signal, levels: StainLevels, pixel_um: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return labels of the best objects of an image of thresholds passed, and their scores (N,)."""
    tree = component_tree(depth, _SMALLEST_UM2 / pixel_um**2)
    score, area_um2 = _scores(tree, depth, signal, levels, pixel_um)
    value = np.where(score > _LEAST_SCORE, score * area_um2**_AREA_POWER, 0)
    labels, nodes = tree.paint(tree.choose(value))
    return labels, score[nodes]


def _scores(
    tree: Tree, depth: NDArray[np.uint8], signal: Signal, levels: StainLevels, pixel_um: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a score from 0 to 1 and the area in µm², by node."""
    if not len(tree):
        return np.empty(0), np.empty(0)
    pixels = np.flatnonzero(tree.innermost >= 0)
    y, x = (part.astype(np.float64) for part in np.divmod(pixels, depth.shape[1]))
    ones = np.ones(len(pixels))
    stains = (signal.red.ravel()[pixels], signal.green.ravel()[pixels])
    area, sy, sx, syy, sxx, syx, red, green = tree.sums(pixels, ones, y, x, y * y, x * x, y * x, *stains)
    yy = syy / area - (sy / area) ** 2 + 1 / 12
    xx = sxx / area - (sx / area) ** 2 + 1 / 12
    yx = syx / area - sy * sx / area**2
    area_um2 = area * pixel_um**2
    fill = area / (4 * np.pi * np.sqrt(np.maximum(yy * xx - yx * yx, 1 / 144)))
    spread = np.sqrt(((yy - xx) / 2) ** 2 + yx * yx)
    minor_um = 4 * np.sqrt(np.maximum((yy + xx) / 2 - spread, 0)) * pixel_um
    length, slope = boundary_sums(tree, depth, np.hypot(*np.gradient(signal.nuclear)))
    edge = slope / np.maximum(length, 1) / pixel_um / levels.contrast
    hue = red / np.maximum(green, 1e-6)
    least_hue = max(_HUE_SHARE * levels.hue, _LEAST_HUE)
    score = (
        (0.05 + 0.95 * _ramp(fill, *_ELLIPSE)) ** _SHAPE_POWER
        * _ramp(4 * np.pi * area / np.maximum(length, 1) ** 2, *_COMPACT)
        * _ramp(edge, *_EDGE)
        * _ramp(area_um2, _SMALLEST_UM2, _SMALL_UM2)
        * _ramp(-area_um2, -_LARGEST_UM2, -_LARGE_UM2)
        * _ramp(minor_um, _THINNEST_UM, _THIN_UM)
        * _ramp(hue, least_hue, least_hue + _HUE_SOFT)
        * (hue < _INK_HUE)
    )
    return score, area_um2


def _ramp(values: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    """Return 0 up to ``start``, 1 from ``end`` on, a straight line between."""
    return np.clip((values - start) / (end - start), 0, 1)
