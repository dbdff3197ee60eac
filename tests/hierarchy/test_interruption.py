"""A run that is killed at any moment loses at most the region in hand, and ends with the same bytes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import napari_hwsi as hwsi
from napari_hwsi.errors import Cancelled
from napari_hwsi.progress import Step

from .conftest import arrays_of, python_environment

ONE_AFTER_ANOTHER = """
import os, pathlib, signal, sys
import napari_hwsi as hwsi
import napari_hwsi.hierarchy.analysis as analysis
slide, store, *moments = sys.argv[1:]
analysis._FIRST_PUBLISHED = 2
replace = pathlib.Path.replace

def run(moment):
    # Dies before the given one of all renames that finish something, in a process of its own.
    child = os.fork()
    if not child:
        left = [moment]
        def watched(source, target):
            left[0] -= source.suffix != ".partial"
            if not left[0]:
                print(source.relative_to(store), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(source, target)
        pathlib.Path.replace = watched
        hwsi.analyze(slide, store)
        print("finished", flush=True)
        os._exit(0)
    os.waitpid(child, 0)

for moment in map(int, moments):
    run(moment)
    if os.path.exists(store + "/zarr.json"):
        hwsi.open_result(store).cells
"""


def start(script: str, *arguments: object, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=python_environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_again_and_again_before_a_write(
    slide_file: Path, whole: Path, tmp_path: Path, home: Path
) -> None:
    path = tmp_path / "killed.hwsi.zarr"
    moments = [2, 4, 3, 6, 5, 8, 5, 10, 9, 10_000]
    process = start(ONE_AFTER_ANOTHER, slide_file, path, *moments, home=home)
    output, _ = process.communicate(timeout=120)
    deaths = output.splitlines()
    assert len(deaths) == len(moments), output
    assert deaths[-1] == "finished"
    # Before a region, before a draft is declared valid, and while its groups are put in place.
    assert any(".npz." in death and death.endswith(".tmp") for death in deaths)
    assert any(death.startswith(".work/.ready.") for death in deaths)
    assert any(death.startswith(".work/new/") for death in deaths)
    assert {"patches", "cells", "regions"} & {*deaths}
    assert arrays_of(path) == arrays_of(whole)


def test_killed_at_random_moments(slide_file: Path, whole: Path, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "killed.hwsi.zarr"
    script = (
        "import sys, napari_hwsi as hwsi\n"
        "tell = lambda step: step.what == 'regions' and print(step.done, flush=True)\n"
        "hwsi.analyze(*sys.argv[1:], progress=tell)"
    )
    rng, seen = random.Random(), []
    for _ in range(3):
        process = start(script, slide_file, path, home=home)
        assert process.stdout is not None
        seen.append(int(process.stdout.readline() or 4))
        time.sleep(rng.uniform(0, 0.6))
        process.kill()
        process.communicate()
    assert seen == sorted(seen), "finished regions were lost"
    result = hwsi.analyze(slide_file, path)
    assert arrays_of(path) == arrays_of(whole)
    assert result.covers((0, 0, *result.slide.shape))


def test_cancelled_keeps_what_is_finished_and_is_not_done_again(
    slide_file: Path, whole: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cancelled.hwsi.zarr"

    def stop_at_two(step: Step) -> None:
        if step.done == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        hwsi.analyze(slide_file, path, progress=stop_at_two)
    half = hwsi.open_result(path)
    assert half.regions["status"].tolist() == ["done", "done", "pending", "pending"]
    assert len(half.cells) == half.regions["n_cells"].sum() > 50
    steps: list[Step] = []
    hwsi.analyze(slide_file, path, progress=steps.append)
    regions = [step for step in steps if step.what == "regions"]
    assert regions[0] == Step(2, 4, "regions")
    assert {step.done for step in regions} == {2, 3, 4}
    assert arrays_of(path) == arrays_of(whole)
    assert not (path / ".work").exists()
