"""One slide of a batch, wherever it is worked on; nothing in here knows of dask."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from ..errors import Cancelled, HwsiError, InputError, SlideError, StoreBusyError
from ..hierarchy import Hierarchy, analyze, default_store
from ..progress import Step
from ..slides import Slide, open_slide
from .job import Job, Outcome, Settings, State

PATIENCE_S = 60.0
"""How long a slide waits for a result that another process holds, such as one that is just dying."""

_THUMBNAIL_PX = 160
_EVERY_S = 1.0


def analyse(
    job: Job,
    settings: Settings,
    tell: Callable[[Mapping[str, Any]], None],
    stopping: Callable[[], bool],
) -> Outcome:
    """Analyse one slide into its result, or go on with it; what goes wrong with it is in the outcome.

    tell: hears how far it is, at each region and about once a second: ``attempt`` (a name for this
    start), ``place``, ``done``, ``total``, ``what``. stopping: asked often; once it says so, what is
    finished is kept and the outcome is 'stopped'.
    """
    began, worker = time.monotonic(), f"{socket.gethostname()}:{os.getpid()}"
    told = _Teller(tell, {"attempt": uuid4().hex, "place": worker})

    def progress(step: Step) -> None:
        if stopping():
            raise Cancelled("The batch is being stopped.")
        told(step)

    state: State = "done"
    reason, store, counted, picture = "", "", dict[str, int](), b""
    try:
        if settings.version != version("napari-hwsi"):
            raise InputError(
                f"The worker {worker} has napari-hwsi {version('napari-hwsi')}, and the batch was planned by "
                f"{settings.version}. Install the same version everywhere."
            )
        progress(Step(0, 1, "opening the slide"))
        with open_slide(job.slide, mpp=job.mpp, icc=settings.icc) as slide:
            with suppress(SlideError):  # a damaged tile is no reason not to analyse the others
                picture = _thumbnail(slide)
            store = str(_store_of(slide, job, settings))
            counted = counts(_analyse_when_free(slide, store, settings, progress))
    except Cancelled:
        state = "stopped"
    except HwsiError as error:
        state, reason = "failed", str(error)
    seconds = time.monotonic() - began
    return Outcome(job, state, reason, store, counted, seconds, worker=worker, thumbnail=picture)


def counts(result: Hierarchy) -> dict[str, int]:
    """Return how much a result holds."""
    regions = result.regions
    return {
        "regions": len(regions),
        "regions_analysed": int((regions["status"] == "done").sum()),
        "patches_with_tissue": int(result.patches[["valid", "set_aside"]].any(axis=1).sum()),
        "kept_patches": len(result.selected_patches),
        "cells": len(result.cell_column("types")),
    }


def _store_of(slide: Slide, job: Job, settings: Settings) -> Path:
    if settings.store is None:
        return default_store(slide)
    return Path(settings.store) / f"{job.name}.hwsi.zarr"


def _analyse_when_free(
    slide: Slide, store: str, settings: Settings, progress: Callable[[Step], None]
) -> Hierarchy:
    """Analyse; where the result is being written by another process, wait for a while."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return analyze(
                slide,
                store,
                profile=settings.profile,
                segmenter=settings.segmenter,
                phrases=settings.phrases,
                parts=settings.parts,
                box=settings.box,
                device=settings.device,
                progress=progress,
                normalise=settings.normalise,
                survivors=settings.survivors,
                regions=settings.regions,
            )
        except StoreBusyError:
            if time.monotonic() > deadline:
                raise
            progress(Step(0, 1, "waiting for the result"))
            time.sleep(0.5)


def _thumbnail(slide: Slide) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(slide.thumbnail(_THUMBNAIL_PX)).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


class _Teller:
    """Passes on the steps that say something new."""

    def __init__(self, tell: Callable[[Mapping[str, Any]], None], facts: Mapping[str, str]) -> None:
        self._tell, self._facts = tell, facts
        self._last: Step | None = None
        self._at = 0.0

    def __call__(self, step: Step) -> None:
        now = time.monotonic()
        if step == self._last and now - self._at < _EVERY_S:
            return
        self._last, self._at = step, now
        self._tell({**self._facts, "done": step.done, "total": step.total, "what": step.what})
