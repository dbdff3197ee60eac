"""Profiles: versioned choices of encoder and segmenter that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..encoders import DescriptorEncoder, PatchEncoder
from ..errors import InputError


@dataclass(frozen=True)
class Profile:
    """encoder, segmenter: registered names; phrases: what patches are scored by unless told otherwise."""

    name: str
    version: str
    encoder: str
    segmenter: str
    phrases: tuple[str, ...]

    def patch_encoder(self) -> PatchEncoder:
        """Return the profile's patch encoder, ready to use."""
        return _ENCODERS[self.encoder]()


_ENCODERS = {DescriptorEncoder.name: DescriptorEncoder}

PROFILES: Mapping[str, Profile] = {
    "pocket": Profile(
        name="pocket",
        version="1",
        encoder="descriptor",
        segmenter="classical",
        phrases=(
            "crowded nuclei",
            "large dark nuclei",
            "many small dark nuclei",
            "gland-like spaces among nuclei",
            "pink fibrous stroma",
            "spindle-shaped nuclei",
        ),
    )
}


def profile_named(name: str) -> Profile:
    """Return a profile; raises InputError, naming those there are, for an unknown one."""
    if name not in PROFILES:
        raise InputError(f'There is no profile "{name}". Choose from: {", ".join(PROFILES)}.')
    return PROFILES[name]
