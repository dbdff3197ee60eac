"""From finished regions to the columns of the result.

Publishing is a pure function of the finished regions, the settings and the software: in
whatever order, in however many runs and with whatever interruptions regions were finished,
the columns come out with the same bytes. Memory is that of one region and a chunk a column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..encoders import unit
from ..tissue import PER_SIDE
from .cell_arrays import TABLE, cells_from_arrays
from .checksums import crc_of, put
from .columns import Columns
from .files import digest
from .filter import filtered
from .first_step import Tally
from .fusion import Fusion, fusion
from .plan import PARTS, Plan, grid_facts
from .regions import PATCH_ARRAYS, pooled
from .seams import Seams
from .store import ADAPTIVE_VECTORS, DONE, FUSED, NO_TISSUE, PENDING, REGION_VECTOR, Store
from .verify import Damage

PER_REGION = PER_SIDE**2


@dataclass(frozen=True)
class Finished:
    """Finished regions of one part under one key; waiting: those that are not yet in the columns."""

    key: str
    regions: tuple[int, ...]
    waiting: frozenset[int]


def finished(store: Store, plan: Plan, part: str, lost: Iterable[int] = ()) -> Finished:
    """Return which regions of a part are finished under the plan's settings, in the columns or waiting.

    lost: those that are damaged in the columns.
    """
    key = plan.keys[part]
    waiting = store.journal.regions(part, key) if part in plan.parts else []
    published = store.standing(part)
    standing = {*published["regions"]}.difference(lost) if published and published["key"] == key else ()
    return Finished(key, tuple(sorted({*standing, *waiting})), frozenset(waiting))


def publish(
    store: Store,
    plan: Plan,
    unreadable: Mapping[int, Exception] | None = None,
    damage: Damage | None = None,
) -> None:
    """Bring the columns up to date with what is finished. Raises StoreError where they cannot be written.

    unreadable: regions that were given up, and why. damage: what is damaged in the columns; all of them are
    written anew then, without the regions that are lost.
    A part made under other settings is dropped then; but as long as nothing is finished under
    the new ones, the result is left as it is.
    """
    lost: Mapping[str, set[int]] = damage.lost if damage else {}
    parts = {part: finished(store, plan, part, lost.get(part, ())) for part in PARTS}
    contents = {
        "patches": digest(
            [parts["patches"].key, parts["patches"].regions, plan.phrases, plan.settings["patches"]]
        ),
        "cells": digest([parts["cells"].key, parts["cells"].regions, plan.settings["cells"]]),
    }
    reasons = _reasons(store, plan, parts, unreadable or {})
    done = (parts["patches"].regions, parts["cells"].regions)
    fused = fusion(store, plan, *done, lost=lost.get(FUSED, ()))
    contents["ccaf"] = digest(fused.done)
    classes = hashlib.sha256(plan.tissue.classes.tobytes()).hexdigest()
    contents["all"] = digest([contents, plan.slide, plan.facts, reasons, classes])
    if damage:
        store = Store(store.path, checked=False)
    elif store.exists() and not fused.waiting and not any(state.waiting for state in parts.values()):
        stale = any(store.sidecar(part)["key"] != state.key for part, state in parts.items())
        if stale or store.sidecar("regions")["content"] == contents["all"]:
            return
    with store.journal.replacing() as folder:
        _Draft(store, plan, parts, contents, reasons, fused, folder).write(anew=bool(damage))
    store.journal.clear((*plan.parts, FUSED))


def _reasons(
    store: Store, plan: Plan, parts: Mapping[str, Finished], unreadable: Mapping[int, Exception]
) -> dict[str, str]:
    """Return why regions were left out, by region; what an earlier run gave up stays so until it is done."""
    before = store.standing("regions")
    left_out: dict[str, str] = before["left_out"] if before and before["base"] == plan.base else {}
    left_out = left_out | {str(region): str(error) for region, error in unreadable.items()}
    done = set.intersection(*({*state.regions} for state in parts.values()))
    kept = {region: reason for region, reason in left_out.items() if int(region) not in done}
    return kept | {str(region): "no tissue" for region in np.flatnonzero(plan.fractions == 0)}


class _Draft:
    """New columns in a folder of their own."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        parts: Mapping[str, Finished],
        contents: Mapping[str, str],
        reasons: Mapping[str, str],
        fused: Fusion,
        folder: Path,
    ) -> None:
        self._store, self._plan, self._parts = store, plan, parts
        self._contents, self._reasons, self._fused = contents, reasons, fused
        self._root = zarr.create_group(str(folder), attributes=plan.facts)
        regions = len(plan.grid)
        self._vectors = np.zeros((regions, plan.region_width), np.float32)
        self._for_slide: list[NDArray[np.float32]] = []  # vectors of regions, and where these lie
        self._where: list[NDArray[np.float64]] = []  # (row, column) of the grid
        self._boxes: list[NDArray[np.int64]] = []
        self._n_redundant = np.full(regions, -1, np.int32)
        self._counts = np.full((regions, PER_REGION), -1, np.int32)
        self._n_cells = np.full(regions, -1, np.int32)

    def write(self, anew: bool = False) -> None:
        """Write the columns; those of cells only where they differ, unless all are wanted anew."""
        self._write_patches()
        old = None if anew or not self._store.exists() else self._store.sidecar("cells")
        if old is None or old["content"] != self._contents["cells"]:
            self._write_cells()
        else:
            self._counts = self._store.read("cells/patch_counts")
            self._n_cells = self._store.read("regions/n_cells")
            self._offsets = self._store.read("cells/offsets")
        self._write_fused()
        self._write_regions()
        self._write_slide()

    @property
    def _patch_arrays(self) -> tuple[str, ...]:
        """Columns of patches that a region's arrays hold as they are."""
        return PATCH_ARRAYS if self._plan.places is None else (*PATCH_ARRAYS, "attention")

    def _group(self, name: str, part: str, **facts: Any) -> zarr.Group:
        state = self._parts[part]
        return self._root.create_group(
            name,
            attributes={
                "content": self._contents[part],
                "key": state.key,
                "base": self._plan.base,
                "regions": list(state.regions),
                "settings": dict(self._plan.settings[part]),
                **facts,
            },
        )

    def _write_patches(self) -> None:
        plan, words = self._plan, unit(self._plan.encoder.encode_text(self._plan.phrases))
        width, count = plan.encoder.width, len(words)
        summed = [*self._patch_arrays, ADAPTIVE_VECTORS]
        if plan.regions is not None or plan.places is not None:
            summed.append(REGION_VECTOR)
        group = self._group("patches", "patches", phrases=list(plan.phrases), columns=summed)
        sums = np.zeros((len(plan.grid), len(summed)), np.uint32)
        columns = Columns(
            group,
            {
                "region": ("int32", ()),
                "patch": ("int16", ()),
                "boxes": ("int64", (4,)),
                "tissue_fraction": ("float32", ()),
                "on_slide": ("float32", ()),
                "readable": ("bool", ()),
                "valid": ("bool", ()),
                "set_aside": ("bool", ()),
                "encoded": ("bool", ()),
                "adaptive": ("int16", ()),
                "selected": ("bool", ()),
                "rank": ("int16", ()),
                "relevance": ("float32", ()),
                "redundancy": ("float32", ()),
                "redundant": ("bool", ()),
                "scores": ("float32", (count,)),
                "vectors": ("float32", (width,)),
                **({} if plan.places is None else {"attention": ("float32", ())}),
            },
        )
        attention = self._root.create_group("attention").create_group("filter")
        scored = {"scores": ("float32", ()), "boxes": ("int64", (4,))}
        by_patch = Columns(attention.create_group("patch"), dict(scored))
        by_region = Columns(attention.create_group("region"), dict(scored))
        grown = Columns(
            self._root.create_group("adaptive"),
            {
                "region": ("int32", ()),
                "number": ("int16", ()),
                "boxes": ("int64", (4,)),
                "n_patches": ("int32", ()),
                "vectors": ("float32", (plan.region_width,)),
            },
        )
        tally = Tally()
        for region in self._parts["patches"].regions:
            patches = self._patches_of(region)
            valid, vectors = patches["valid"], patches["vectors"]
            whole, own = patches.pop("region_vector", None), patches.pop("adaptive_vectors")
            members = patches["adaptive"] == np.arange(len(own))[:, None] if plan.adaptive else valid[None]
            chosen = filtered(vectors, valid, words, members)
            tissue = valid | patches["set_aside"]
            tally.add(tissue, patches["encoded"])
            if region in plan.audited:
                full = filtered(vectors, tissue, words, members if plan.adaptive else tissue[None])
                tally.audit(region, full["selected"], chosen["selected"])
            places = (
                [bounds(patches["boxes"][member]) for member in members]
                if plan.adaptive
                else [plan.grid.region_box(region)]
            )
            grown.append(
                region=np.full(len(own), region),
                number=np.arange(len(own)),
                boxes=np.array(places[: len(own)]).reshape(-1, 4),
                n_patches=members[: len(own)].sum(1),
                vectors=own,
            )
            crc = columns.append(region=np.full(PER_REGION, region), **patches, **chosen)
            crc[ADAPTIVE_VECTORS] = crc_of(own)
            if whole is not None:
                crc[REGION_VECTOR] = crc_of(whole)
            sums[region] = [crc[name] for name in summed]
            by_patch.append(scores=chosen["relevance"][valid], boxes=patches["boxes"][valid])
            kept = [chosen["relevance"][chosen["selected"] & member] for member in members]
            by_region.append(
                scores=np.array([each.mean() if count and len(each) else np.nan for each in kept]),
                boxes=np.array(places).reshape(-1, 4),
            )
            self._n_redundant[region] = chosen["redundant"].sum()
            if valid.any():
                self._vectors[region] = pooled(vectors, valid) if whole is None else whole[0]
                self._for_slide += [self._vectors[region]] if not plan.adaptive else [*own]
                corner, side = np.array(divmod(region, plan.grid.shape[1])), (PER_SIDE, PER_SIDE)
                middles = [np.argwhere(member.reshape(side)).mean(0) / PER_SIDE for member in members]
                self._where += [corner + middle for middle in middles] if plan.adaptive else [corner]
                self._boxes += [np.array(box) for box in places]
        for each in (columns, by_patch, by_region, grown):
            each.close()
        put(group, "sums", sums)
        group.attrs["two_steps"] = None if plan.first_step is None else tally.facts()

    def _write_cells(self) -> None:
        measurements, width = self._measured()
        layout: dict[str, tuple[str, tuple[int, ...]]] = {
            "centroids": ("float32", (2,)),
            "types": ("uint8", ()),
            "probabilities": ("float32", ()),
            "vertices": ("float32", (2,)),
            "vertex_offsets": ("int64", ()),
            **{f"{TABLE}{name}": ("float32", ()) for name in measurements},
            **({"tokens": ("float32", (width,))} if width else {}),
        }
        facts = {"measurements": measurements, "token_width": width, "columns": list(layout)}
        group = self._group("cells", "cells", **facts)
        columns = Columns(group, layout | {"double": ("bool", ())})
        sums = np.zeros((len(self._plan.grid), len(layout)), np.uint32)
        columns.append(vertex_offsets=np.zeros(1))
        rows, vertices = np.zeros(len(self._plan.grid), np.int64), 0
        names = self._plan.settings["cells"]["type_names"]
        mpp = (self._plan.slide["mpp"][0], self._plan.slide["mpp"][1])
        seams = Seams(self._plan.grid, mpp)
        for region in self._parts["cells"].regions:
            cells = self._cells_of(region)
            if not width:
                cells.pop("tokens", None)
            seams.add(
                region, cells_from_arrays({k: v for k, v in cells.items() if k != "tokens"}, names, mpp)
            )
            rows[region] = len(cells["centroids"])
            crc = columns.append(vertex_offsets=cells.pop("vertex_offsets")[1:] + vertices, **cells)
            sums[region] = [crc.get(name, 0) for name in layout]
            vertices += len(cells["vertices"])
        double, self._counts = seams.resolve()
        done = self._counts[:, 0] >= 0
        self._n_cells[done] = self._counts[done].sum(1)
        columns.append(double=double)
        columns.close()
        self._offsets = np.concatenate([[0], rows.cumsum()])
        put(group, "offsets", self._offsets)
        put(group, "patch_counts", self._counts)
        put(group, "sums", sums)

    def _measured(self) -> tuple[list[str], int]:
        """Return what is measured of each cell, and the width of its vector."""
        names: list[str] = []
        for region in self._parts["cells"].regions:
            cells = self._cells_of(region)
            names = [name.removeprefix(TABLE) for name in cells if name.startswith(TABLE)]
            if len(cells["centroids"]):  # where there are none, nothing tells how wide their vectors are
                return names, cells["tokens"].shape[1] if "tokens" in cells else 0
        return names, 0

    def _write_fused(self) -> None:
        fused, fuser = self._fused, self._plan.fuser
        facts = None if fuser is None else {"name": fuser.name, "version": fuser.version}
        group = self._root.create_group(
            FUSED, attributes={"content": self._contents["ccaf"], "fuser": facts, "keys": fused.done}
        )
        width = 0 if fuser is None else fuser.width
        by_patch = Columns(
            group,
            {
                "region": ("int32", ()),
                "patch": ("int16", ()),
                "n_cells": ("int32", ()),
                "tokens": ("float32", (width,)),
            },
        )
        attention = self._root.create_group("attention/ccaf/cell")
        by_cell = Columns(
            attention, {"scores": ("float32", ()), "boxes": ("int64", (4,)), "rows": ("int64", ())}
        )
        rows = np.zeros((2, len(self._plan.grid)), np.int64)
        for region in map(int, fused.done):
            arrays = fused.read(self._store, region)
            local = arrays.pop("cells")
            patches = {name: arrays[name] for name in ("patch", "n_cells", "tokens")}
            by_patch.append(region=np.full(len(arrays["patch"]), region), **patches)
            by_cell.append(scores=arrays["scores"], boxes=arrays["boxes"], rows=local + self._offsets[region])
            rows[:, region] = len(arrays["patch"]), len(local)
        by_patch.close()
        by_cell.close()
        for name, counts in zip(("patch_offsets", "cell_offsets"), rows, strict=True):
            put(group, name, np.concatenate([[0], counts.cumsum()]))

    def _patches_of(self, region: int) -> dict[str, NDArray[Any]]:
        state = self._parts["patches"]
        if region in state.waiting:
            return self._store.journal.read("patches", state.key, region)
        at = self._store.sidecar("patches")["regions"].index(region) * PER_REGION
        rows = slice(at, at + PER_REGION)
        arrays = {name: self._store.read(f"patches/{name}", rows) for name in self._patch_arrays}
        if self._plan.regions is not None or self._plan.places is not None:
            arrays["region_vector"] = self._store.read("regions/vectors", slice(region, region + 1))
        first, last = np.searchsorted(self._store.read("adaptive/region"), [region, region + 1])
        arrays["adaptive_vectors"] = self._store.read("adaptive/vectors", slice(int(first), int(last)))
        return arrays

    def _cells_of(self, region: int) -> dict[str, NDArray[Any]]:
        state = self._parts["cells"]
        if region in state.waiting:
            return self._store.journal.read("cells", state.key, region)
        return self._store.cells_of(self._store.cell_rows(region, region + 1), tokens=True)

    def _write_regions(self) -> None:
        plan = self._plan
        boxes = np.array([plan.grid.region_box(i) for i in range(len(plan.grid))], np.int64)
        empty = plan.fractions == 0
        status = {}
        for part in PARTS:
            status[part] = np.where(empty, NO_TISSUE, PENDING).astype(np.uint8)
            status[part][list(self._parts[part].regions)] = DONE
        group = self._root.create_group(
            "regions",
            attributes={
                "content": self._contents["all"],
                "base": plan.base,
                "grid": grid_facts(plan.grid),
                "left_out": dict(sorted(self._reasons.items(), key=lambda item: int(item[0]))),
            },
        )
        arrays: dict[str, NDArray[Any]] = {
            "boxes": boxes,
            "tissue_fraction": plan.fractions,
            "on_slide": np.array([plan.grid.on_slide(i).mean() for i in range(len(boxes))], np.float32),
            **status,
            "n_cells": self._n_cells,
            "n_redundant": self._n_redundant,
            "vectors": self._vectors,
        }
        for name, data in arrays.items():
            put(group, name, data)

    def _write_slide(self) -> None:
        tissue = self._plan.tissue
        vectors = np.array(self._for_slide, np.float32).reshape(-1, self._vectors.shape[1])
        vector = pooled(vectors, np.ones(len(vectors), bool))
        if self._plan.places is not None:
            vector = np.zeros(self._plan.slide_width)
            shares = np.zeros(0, np.float32)
            if len(vectors):
                placed = self._plan.places.slide(vectors, np.array(self._where))
                vector, shares = placed.vector, placed.shares
            attention = self._root.create_group("attention/pocket/region")
            put(attention, "scores", shares)
            put(attention, "boxes", np.array(self._boxes, np.int64).reshape(-1, 4))
        group = self._root.create_group("slide", attributes={**self._plan.slide})
        put(group, "vector", vector.astype(np.float32))
        mask = put(group, "tissue_mask", tissue.mask, packed=True)
        mask.attrs["downsample"] = list(tissue.downsample)
        put(group, "artefacts", tissue.artefacts, packed=True)


def bounds(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the box round some boxes (N, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
