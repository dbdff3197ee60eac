"""The viewer from the console: what is visible, asking about it, showing what an answer rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.components import ViewerModel

from ..errors import InputError
from ..evidence import Evidence
from ..progress import Progress
from ..slides import Slide
from ..units import Box
from .evidence import show_evidence
from .layers import show_result
from .region import fly_to, require_visible_box, visible_box
from .results import result_for
from .state import active_slide, active_slide_layer, require_slide_layer, result_of

if TYPE_CHECKING:
    from ..chat import Answer
    from ..hierarchy import FeatureHierarchy, Hierarchy


class View:
    """A viewer as this package sees it. Made by :func:`view`."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer

    def __repr__(self) -> str:
        slide = self.slide
        return "View(no slide)" if slide is None else f"View({slide!r}, visible_box={self.visible_box})"

    @property
    def slide(self) -> Slide | None:
        """The slide that is being worked on, None where none is open."""
        return active_slide(self.viewer)

    @property
    def result(self) -> Hierarchy | None:
        """The result of that slide, None where it is not analysed."""
        layer = active_slide_layer(self.viewer)
        return None if layer is None else result_of(layer)

    @property
    def visible_box(self) -> Box | None:
        """What the canvas shows of the slide, (y0, x0, y1, x1) in level-0 px; None where nothing."""
        layer = active_slide_layer(self.viewer)
        return None if layer is None else visible_box(self.viewer, layer)

    def ask(
        self,
        question: str,
        box: Box | None = None,
        answerer: str = "auto",
        history: Sequence[Answer] | None = None,
        check: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Answer:
        """Ask about a box, the visible one where None, and outline the places the answer rests on.

        What is not analysed there is analysed first. Waits for the answer; the Ask dock does not.
        Raises InputError where no slide is in view, and what :func:`napari_hwsi.ask` raises.
        """
        from ..chat import ask

        layer = require_slide_layer(self.viewer)
        box = require_visible_box(self.viewer, layer) if box is None else box
        result = result_for(layer, box, progress)
        answer = ask(result, question, box, answerer, history, check, progress=progress)
        show_result(self.viewer, layer, result)
        self.show(answer)
        return answer

    def show(self, what: Answer | Evidence | Sequence[Evidence] | FeatureHierarchy) -> None:
        """Outline the places of an answer or of evidence, or the patches of opened features.

        A single place is flown to.
        """
        from ..hierarchy import FeatureHierarchy

        layer = require_slide_layer(self.viewer)
        if isinstance(what, FeatureHierarchy):
            show_result(self.viewer, layer, what)
            return
        if isinstance(what, Evidence):
            what = [what]
        places = list(what.evidence) if hasattr(what, "evidence") else list(what)
        if not all(isinstance(place, Evidence) for place in places):
            raise InputError("Only an answer or its evidence can be shown.")
        show_evidence(self.viewer, layer, places, getattr(what, "question", ""))
        if len(places) == 1:
            fly_to(self.viewer, layer, places[0].box)


def view(viewer: ViewerModel) -> View:
    """Return the viewer with slide, result, visible_box, ask and show."""
    return View(viewer)
