"""One map as a picture for a paper: colours, colour bar, scale bar, and what was mapped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...disk import written_whole
from .score_map import ScoreMap

_STOPS = (
    (68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137),
    (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37),
)  # fmt: skip  # viridis (van der Walt and Smith, 2015, CC0): even for the eye, safe for the colour-blind
_LENGTHS_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_LONGEST = 1600  # px of the picture's longer side


def viridis(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return colours (…, 3) uint8 of values 0 to 1; what lies outside takes the end's colour."""
    places = np.linspace(0, 1, len(_STOPS))
    stops = np.asarray(_STOPS, np.float64)
    channels = [np.interp(values, places, stops[:, c]) for c in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)


def draw(one: ScoreMap, thumbnail: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return the picture of a map, uint8 (Y, X, 3).

    Each pixel of the map is a square, never smoothed. thumbnail: the slide seen whole, uint8 (Y, X, 3); it
    shows, in grey, where no unit lies. The scale is said below: raw scores, or percentiles.
    """
    raster = one.raster()
    size = max(1, min(_LONGEST // max(raster.shape), 64))
    thin = max(1, -(-max(raster.shape) // _LONGEST))
    raster = raster[::thin, ::thin]  # a slide of more units than the picture has pixels
    low, high = one.limits
    known = np.isfinite(raster)
    picture = np.full((*raster.shape, 3), 255, np.uint8)
    picture[known] = viridis((raster[known] - low) / (high - low))
    picture = picture.repeat(size, 0).repeat(size, 1)
    if thumbnail is not None:
        ground = _ground(one, thumbnail, picture.shape[:2])
        hidden = ~known.repeat(size, 0).repeat(size, 1)
        picture[hidden] = ground[hidden]
    um = one.grid.step[1] * one.mpp[1] * thin / size
    return _framed(picture, one, (low, high), um)


def write_picture(one: ScoreMap, path: Path, thumbnail: NDArray[np.uint8] | None = None) -> None:
    """Write the picture of a map as PNG."""
    with written_whole(path) as part:
        Image.fromarray(draw(one, thumbnail)).save(part, "PNG")


def _ground(one: ScoreMap, thumbnail: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the part of the thumbnail that the map covers, pale grey, at the picture's size."""
    grid = one.grid
    part = []
    for axis in (0, 1):
        ratio = thumbnail.shape[axis] / one.shape[axis]
        start = grid.origin[axis] * ratio
        part.append((start, start + grid.step[axis] * grid.shape[axis] * ratio))
    grey = Image.fromarray(thumbnail).convert("L")
    box = part[1][0], part[0][0], part[1][1], part[0][1]
    cut = grey.transform((shape[1], shape[0]), Image.Transform.EXTENT, box, fillcolor=255)
    pale = 255 - (255 - np.asarray(cut, np.float32)) * 0.45
    return np.repeat(pale[..., None], 3, 2).astype(np.uint8)


def _framed(
    picture: NDArray[np.uint8], one: ScoreMap, limits: tuple[float, float], um: float
) -> NDArray[np.uint8]:
    """Lay the map on white, with its name above, the scale bar below and the colour bar at its right."""
    h, w = picture.shape[:2]
    text = max(14, min(h, w) // 40)
    font = ImageFont.load_default(text)
    margin, bar = text, max(12, text)
    words = [_number(value) for value in limits]
    right = margin + bar + max(int(font.getlength(word)) for word in words) + 2 * margin
    page = Image.new("RGB", (max(margin + w + right, 24 * text), margin + 2 * text + h + 4 * text), "white")
    pen = ImageDraw.Draw(page)
    top, left = margin + 2 * text, margin
    scale = "percentile among the units" if one.values == "percentile" else "raw score"
    pen.text((left, margin // 2), f"{one.name} · {one.scale} · {scale}", "black", font)
    page.paste(Image.fromarray(picture), (left, top))
    pen.rectangle((left - 1, top - 1, left + w, top + h), outline=(120, 120, 120))
    ramp = viridis(np.linspace(1, 0, h))[:, None].repeat(bar, 1)
    page.paste(Image.fromarray(ramp), (left + w + margin, top))
    pen.text((left + w + 2 * margin + bar, top), words[1], "black", font)
    pen.text((left + w + 2 * margin + bar, top + h - text), words[0], "black", font)
    length = max((one_um for one_um in _LENGTHS_UM if one_um / um <= w / 3), default=_LENGTHS_UM[0])
    y = top + h + text
    pen.rectangle((left, y, left + length / um, y + max(3, text // 4)), fill="black")
    pen.text((left, y + text // 2), f"{length / 1000:g} mm · research use only", "black", font)
    return np.asarray(page)


def _number(value: float) -> str:
    return f"{value:.3g}"
