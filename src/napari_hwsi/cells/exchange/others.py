"""JSON of other segmenters: CellViT, HoVer-Net, TIAToolbox. There x comes before y."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..cells import Cells
from .gather import Gathered
from .json_stream import JsonStream

_BROKEN = (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError)


def read_cellvit(
    stream: JsonStream, members: Mapping[str, Any], path: Path, mpp: float | Sequence[float] | None
) -> Cells:
    """Return the cells of CellViT's ``cells.json`` or ``cell_detection.json``.

    members: what stood before them. Places are level-0 px. The latter has no outlines: the boxes stand
    for them. Types are named by ``type_map``. Raises InputError.
    """
    gathered = Gathered(path)
    try:
        names = {str(key): str(name) for key, name in (members.get("type_map") or {}).items()}
        for cell in stream.items():
            kind = str(cell.get("type", ""))
            outline = cell.get("contour") or _corners(cell["bbox"])
            gathered.add(outline, names.get(kind, f"type {kind}"), cell.get("type_prob"))
    except _BROKEN as error:
        raise gathered.refuse(error) from error
    return gathered.cells(mpp)


def read_instances(
    instances: Iterator[tuple[str, Any]],
    members: Mapping[str, Any],
    path: Path,
    mpp: float | Sequence[float] | None,
    scale: float | None,
) -> Cells:
    """Return the cells of HoVer-Net's or TIAToolbox's dictionary of instances.

    Places are px of the resolution the slide was processed at; scale: level-0 px per such px. Raises
    InputError, also where no scale is given.
    """
    if scale is None or not scale > 0:
        processed = f" ({members['mag']}x)" if members.get("mag") else ""
        raise InputError(
            f"{path} counts in pixels of the resolution it was processed at{processed}. Give the scale, "
            "level-0 pixels per such pixel: 1 where it was the slide's own, 2 for a 40x slide at 20x."
        )
    gathered = Gathered(path)
    try:
        for _, cell in instances:
            kind, sure = cell.get("type"), cell.get("type_prob", cell.get("prob"))
            name = kind if isinstance(kind, str) else "nucleus" if kind is None else f"type {kind}"
            gathered.add(cell["contour"], name, sure)
    except _BROKEN as error:
        raise gathered.refuse(error) from error
    return gathered.cells(mpp, float(scale))


def _corners(box: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return the corners (x, y) of a box ((row, column), (row, column))."""
    (top, left), (bottom, right) = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
