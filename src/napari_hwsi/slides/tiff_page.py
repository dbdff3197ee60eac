"""What is asked of a page of a TIFF file before any of its pixels are decoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import SlideError
from .jpeg import stated_size
from .lzw import require_sound

LONGEST_SIDE_PX = 1 << 22
_MOST_BYTES_PER_BYTE: Mapping[int, int] = {
    tifffile.COMPRESSION.NONE: 1,
    tifffile.COMPRESSION.PACKBITS: 64,
    tifffile.COMPRESSION.ADOBE_DEFLATE: 1032,
    tifffile.COMPRESSION.DEFLATE: 1032,
    tifffile.COMPRESSION.LZW: 2560,
    tifffile.COMPRESSION.JPEG: 6144,
}
"""More than each codec can put into a byte; other codecs put any number into a few."""
_CONVERTED = frozenset(
    {
        tifffile.COMPRESSION.OJPEG,
        tifffile.COMPRESSION.JPEG,
        tifffile.COMPRESSION.ALT_JPEG,
        tifffile.COMPRESSION.JPEG_LOSSY,
        tifffile.COMPRESSION.WEBP,
    }
)
"""Codecs that turn YCbCr into RGB by themselves."""


class ColourModelError(SlideError):
    """Pixels of another colour model than RGB."""


def require_rgb_model(page: Any) -> None:
    """Raise ColourModelError unless decoding ``page`` gives RGB; of YCbCr, the codecs of JPEG do."""
    model = page.photometric
    if model == tifffile.PHOTOMETRIC.RGB or (
        model == tifffile.PHOTOMETRIC.YCBCR and page.compression in _CONVERTED
    ):
        return
    if not hasattr(model, "name"):
        raise SlideError(f"damaged: there is no colour model {model}")
    raise ColourModelError(f"not an RGB image but {model.name}; convert it to RGB")


def where_pieces_lie(page: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return offset and byte count of each tile or strip; raises SlideError where they are none."""
    try:
        offsets, counts = (np.asarray(v, np.int64) for v in (page.dataoffsets, page.databytecounts))
    except (TypeError, ValueError, OverflowError) as error:
        raise SlideError(f"damaged: places of its tiles that are no numbers ({error})") from error
    if offsets.ndim != 1 or counts.ndim != 1 or min(offsets.min(initial=0), counts.min(initial=0)) < 0:
        raise SlideError("damaged: places of its tiles that lie before the file")
    return offsets, counts


def require_plausible_size(
    page: Any, shape: tuple[int, int], piece: tuple[int, int], counts: NDArray[np.int64]
) -> None:
    """Raise SlideError for a level longer than any slide, or pieces that their bytes cannot hold.

    shape, piece: (Y, X) of the level, and of a tile or strip; counts: bytes of each piece.
    """
    if max(shape) > LONGEST_SIDE_PX:
        raise SlideError(f"damaged: a level of {shape[0]} x {shape[1]} px")
    samples = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.CONTIG else 1
    most, largest = _MOST_BYTES_PER_BYTE.get(page.compression), int(counts.max(initial=0))
    rows = piece[0] if page.is_tiled else min(piece[0], shape[0])
    if most and largest and rows * piece[1] * samples * page.bitspersample // 8 > most * largest:
        raise SlideError(f"damaged: tiles of {rows} x {piece[1]} px in at most {largest} bytes")


def safe_decode(page: Any) -> Callable[..., Any]:
    """Return ``page.decode``, a ValueError for data that would fill the memory or end the process."""
    decode, lzw = page.decode, page.compression == tifffile.COMPRESSION.LZW
    pixels = int(page.chunks[0]) * int(page.chunks[1])

    def decode_safely(data: bytes | None, *args: Any, **options: Any) -> Any:
        if data is not None:
            stated = stated_size(data)
            if stated is not None and stated[0] * stated[1] > 4 * pixels:
                raise ValueError(f"{stated[0]} x {stated[1]} px where {pixels} px belong")
            if lzw:
                require_sound(data)
        return decode(data, *args, **options)

    return decode_safely
