"""What the descriptor measures in one patch: colour, pale space, nuclei and texture.

A patch is 256 x 256 px at 0.5 µm/px (128 µm a side). Nuclei, pale space and fibres are
measured on its average over 2 x 2 px, at 1 µm/px, where lengths in pixels are micrometres.
Stains are separated with the textbook's vectors, in optical density (OD).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..tissue import optical_density, separate_stains

Plane: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Measures: TypeAlias = dict[str, Any]

_TINY = 1e-6
_SPECK_UM2 = 10  # anything dark and smaller is debris, a fragment or noise, not a nucleus
_LARGE_GAP_UM2 = 300
_DEEPEST_NUCLEUS_UM = 7  # what is dark and thicker is no nucleus: keratin, folds, pigment, ink
_NUCLEAR_OD = (0.25, 0.8)  # between these Otsu's threshold on haematoxylin may fall
_LBP_BINS = 10


def measure_patch(patch: NDArray[np.uint8]) -> Measures:
    """Return all measures of one (256, 256, 3) uint8 RGB patch, by name."""
    stains = np.ascontiguousarray(np.moveaxis(separate_stains(patch), -1, 0))
    rgb = halve(np.ascontiguousarray(np.moveaxis(patch, -1, 0), np.float32))
    density = optical_density(np.rint(rgb).astype(np.uint8))
    halved = halve(stains)
    grey = density.mean(0)
    pale = grey < 0.07
    nuclear = _nuclear(halved[0])
    return {
        **_colour(rgb, density, halved, pale),
        **_pale(pale),
        **_nuclei(stains[0], halved[0], nuclear),
        **_bands("haematoxylin", stains[0]),
        **_bands("eosin", stains[1]),
        **_fibres(grey),
        **_binary_patterns(grey),
    }


def halve(planes: Plane) -> Plane:
    """Average (..., H, W) over 2 x 2 pixels."""
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    return np.asarray((rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25))


def _colour(rgb: Plane, density: Plane, stains: Plane, pale: Mask) -> Measures:
    haematoxylin, eosin, residual = stains
    red, green, blue = density
    h10, h50, h90, h99 = np.percentile(haematoxylin, [10, 50, 90, 99])
    e10, e50, e90 = np.percentile(eosin, [10, 50, 90])
    spread_h, spread_e = haematoxylin.std() + _TINY, eosin.std() + _TINY
    centred = haematoxylin - haematoxylin.mean()
    coloured = ~pale & (green > 0.1)
    # Haemoglobin absorbs nearly as much blue as green, and little red; eosin mostly less blue.
    orange = np.clip(blue / np.maximum(green, 0.2) * 5 - 3, 0, 1)
    blood = np.where(coloured & (red < 0.4 * green), orange, 0)
    return {
        "red": rgb[0].mean(),
        "green": rgb[1].mean(),
        "blue": rgb[2].mean(),
        "saturation": (density.max(0) - density.min(0)).mean(),
        "haematoxylin_mean": haematoxylin.mean(),
        "haematoxylin_sd": spread_h,
        "haematoxylin_p10": h10,
        "haematoxylin_p50": h50,
        "haematoxylin_p90": h90,
        "haematoxylin_p99": h99,
        "haematoxylin_skew": (centred**3).mean() / spread_h**3,
        "eosin_mean": eosin.mean(),
        "eosin_sd": spread_e,
        "eosin_p10": e10,
        "eosin_p50": e50,
        "eosin_p90": e90,
        "residual_mean": residual.mean(),
        "residual_sd": residual.std(),
        "stain_correlation": (centred * (eosin - eosin.mean())).mean() / (spread_h * spread_e),
        "pink_share": (coloured & (red < 0.33 * green)).mean(),
        "purple_share": (coloured & (red >= 0.33 * green) & (red < 0.35)).mean(),
        "blood_red": np.sqrt(blood.mean()),
    }


def _pale(pale: Mask) -> Measures:
    share = float(pale.mean())
    labels, _ = ndimage.label(pale)
    areas = np.bincount(labels.ravel())[1:]
    rim = np.unique(np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]))
    enclosed = np.setdiff1d(np.flatnonzero(areas >= _LARGE_GAP_UM2) + 1, rim)
    edges = (pale[1:] ^ pale[:-1]).mean() + (pale[:, 1:] ^ pale[:, :-1]).mean()
    # What is still pale after an erosion by 8 µm is wide open: fat cells, lumens, glass. That also
    # parts rooms whose thin walls have gaps.
    deep = ndimage.uniform_filter(pale.astype(np.float32), 17, mode="nearest") > 1 - _TINY
    return {
        "pale_share": share,
        "pale_wide_share": deep.mean(),
        "pale_gap_share": np.sqrt(areas[areas < _LARGE_GAP_UM2].sum() / pale.size),
        "pale_edge": edges,
        "pale_rooms": np.log1p(ndimage.label(deep)[1]),
        "pale_enclosed": np.sqrt(areas[enclosed - 1].sum() / pale.size),
    }


def _nuclear(haematoxylin: Plane) -> Mask:
    smooth = ndimage.gaussian_filter(haematoxylin, 0.7)
    return np.asarray(smooth > np.clip(_otsu(smooth), *_NUCLEAR_OD))


def _otsu(plane: Plane, bins: int = 64) -> float:
    """Threshold of largest variance between two classes, over ODs 0 to 1.5 (Otsu, 1979)."""
    counts = np.bincount(np.clip(plane.ravel() * (bins / 1.5), 0, bins - 1).astype(np.int64), minlength=bins)
    centres = (np.arange(bins) + 0.5) * 1.5 / bins
    below, total = np.cumsum(counts), counts.sum()
    moment = np.cumsum(counts * centres)
    above = np.maximum(total - below, 1)
    between = below * (total - below) * (moment / np.maximum(below, 1) - (moment[-1] - moment) / above) ** 2
    return float(centres[int(np.argmax(between))])


def _nuclei(fine: Plane, haematoxylin: Plane, nuclear: Mask) -> Measures:
    labels, count = ndimage.label(nuclear)
    flat = labels.ravel()
    areas = np.bincount(flat, minlength=count + 1).astype(np.float64)
    elongation = _elongation(flat, areas, nuclear.shape[1])[1:]
    areas = areas[1:]
    whole = areas >= _SPECK_UM2
    sizes = areas[whole]
    blobs = _blobs(haematoxylin, nuclear)
    quarters = np.add.reduceat(np.add.reduceat(blobs, np.arange(0, 128, 32), 0), np.arange(0, 128, 32), 1)
    depth = np.asarray(ndimage.distance_transform_edt(nuclear))
    inside = nuclear.any()
    over = max(int(nuclear.sum()), 1)
    fine_mask = np.repeat(np.repeat(nuclear, 2, 0), 2, 1)
    chromatin = fine[fine_mask]
    return {
        "nuclear_share": nuclear.mean(),
        "nuclear_blobs": np.sqrt(blobs.sum()),
        "nuclear_clustering": quarters.std() / (quarters.mean() + 1),
        "nuclear_pieces": np.sqrt(len(sizes)),
        "nuclear_area": np.log(np.average(sizes, weights=sizes)) if len(sizes) else np.log(_SPECK_UM2),
        "nuclear_area_spread": sizes.std() / sizes.mean() if len(sizes) else 0.0,
        "nuclear_elongation": np.average(elongation[whole], weights=sizes) if len(sizes) else 0.0,
        # Granulometry: how much of the nuclear area lies deeper than 2, 3 and 4 µm.
        "nuclear_depth_2um": np.count_nonzero(depth > 2) / over,
        "nuclear_depth_3um": np.count_nonzero(depth > 3) / over,
        "nuclear_depth_4um": np.count_nonzero(depth > 4) / over,
        "dark_mass_share": np.sqrt(np.mean(depth > _DEEPEST_NUCLEUS_UM)),
        "nuclear_area_a_blob": np.log((nuclear.sum() + 20) / (blobs.sum() + 1)),
        "nuclear_darkness": chromatin.mean() if inside else _NUCLEAR_OD[0],
        "chromatin_sd": chromatin.std() if inside else 0.0,
        "dark_specks": np.sqrt(np.count_nonzero(~whole & (areas > 1))),
    }


def _blobs(haematoxylin: Plane, nuclear: Mask) -> NDArray[np.int64]:
    """Return 1 where haematoxylin peaks inside nuclear area, at the scale of a nucleus."""
    smooth = ndimage.gaussian_filter(haematoxylin, 1.8)
    return np.asarray((smooth == ndimage.maximum_filter(smooth, 5)) & nuclear, np.int64)


def _elongation(labels: NDArray[Any], areas: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return 1 − minor / major axis of every label, from second moments."""
    y, x = np.divmod(np.arange(labels.size, dtype=np.float64), width)
    size = np.maximum(areas, 1)

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(labels, weights, minlength=len(areas)) / size

    my, mx = mean(y), mean(x)
    yy, xx, xy = mean(y * y) - my**2 + 1 / 12, mean(x * x) - mx**2 + 1 / 12, mean(x * y) - mx * my
    root = np.sqrt((yy - xx) ** 2 + 4 * xy**2)
    return np.asarray(1 - np.sqrt(np.maximum(yy + xx - root, 0) / (yy + xx + root)))


