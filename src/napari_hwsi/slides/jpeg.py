"""What a compressed picture says of itself, read before it is decoded."""

from __future__ import annotations

_START = b"\xff\xd8"
_JPEG2000_CODESTREAM = b"\xff\x4f\xff\x51"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOFn, without DHT, JPG, DAC
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Return the (Y, X) that a JPEG or JPEG 2000 stream states, None for other data or a damaged head.

    JPEG: the frame header of ITU-T T.81, B.2.2; JPEG 2000: the SIZ segment of ITU-T T.800, A.5.1.
    """
    if data.startswith(_JPEG2000_CODESTREAM):
        x1, y1, x0, y0 = (int.from_bytes(data[i : i + 4], "big") for i in range(8, 24, 4))
        return y1 - y0, x1 - x0
    if not data.startswith(_START):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
        elif marker in _FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
        elif marker in _STANDALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
