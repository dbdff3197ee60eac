"""Tissue masks that the user changed, kept by a slide's content until he goes back to the automatic one."""

from __future__ import annotations

import io
import logging
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk import write_whole
from ..errors import InputError, StoreError
from ..home import home
from ..progress import Progress, tell
from ..slides import Slide
from .mask import TissueMask, tissue_mask

logger = logging.getLogger(__name__)


def is_edited(slide: Slide) -> bool:
    """Return whether the user changed the tissue of this slide."""
    return _file(slide.fingerprint).exists()


def kept_tissue(fingerprint: str) -> TissueMask | None:
    """Return the mask that the user made for the slide of this fingerprint, None where there is none.

    Raises StoreError where it is damaged.
    """
    file = _file(fingerprint)
    try:
        with np.load(file, allow_pickle=False) as kept:
            y, x = (float(step) for step in kept["downsample"])
            classes = kept["classes"]
        empty = TissueMask(np.zeros(classes.shape, bool), (y, x))
        return replace(empty.edited(classes), origin="edited")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, InputError) as error:
        raise StoreError(
            f"The tissue that was edited for this slide cannot be read from {file}: {error}. "
            "Go back to the automatic tissue, or remove the file."
        ) from error


def tissue_of(slide: Slide, progress: Progress | None = None) -> TissueMask:
    """Return the tissue of a slide: the user's mask where there is one, else that of :func:`tissue_mask`.

    It is what analysis and segmentation stand on where no mask is given. progress hears which it is, and
    may raise Cancelled. Raises SlideError, and StoreError where the kept mask is damaged.
    """
    edited = kept_tissue(slide.fingerprint)
    if edited is None:
        tell(progress, 0, 1, "looking for tissue")
        return tissue_mask(slide)
    tell(progress, 0, 1, "taking the tissue you edited")
    logger.info("%s: the tissue that was edited for it is used, not the automatic one.", slide.name)
    return edited


def keep_tissue(slide: Slide, mask: TissueMask, classes: NDArray[np.integer[Any]]) -> TissueMask:
    """Make a changed class map (y, x) of ``mask`` the one in use for this slide, and return its mask.

    Raises InputError for a map of another shape or with classes that have no name, StoreError
    where it cannot be written.
    """
    edited = replace(mask.edited(classes), origin="edited")
    content = io.BytesIO()
    np.savez_compressed(content, classes=edited.classes, downsample=np.array(edited.downsample))
    file = _file(slide.fingerprint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getvalue())
    except OSError as error:
        raise StoreError(f"The edited tissue cannot be kept in {file}: {error}.") from error
    return edited


def forget_tissue(slide: Slide) -> None:
    """Go back to the automatic mask. Raises StoreError where the edited one cannot be removed."""
    try:
        _file(slide.fingerprint).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"The edited tissue cannot be removed: {error}.") from error


def _file(fingerprint: str) -> Path:
    return home() / "tissue" / f"{fingerprint}.npz"
