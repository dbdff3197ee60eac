"""The first step of a two-step filter: cheap vectors say which patches the expensive encoder sees.

The full filter begins by picking patches that differ from one another (MLLM-HWSI, arXiv 2603.23067). The
first step does the same on the vectors of the descriptor, which cost a hundredth of a network's, and more
widely; the encoder sees what it lets pass, and the filter goes on from these. Phrases take no part in it, so
that other phrases never need an encoder.

An encoder of regions that has its own of patches, as HIPT has, still sees all of them.

What is lost is measured where it can be: in every sixteenth region all patches are encoded, and the patches
that the full filter keeps there are compared with those the two steps keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders import DescriptorEncoder, PatchEncoder
from .filter import farthest_first

AUDIT_EVERY = 16


@dataclass(frozen=True)
class FirstStep:
    """survivors: patches of a square that pass at most; encoder: of the cheap vectors."""

    survivors: int
    encoder: PatchEncoder = field(default_factory=DescriptorEncoder)

    def settings(self) -> dict[str, Any]:
        """Return all that decides what passes, and where it is compared, as plain values."""
        return {
            "survivors": self.survivors,
            "encoder": {"name": self.encoder.name, "version": self.encoder.version},
            "audit_every": AUDIT_EVERY,
        }

    def passing(self, vectors: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which patches pass, bool (N,). vectors: the cheap ones (N, W); valid: bool (N,)."""
        part = np.flatnonzero(valid)
        passes = np.zeros(len(valid), bool)
        passes[part[farthest_first(vectors[part], self.survivors)]] = True
        return passes


@dataclass(frozen=True)
class TwoSteps:
    """What a two-step filter saved and what it changed.

    survivors: patches of a square that the encoder saw at most; saving: share of the patches with tissue that
    it never saw; agreement: of the patches that the full filter keeps, the share that the two steps keep too,
    in the ``audited`` regions, whose patches were all encoded. None where there is nothing to tell it by, as
    on a slide with tissue in one region only.
    """

    survivors: int
    saving: float | None
    agreement: float | None
    audited: tuple[int, ...]

    def __str__(self) -> str:
        saved = "nothing yet" if self.saving is None else f"{self.saving:.0%} of the patches"
        same = (
            "not compared" if self.agreement is None else f"{self.agreement:.0%} of those kept are the same"
        )
        return f"Two-step filter: {saved} never encoded, {same}."


class Tally:
    """Counts, region by region, what two steps save and change."""

    def __init__(self) -> None:
        self._tissue = self._spared = self._kept = self._same = 0
        self._audited: list[int] = []

    def add(self, tissue: NDArray[np.bool_], encoded: NDArray[np.bool_]) -> None:
        """Add a region: which patches could take part in the filter, and which have a vector; bool (N,)."""
        self._tissue += int(tissue.sum())
        self._spared += int((tissue & ~encoded).sum())

    def audit(self, region: int, full: NDArray[np.bool_], two_steps: NDArray[np.bool_]) -> None:
        """Compare, in a region, what the full filter keeps with what the two steps keep; bool (N,)."""
        self._audited.append(region)
        self._kept += int(full.sum())
        self._same += int((full & two_steps).sum())

    def facts(self) -> dict[str, Any]:
        """Return saving, agreement and where it was measured, as plain values."""
        return {
            "saving": self._spared / self._tissue if self._tissue else None,
            "agreement": self._same / self._kept if self._kept else None,
            "audited": self._audited,
        }


def audited(regions: Sequence[int]) -> frozenset[int]:
    """Return in which of the regions with tissue all patches are encoded, for comparison.

    The second and every sixteenth from there, so that a slide of one region is saved its whole share.
    """
    return frozenset(regions[1::AUDIT_EVERY])