def _bands(name: str, plane: Plane) -> Measures:
    """Return the standard deviation that each halving of the resolution removes, 0.5 to 16 µm."""
    energies: Measures = {}
    variance = float(plane.var())
    for upper in (1, 2, 4, 8, 16):
        plane = halve(plane)
        coarser = float(plane.var())
        energies[f"{name}_band_{upper}um"] = np.sqrt(max(variance - coarser, 0.0))
        variance = coarser
    return energies


def _fibres(grey: Plane) -> Measures:
    """Return edge strength and how far edges share one direction (structure tensor), near and far."""
    dy = grey[2:, 1:-1] - grey[:-2, 1:-1]
    dx = grey[1:-1, 2:] - grey[1:-1, :-2]
    tensor = np.stack([dy * dy, dx * dx, dy * dx])
    local = tensor[:, :112, :112].reshape(3, 7, 16, 7, 16).mean((2, 4))
    strength = np.sqrt(tensor[0] + tensor[1])
    weight = local[0] + local[1] + _TINY
    return {
        "edge_mean": strength.mean(),
        "edge_p95": np.percentile(strength, 95),
        "fibre_coherence_16um": np.average(_coherence(local), weights=weight),
        "fibre_coherence_128um": _coherence(tensor.mean((1, 2))),
    }


