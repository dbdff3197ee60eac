"""Whether LZW data can be decoded safely.

The decoder takes the first code after a clear code for a byte without looking. Where it is a
string, which only damaged data holds, it copies from wherever the table of strings happened to
point, and may end the process. So the codes are looked at beforehand.
"""

from __future__ import annotations

import numpy as np

_CLEAR, _END, _FIRST, _LAST = 256, 257, 258, 4095
_WIDTHS = (9, 10, 11, 12)
_LOOK = 64  # codes at first, twice as many at each further look


def _layout(early: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where each code after a clear code starts, in bits, and how wide it is.

    early: codes widen one code before they must (TIFF 6.0, section 13), 0: when they must (as in GIF).
    """
    entries = _FIRST + np.maximum(np.arange(_LAST - _FIRST + 3) - 1, 0)  # in the table, at each code
    widths = np.array(_WIDTHS)[sum((entries + early >= 1 << bits).astype(int) for bits in _WIDTHS[:-1])]
    return np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int32), widths.astype(np.int32)


_TIFF, _OLD = _layout(1), _layout(0)


def require_sound(data: bytes) -> None:
    """Raise ValueError where an LZW stream has a string, not a byte, after a clear code.

    Old-style streams, whose bits come in the other order, are told by their first bytes.
    """
    old = len(data) > 1 and data[0] == 0 and data[1] & 1 == 1
    starts, widths = _OLD if old else _TIFF
    three = _three_bytes(data, old)
    n_bits, at, begun, look = 8 * len(data), 0, False, _LOOK
    while True:
        place, width = at + starts[:look], widths[:look]
        n_whole = int(np.searchsorted(place + width, n_bits, "right"))
        place, width = place[:n_whole], width[:n_whole]
        shift = place & 7 if old else 24 - (place & 7) - width
        codes = three[place >> 3] >> shift & (1 << width) - 1
        stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        if begun and n_whole and codes[0] > _END:
            raise ValueError("a string where LZW begins anew")
        if not len(stops):
            if n_whole < look or look >= len(starts):
                return  # the end of the data, or of the table, where the decoder refuses what follows
            look *= 4
        elif codes[stops[0]] == _END:
            return
        else:
            stop = int(stops[0])
            at, begun, look = int(place[stop] + width[stop]), True, max(_LOOK, stop + 2)


def _three_bytes(data: bytes, old: bool) -> np.ndarray:
    """Return the 24 bits from each byte on; what lies behind the data is zeros."""
    bytes_ = np.frombuffer(data + bytes(2), np.uint8).astype(np.int32)
    first, second, third = bytes_[:-2], bytes_[1:-1], bytes_[2:]
    return first | second << 8 | third << 16 if old else first << 16 | second << 8 | third
