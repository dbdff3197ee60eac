"""The documentation builds strictly, names every dock, and what it shows runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not beside the tests")


def test_it_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {
        page.parent.name: page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("*.html")
    }
    assert "pocket" in pages["cards"]
    assert "segment_cells" in pages["api"]
    outside = re.compile(r'(?:src|href)="https?://(?![^"]*(?:napari\.org|jupyter\.org|squidfunk|mkdocs))')
    for name, page in pages.items():
        for tag in re.findall(r"<(?:script|link|img)\b[^>]*>", page):
            assert not outside.search(tag), f"{name} loads from elsewhere: {tag}"


def test_every_dock_has_its_page_and_its_picture() -> None:
    manifest = yaml.safe_load((resources.files("napari_hwsi") / "napari.yaml").read_text())
    docks = {widget["display_name"] for widget in manifest["contributions"]["widgets"]}
    script = (ROOT / "scripts" / "dock_pictures.py").read_text(encoding="utf-8")
    taken = dict(re.findall(r'"([^"]+)": "([a-z]+)"', script))
    assert taken.keys() == docks
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "docks").glob("*.md"))
    for title, name in taken.items():
        assert (DOCS / "docks" / f"{name}.png").is_file()
        assert f"({name}.png)" in pages, f"no page shows the dock {title}"


def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = json.loads((DOCS / "notebooks" / "first_hour.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "nuclei in this view" in done.stdout


def test_the_segmenter_of_the_page_segments() -> None:
    from napari_hwsi import segment_cells, slide_from_array

    page = (DOCS / "adding" / "segmenter.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {"__name__": "page"}
    sys.modules["page"] = type(sys)("page")
    exec(code, names)  # our own page
    image = np.full((400, 400, 3), (235, 180, 215), np.uint8)
    for y, x in ((100, 100), (200, 260), (300, 120)):
        image[y - 8 : y + 8, x - 8 : x + 8] = (90, 60, 120)
    cells = segment_cells(slide_from_array(image, mpp=0.5), segmenter=names["Dark"]())  # type: ignore[operator]
    assert len(cells) == 3
