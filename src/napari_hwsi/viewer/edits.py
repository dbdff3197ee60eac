"""Tissue masks that the user changed, kept by a slide's content until he goes back to the automatic one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk import write_whole
from ..errors import InputError, StoreError
from ..home import home
from ..slides import Slide
from ..tissue import TissueMask, tissue_mask


def is_edited(slide: Slide) -> bool:
    """Return whether the user changed the tissue of this slide."""
    return _file(slide).exists()


def edited_tissue(slide: Slide) -> TissueMask | None:
    """Return the mask that the user made of this slide's, None where he made none.

    It is what analysis and segmentation of the slide are to use. Raises StoreError where it is damaged.
    """
    file = _file(slide)
    try:
        with np.load(file, allow_pickle=False) as kept:
            y, x = (float(step) for step in kept["downsample"])
            classes = kept["classes"]
        return TissueMask(np.zeros(classes.shape, bool), (y, x)).edited(classes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, InputError) as error:
        raise StoreError(
            f"The edited tissue of {slide.name} cannot be read from {file}: {error}. "
            "Go back to the automatic tissue, or put the file right."
        ) from error


def tissue_in_use(slide: Slide) -> TissueMask:
    """Return the user's mask where there is one, else the automatic one, which reads the slide."""
    edited = edited_tissue(slide)
    return tissue_mask(slide) if edited is None else edited


def keep_tissue(slide: Slide, mask: TissueMask, classes: NDArray[np.integer[Any]]) -> TissueMask:
    """Make a changed class map (y, x) of ``mask`` the one in use for this slide, and return its mask.

    Raises InputError for a map of another shape or with classes that have no name, StoreError
    where it cannot be written.
    """
    edited = mask.edited(classes)
    content = io.BytesIO()
    np.savez_compressed(content, classes=edited.classes, downsample=np.array(edited.downsample))
    file = _file(slide)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except OSError as error:
        raise StoreError(f"The edited tissue cannot be kept in {file}: {error}.") from error
    return edited


def forget_tissue(slide: Slide) -> None:
    """Go back to the automatic mask. Raises StoreError where the edited one cannot be removed."""
    try:
        _file(slide).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"The edited tissue cannot be removed: {error}.") from error


def _file(slide: Slide) -> Path:
    return home() / "tissue" / f"{slide.fingerprint}.npz"
