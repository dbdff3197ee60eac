"""What a user can say of files that do not say it themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, ResolutionError
from ...slides import Slide
from ...units import as_mpp
from .features import Facts


@dataclass(frozen=True)
class Hints:
    """name: what the slide is called, and which of several in a folder; encoder: whose vectors, where there
    are several; patch_px: side of a patch in level-0 pixels; slide_mpp: µm per level-0 pixel; slide: if open.
    """

    name: str | None = None
    encoder: str | None = None
    patch_px: float | None = None
    slide_mpp: float | None = None
    slide: Slide | None = None

    @classmethod
    def of(
        cls,
        slide: Slide | None = None,
        mpp: float | None = None,
        patch_px: float | None = None,
        encoder: str | None = None,
        name: str | None = None,
    ) -> Hints:
        """Return hints that take what is missing from the slide. Raises ResolutionError, InputError."""
        if patch_px is not None and not patch_px >= 1:
            raise InputError(f"The side of a patch is at least one level-0 pixel, not {patch_px}.")
        known = as_mpp(mpp)[1] if mpp is not None else slide.mpp[1] if slide and slide.mpp else None
        return cls(name, encoder, patch_px, known, slide)

    def complete(self, facts: Facts) -> Facts:
        """Return facts with what the file leaves open filled in; what the user says of the slide counts."""
        return replace(
            facts,
            name=self.name or facts.name,
            encoder=facts.encoder or self.encoder,
            slide_mpp=self.slide_mpp or facts.slide_mpp,
            slide_shape=self.slide.shape if self.slide else facts.slide_shape,
        )

    def side(self, path: Path, xy: NDArray[np.generic]) -> float:
        """Return the side of a patch as the user gave it; raises InputError that asks for it."""
        if self.patch_px is None:
            raise InputError(
                f"{path} does not say how large its patches are. Give their side in level-0 pixels: "
                f"patch_px=… in Python, --patch-px on the command line{_step(np.asarray(xy))}."
            )
        return self.patch_px

    def mpp(self, path: Path, what: str) -> float:
        """Return µm per level-0 pixel; raises ResolutionError that says what it is needed for."""
        if self.slide_mpp is None:
            raise ResolutionError(
                f"{path} {what}. Give the slide, or its µm per level-0 pixel: mpp=0.5 in Python, --mpp 0.5 "
                "on the command line."
            )
        return self.slide_mpp


def _step(xy: NDArray[np.generic]) -> str:
    steps = np.diff(np.unique(np.asarray(xy, np.float64)[:, 0])) if len(xy) else np.empty(0)
    return f"; neighbours in this file are {steps.min():g} px apart" if len(steps) else ""
