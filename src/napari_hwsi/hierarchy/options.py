"""How patches become vectors and regions, beyond what the profile says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from ..encoders import DescriptorEncoder, PatchEncoder
from ..errors import InputError
from ..tissue import PER_SIDE, check_normaliser
from .filter import KEEP

RegionShape: TypeAlias = Literal["square", "adaptive"]
REGION_SHAPES: tuple[RegionShape, ...] = get_args(RegionShape)


@dataclass(frozen=True)
class PatchOptions:
    """normalise: name of the stain normalisation before the encoders, None for none; survivors: how many
    patches of a square of the grid the encoder sees at most, chosen by the descriptor, None for all; regions:
    'square', or 'adaptive' for those grown within the squares by the likeness of their patches.

    Raises InputError for unknown names and for fewer survivors than are kept.
    """

    normalise: str | None = None
    survivors: int | None = None
    regions: RegionShape = "square"

    def __post_init__(self) -> None:
        check_normaliser(self.normalise)
        if self.regions not in REGION_SHAPES:
            raise InputError(f"Regions are {' or '.join(REGION_SHAPES)}; not {self.regions!r}.")
        if self.survivors is not None and not KEEP <= self.survivors <= PER_SIDE**2:
            raise InputError(
                f"A region has {PER_SIDE**2} patches and keeps {KEEP}, so from {KEEP} to {PER_SIDE**2} can "
                f"survive the first step of the filter; not {self.survivors}."
            )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PatchOptions:
        """Return those that the patches of a result were made with, by their settings in it."""
        step, normalisation = settings["first_step"], settings["normalisation"]
        return cls(
            normalise=None if normalisation is None else normalisation["name"],
            survivors=None if step is None else step["survivors"],
            regions="square" if settings["adaptive"] is None else "adaptive",
        )

    def check_saves(self, encoder: PatchEncoder) -> None:
        """Raise InputError where a first step would cost about as much as the encoder it is to save."""
        if self.survivors is not None and encoder.name in (DescriptorEncoder.name, "pocket"):
            raise InputError(
                "The encoder of this profile measures the descriptor, which is also the first step of a "
                "two-step filter: there is nothing to save. Leave out survivors, or take another profile."
            )
