"""Profiles: versioned choices of encoders and segmenter that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..encoders import DescriptorEncoder, PatchEncoder, load
from ..errors import InputError

if TYPE_CHECKING:
    from ..encoders.ccaf import Fuser
    from ..encoders.places import PocketPlaces
    from ..encoders.region import Hipt


@dataclass(frozen=True)
class Profile:
    """encoder: of patches, and of phrases in the same space; segmenter: of cells; phrases: what patches are
    scored by unless told otherwise; regions: how a region gets its vector, 'mean' of its patch vectors,
    'hipt', from its pixels, or 'pocket', from vectors and their places, as the slide does then; fuses:
    which CCAF fuses cells, that of the 'release', by the vectors of this segmenter, or 'pocket', by what is
    measured of those of any. The encoders are names of the registry, or that of the descriptor.
    """

    name: str
    version: str
    encoder: str
    segmenter: str
    phrases: tuple[str, ...]
    regions: Literal["mean", "hipt", "pocket"] = "mean"
    fuses: Literal["release", "pocket"] | None = None

    def patch_encoder(self, device: str = "auto") -> PatchEncoder:
        """Return the encoder of patches, ready to use; raises InputError where its weights are not here."""
        return find_encoder(self.encoder, device)

    def region_encoder(self, device: str = "auto") -> Hipt | None:
        """Return what encodes the pixels of regions, None where nothing does; raises InputError where its
        weights are not here.
        """
        if self.regions != "hipt":
            return None
        from ..encoders.region import load_hipt

        return load_hipt(device)

    def place_encoder(self, device: str = "auto") -> PocketPlaces | None:
        """Return what makes regions of patch vectors, and slides of regions; None where means do."""
        if self.regions != "pocket":
            return None
        from ..encoders.places import load_places

        return load_places(device=device)

    def fuser(self, device: str = "auto") -> Fuser | None:
        """Return CCAF, None where cells are not fused; raises InputError where its weights are not here."""
        if self.fuses is None:
            return None
        from ..encoders.ccaf import load_fuser
        from ..encoders.pocket_cells import load_pocket_fuser

        return (load_fuser if self.fuses == "release" else load_pocket_fuser)(device)


PROFILES: Mapping[str, Profile] = {
    "pocket": Profile(
        name="pocket",
        version="4",
        encoder="pocket",
        segmenter="pocket",
        phrases=(
            "crowded nuclei",
            "large dark nuclei",
            "many small dark nuclei",
            "gland-like spaces among nuclei",
            "pink fibrous stroma",
            "spindle-shaped nuclei",
        ),
        regions="pocket",
        fuses="pocket",
    ),
    "release": Profile(
        name="release",
        version="1",
        encoder="conch",
        segmenter="cellvit",
        phrases=(
            "tumor",
            "invasive carcinoma",
            "atypical nuclei",
            "mitotic figures",
            "glands",
            "lymphocytes",
            "necrosis",
            "stroma",
        ),
        regions="hipt",
        fuses="release",
    ),
}


def find_encoder(name: str, device: str = "auto") -> PatchEncoder:
    """Return an encoder of patches by its name in the registry, or the descriptor, ready to use.

    Raises InputError for an unknown name and where its weights are not here.
    """
    return DescriptorEncoder() if name == DescriptorEncoder.name else load(name, device=device)


def profile_named(name: str) -> Profile:
    """Return a profile; raises InputError, naming those there are, for an unknown one."""
    if name not in PROFILES:
        raise InputError(f'There is no profile "{name}". Choose from: {", ".join(PROFILES)}.')
    return PROFILES[name]
