"""A run that is killed at any moment loses at most the region in hand, and ends with the same bytes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_hwsi as hwsi
from napari_hwsi.errors import Cancelled
from napari_hwsi.progress import Step

from .conftest import arrays_of, python_environment, tissue

KILLER = """
import os, pathlib, random, signal, sys, threading, time
import napari_hwsi as hwsi
import napari_hwsi.hierarchy.analysis as analysis
from napari_hwsi.hierarchy import PROFILES
PROFILES["pocket"].patch_encoder("cpu")  # what it imports is there for all that are forked
slide, place, seed = sys.argv[1:]
analysis._FIRST_PUBLISHED = 1
rng, replace, wanted = random.Random(int(seed)), pathlib.Path.replace, 20

def kind(source):
    # What a rename finishes: a region, the sign that a draft is valid, a group put in place, something else.
    return "region" if ".npz" in source.name else "ready" if ".ready" in source.name else (
        "group" if source.parent.name == "new" else "else")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def run(store, watch, after=None):
    # In a process of its own, from an interpreter that is warm. Returns whether it was killed.
    child = os.fork()
    if not child:
        def watched(source, target):
            if source.suffix != ".partial":
                watch(kind(source))
            return replace(source, target)
        pathlib.Path.replace = watched
        if after is not None:
            timer = threading.Timer(after, die)
            timer.daemon = True
            timer.start()
        hwsi.analyze(slide, store)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

start, events = time.perf_counter(), os.path.join(place, "events")
with open(events, "a", buffering=1) as file:
    assert not run(os.path.join(place, "undisturbed"), lambda kind: file.write(kind + chr(10)))
length = time.perf_counter() - start
events = open(events).read().split()

def moment(death):
    # Before a random one of the renames of a kind, or at a random fraction of the length.
    if death % 2:
        after = rng.random() * length
        return lambda kind: None, after, f"after {after / length:.2f} of the length"
    of = ("region", "ready", "group", "else")[death // 2 % 4]
    left = which = rng.randint(1, events.count(of))
    def watch(kind):
        nonlocal left
        left -= kind == of
        if not left:
            die()
    return watch, None, f"before {of} {which} of {events.count(of)}"

deaths = stores = 0
while True:
    store = os.path.join(place, f"killed{stores}")
    stores += 1
    for _ in range(5):
        watch, after, words = moment(deaths)
        if deaths == wanted or not run(store, watch, after):
            break
        deaths += 1
        print(words, flush=True)
        if os.path.exists(os.path.join(store, "zarr.json")):
            hwsi.open_result(store).cells
    assert not run(store, lambda kind: None)
    if deaths == wanted:
        break
"""


def write_strip(path: Path) -> Path:
    """Write three regions that are quick to analyse: high, narrow, with tissue across the two seams."""
    image = np.full((2 * 4096 + 500, 160, 3), 245, np.uint8)
    for i in (1, 2):
        image[i * 4096 - 70 : i * 4096 + 70, 10:150] = tissue(i, 140)
    description = f"Aperio test\r\n160x{len(image)}|AppMag = 20|MPP = 0.5"
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate", "metadata": None}
    tifffile.imwrite(path, image, description=description, **options)
    return path


def test_killed_at_twenty_random_moments(tmp_path: Path, home: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(write_strip(tmp_path / "strip.tif")), str(tmp_path), str(seed)],
        env=python_environment(home),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    said = f"seed {seed}\n{done.stdout}"
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 20), said
    whole = arrays_of(tmp_path / "undisturbed")
    assert len(hwsi.open_result(tmp_path / "undisturbed").cells) > 10
    stores = sorted(tmp_path.glob("killed*"))
    assert len(stores) >= 4
    for store in stores:
        assert arrays_of(store) == whole, f"{store.name}, {said}"


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
