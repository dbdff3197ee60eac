"""What docs/store.md shows: a result read by plain zarr, and a run done again from its sidecars alone."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import napari_hwsi as hwsi
from napari_hwsi.hierarchy.store import FORMAT_VERSION

from ..conftest import ROOT
from .conftest import arrays_of

DOCUMENT = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")


def test_what_it_shows_runs(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, "slide.hwsi.zarr")
    reading, repeating = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    read: dict[str, Any] = {}
    exec(reading, read)
    cells = hwsi.open_result(whole).cells
    assert np.array_equal(read["area"], cells.table["area_um2"])
    assert all(
        np.array_equal(mine, theirs) for mine, theirs in zip(read["outlines"], cells.contours, strict=True)
    )
    assert len(read["kept"]) == len(hwsi.open_result(whole).selected_patches)
    assert read["skipped"] == {}
    exec(repeating, {})
    assert arrays_of(tmp_path / "again.hwsi.zarr") == arrays_of(whole)


def test_it_lists_all_arrays(whole: Path) -> None:
    root = zarr.open_group(str(whole), mode="r")
    arrays = {
        name
        for group, each in root.groups()
        for array in each.attrs.get("holds", ())
        for name in [f"{group}/{array}"]
    }
    rows = re.findall(r"^\| (`.*?) \|", DOCUMENT, re.MULTILINE)
    listed = set()
    for row in rows:
        first, *more = re.findall(r"`(.*?)`", row)
        listed |= {first, *(name if "/" in name else f"{first.rpartition('/')[0]}/{name}" for name in more)}
    unlisted = {a for a in arrays if a not in listed and f"{a.rpartition('/')[0]}/…" not in listed}
    assert not unlisted
    assert f"Format version {FORMAT_VERSION}." in DOCUMENT
