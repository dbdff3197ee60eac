"""Any answerer that has a name, as the one whose answers are evaluated."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from zlib import crc32

from ..chat import Answer, Asked, answerer, ask
from ..chat.citations import without_citations
from ..errors import InputError
from ..evidence import Change
from ..hierarchy import Hierarchy, open_result
from ..rows import patient_of
from ..training.slide_bags import find_features, matching
from ..units import Box
from .cases import Case, Said
from .run import CHANGES

_STORE = ".hwsi.zarr"
_OPEN = 4


class NamedAnswering:
    """Asks an answerer by its name about the results in a folder.

    name: as :func:`~napari_hwsi.chat.ask` takes it; results: folder of results named like their slides;
    plain: the question alone, without the sentence that says which form the answer must have; changes: what
    can be done to the image before this answerer looks at it. Raises InputError for an unknown name or a
    folder without results.
    """

    def __init__(self, name: str, results: str | Path, plain: bool = False) -> None:
        self.name = name
        self.plain = plain
        self._by = answerer(name)
        self._found = {
            slide: path for slide, path in find_features(results).items() if path.name.endswith(_STORE)
        }
        if not self._found:
            raise InputError(f"{results} holds no results (.hwsi.zarr). Make them with napari-hwsi analyze.")
        self._open: OrderedDict[Path, Hierarchy] = OrderedDict()
        possible = {"unchanged", "elsewhere"} | set(self._by.changes)
        self.changes = tuple(change for change in CHANGES if change in possible)

    def __call__(self, case: Case, change: str) -> Said:
        """Ask; raises InputError where the slide has no result, or there is no other patient's."""
        path = matching(case.slide, self._found)
        question = case.question if self.plain else case.prompt
        if change == "elsewhere":
            path = _other(case, path, self._found)
            result = self._result(path)
            answer = ask(result, question, _same_place(case.box, result), self.name)
        elif change == "unchanged":
            answer = ask(self._result(path), question, case.box, self.name)
        else:
            asked = Asked(self._result(path), question, case.box)
            *_, last = self._by.answer(
                replace(asked, change=Change("nothing" if change == "nothing" else "shuffled"))
            )
            assert isinstance(last, Answer)  # an answerer ends with it
            answer = last
        # The whole of what was looked at is evidence, but points at nothing.
        places = tuple(item.box for item in answer.evidence if item.box != answer.box)
        return Said(without_citations(answer.text).strip(), places)

    def close(self) -> None:
        """Close the slides of the results that were asked about."""
        for result in self._open.values():
            result.close()
        self._open.clear()

    def _result(self, path: Path) -> Hierarchy:
        if path not in self._open:
            self._open[path] = open_result(path)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(path)
        return self._open[path]


def _other(case: Case, own: Path, found: Mapping[str, Path]) -> Path:
    """Return the result of another patient, the same one for a case in every run."""
    patient = case.patient or patient_of(case.slide)
    others = [
        slide
        for slide, path in sorted(found.items())
        if path != own and (not patient or patient_of(slide) != patient)
    ]
    if not others:
        raise InputError(f"there is no result of another patient than that of {case.slide}")
    return found[others[crc32(case.id.encode()) % len(others)]]


def _same_place(box: Box | None, result: Hierarchy) -> Box | None:
    """Return a box of the same size in another slide: at its place, moved in where the slide is smaller."""
    if box is None:
        return None
    height, width = result.slide_facts["shape"]
    y = max(0, min(box[0], height - (box[2] - box[0])))
    x = max(0, min(box[1], width - (box[3] - box[1])))
    return y, x, min(height, y + box[2] - box[0]), min(width, x + box[3] - box[1])
