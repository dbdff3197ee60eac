"""A person's own viewing as a walk: where the view rested, how closely, and notes. Opt-in, kept locally."""

from __future__ import annotations

import time
from dataclasses import replace

from napari.components import ViewerModel
from napari.layers import Image

from ..chat.walk import Step, Walk
from ..errors import InputError
from ..units import Box, Mpp
from .region import require_visible_box, visible_box
from .state import slide_of

REST_S = 1.0
"""How long a view stands still before it counts."""

_INSPECTED_S = 3.0
_INSPECTED_UM_PX = 1.0  # 10x and closer


class Recorder:
    """Records what is looked at on one slide; :meth:`look` is called again and again while it does.

    A view that rests counts as 'inspect' where it is close (10x and more) or rests for three seconds, else as
    'peek'. Raises InputError for a layer that is no slide.
    """

    def __init__(self, viewer: ViewerModel, layer: Image, so_far: Walk | None = None) -> None:
        slide = slide_of(layer)
        if slide is None:
            raise InputError(f"The layer {layer.name!r} is not a slide.")
        self._viewer, self._layer = viewer, layer
        self._began = time.monotonic()
        self._seen: tuple[Box, float] | None = None  # the view, and since when it stands
        self._counted = False
        self.walk = so_far or Walk(slide.fingerprint, "", "person", ended="it was stopped")

    def look(self, now: float | None = None) -> Step | None:
        """Take in what is on the screen; return the step that this completes, if any. now: monotonic, s."""
        at = time.monotonic() if now is None else now
        box = visible_box(self._viewer, self._layer)
        if box is None:
            self._seen = None
            return None
        if self._seen is None or self._seen[0] != box:
            self._seen, self._counted = (box, at), False
            return None
        rested = at - self._seen[1]
        mpp = self._um_px()
        close = mpp is not None and min(mpp) <= _INSPECTED_UM_PX
        if rested < REST_S or (self._counted and not self._rises(rested, close)):
            return None
        kind = "inspect" if close or rested >= _INSPECTED_S else "peek"
        if self._counted:  # the same view, looked at for longer
            self.walk = self._without_last()
        self._counted = True
        return self._add(Step(kind, box, mpp, seconds=round(at - self._began, 1)))

    def note(self, words: str, now: float | None = None) -> Step:
        """Mark what is on the screen with a note; raises InputError for an empty one, or no slide in view."""
        if not words.strip():
            raise InputError("The note is empty.")
        at = time.monotonic() if now is None else now
        box = require_visible_box(self._viewer, self._layer)
        return self._add(Step("mark", box, self._um_px(), words.strip(), seconds=round(at - self._began, 1)))

    def _rises(self, rested: float, close: bool) -> bool:
        return not close and rested >= _INSPECTED_S and self.walk.steps[-1].kind == "peek"

    def _without_last(self) -> Walk:
        return replace(self.walk, steps=self.walk.steps[:-1])

    def _add(self, step: Step) -> Step:
        self.walk = self.walk.with_step(step)
        return step

    def _um_px(self) -> Mpp | None:
        """Return µm per screen pixel, None where the slide has no scale in µm."""
        slide = slide_of(self._layer)
        if slide is None or slide.mpp is None:
            return None
        um = 1 / float(self._viewer.scene.camera.zoom)
        return um, um
