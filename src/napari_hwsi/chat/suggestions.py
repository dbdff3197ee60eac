"""Questions that suit what is on the screen."""

from __future__ import annotations

from ..hierarchy import Hierarchy
from ..units import Box, Mpp, box_size_um

_NEAR_UM, _FAR_UM = (
    300.0,
    2500.0,
)  # the shorter side of a view of single nuclei, and of one of whole structures
MOST = 3


def suggestions(
    mpp: Mpp | None, box: Box | None, result: Hierarchy | None = None, pictures: bool = False
) -> tuple[str, ...]:
    """Return up to three questions about ``box`` (level-0 px; None: the whole slide), the fittest first.

    mpp: of the slide; result: what is known of it, None before it is analysed; pictures: whether the one who
    answers looks at the picture. Nothing is read but the tissue of the result.
    """
    side = None if mpp is None or box is None else min(box_size_um(box, mpp))
    place = "the whole slide" if box is None else "this view"
    asked: list[str] = []
    if result is not None and box is not None and result.tissue.area_in(box) == 0:
        return (f"How much tissue is in {place}?", "Where are nuclei densest in the whole slide?")
    if pictures:
        asked.append(f"What does {place} show, and where?")
        asked.append("Is there anything unusual here, and where?")
    if side is None or side > _FAR_UM:
        asked += [f"Where are nuclei densest in {place}?", f"How much tissue is in {place}?"]
    elif side < _NEAR_UM:
        asked += ["How large are the nuclei in this view?", "How round and how dark are they?"]
    else:
        asked += ["How many nuclei are in this view, and where are they densest?"]
        asked += ["How does this view compare with the whole slide?"]
    if result is not None and len(result.type_names) > 1:
        asked.insert(1, f"Which types of nuclei are in {place}?")
    asked.append(f"Describe {place}")
    return tuple(dict.fromkeys(asked))[:MOST]
