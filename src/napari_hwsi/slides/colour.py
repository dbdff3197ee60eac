"""Colour profiles: from a scanner's own colours to sRGB."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from ..errors import SlideError
from .backend import RGB

DAMAGED = "damaged profile"


class ToSRGB:
    """Converts pixels to sRGB by the profile that their file carries. Any thread may call it.

    Relative colorimetric with black point compensation (ICC.1:2022, ISO 18619): colours that both
    sides have stay as they are, and white glass stays white. Perceptual tables, which scanners'
    profiles mostly lack, would move every colour. A pixel's new colour depends on nothing but its
    old one, so it is the same in every window.
    """

    def __init__(self, profile: bytes | None, name: str) -> None:
        """Take a profile and the name of its slide.

        Raises SlideError where there is none, or one that is damaged or not of RGB.
        """
        if profile is None:
            raise SlideError(f"{name} carries no colour profile to convert its colours by. Leave icc out.")
        self._profile, self._name = profile, name
        self._own = threading.local()
        self._transform()

    def __call__(self, pixels: RGB) -> RGB:
        """Return (h, w, 3) uint8 in sRGB; the argument is left as it is."""
        image = Image.fromarray(np.ascontiguousarray(pixels))
        return np.array(ImageCms.applyTransform(image, self._transform()))

    def _transform(self) -> Any:
        """Return this thread's own transform: the library keeps the last colour in it."""
        if not hasattr(self._own, "transform"):
            try:
                self._own.transform = ImageCms.buildTransform(
                    ImageCms.ImageCmsProfile(io.BytesIO(self._profile)),
                    ImageCms.createProfile("sRGB"),
                    "RGB",
                    "RGB",
                    ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
            except (ImageCms.PyCMSError, OSError, ValueError) as error:
                raise SlideError(
                    f"The colour profile of {self._name} is damaged, or not one of RGB ({error}). "
                    "Leave icc out."
                ) from error
        return self._own.transform


def profile_name(profile: bytes | None) -> str | None:
    """Return how a colour profile describes itself, None where there is none."""
    if profile is None:
        return None
    try:
        described = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return DAMAGED
    return described.strip() or "unnamed profile"
