"""The four scales."""

from __future__ import annotations

from typing import Literal, TypeAlias

Scale: TypeAlias = Literal["slide", "region", "patch", "cell"]

SCALES: tuple[Scale, ...] = ("slide", "region", "patch", "cell")
"""From coarse to fine; everywhere in this folder scales come in this order."""

WIDTHS = {"slide": 192, "region": 192, "patch": 512, "cell": 384}
"""Width of the vectors of each scale in MLLM-HWSI: HIPT, HIPT, CONCH, CCAF of the release."""