def _coherence(tensor: NDArray[Any]) -> NDArray[Any]:
    yy, xx, xy = tensor
    return np.asarray(np.sqrt((yy - xx) ** 2 + 4 * xy**2) / (yy + xx + _TINY))


def _binary_patterns(grey: Plane) -> Measures:
    """Return the histogram of rotation-invariant uniform local binary patterns at 1 µm.

    8 neighbours, Ojala et al. (IEEE TPAMI 24, 2002); OD differences under 0.02 count as equal.
    """
    centre = grey[1:-1, 1:-1] + np.float32(0.02)
    ring = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    codes = np.zeros(centre.shape, np.uint8)
    for bit, (y, x) in enumerate(ring):
        codes |= (grey[y : y + 126, x : x + 126] > centre).view(np.uint8) << np.uint8(bit)
    shares = np.bincount(_PATTERN[codes].ravel(), minlength=_LBP_BINS) / codes.size
    return {f"pattern_{i}": np.sqrt(share) for i, share in enumerate(shares)}


def _pattern_table() -> NDArray[np.uint8]:
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    changes = (bits != np.roll(bits, 1, 1)).sum(1)
    return np.where(changes <= 2, bits.sum(1), _LBP_BINS - 1).astype(np.uint8)


_PATTERN = _pattern_table()
