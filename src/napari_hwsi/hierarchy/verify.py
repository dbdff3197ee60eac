"""What of a result is damaged, and which regions have to be made anew for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import DamagedError
from ..progress import Progress, tell
from .checksums import arrays_in, damaged_rows
from .plan import PARTS
from .store import FUSED, GROUPS, Store, region_words


@dataclass
class Damage:
    """What is damaged: a phrase each; and of 'patches', 'cells' and 'ccaf' the regions that are lost by it.

    What no region is lost by is worked out anew from the rest.
    """

    found: list[str] = field(default_factory=list)
    lost: dict[str, set[int]] = field(default_factory=lambda: {part: set() for part in (*PARTS, FUSED)})

    def __bool__(self) -> bool:
        return bool(self.found)

    def __str__(self) -> str:
        return "; ".join(self.found)


def find_damage(store: Store | str | Path, progress: Progress | None = None) -> Damage:
    """Read all of a result against its checksums. store: the result, or its folder.

    progress hears of each chunk, and may raise Cancelled.

    Raises StoreError where there is no result, one of another format, or a file does not answer.
    """
    store = store if isinstance(store, Store) else Store(store)
    damage, beat = Damage(), partial(tell, progress, 0, 1, "checking what is there")
    try:
        store.facts()
    except DamagedError:
        damage.found.append("the facts of the result")
    sidecars = {group: _sidecar(store, group, damage) for group in GROUPS}
    _sidecar(store, "log", damage)
    for group, facts in sidecars.items():
        place = store.journal.place(group)
        for name in facts.get("holds", arrays_in(place)):
            rows = damaged_rows(place / name, beat)
            if rows == []:
                continue
            part, lost = store.lost(f"{group}/{name}", rows)
            damage.lost.get(part, set()).update(lost)
            damage.found.append(f"{group}/{name}" + (f" ({region_words(lost)})" if lost else ""))
    return damage


def _sidecar(store: Store, group: str, damage: Damage) -> Mapping[str, Any]:
    if group == "log" and not (store.path / group / "zarr.json").exists():  # no run has ended well
        return {}
    try:
        return store.sidecar(group)
    except DamagedError:
        damage.found.append(f"the facts of {group}" + (", so all of them" if group in damage.lost else ""))
        return {}
