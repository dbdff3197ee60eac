"""A batch on dask workers: one is killed, one has a GPU, one batch is stopped from the keyboard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import pytest

import napari_hwsi as hwsi
from napari_hwsi.batch import Board, run
from napari_hwsi.errors import InputError

from ..hierarchy.conftest import arrays_of, python_environment
from .conftest import write_small

distributed = pytest.importorskip("distributed", reason="needs dask.distributed: pip install -e '.[batch]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler of the user's own: one worker without a GPU, and one that says it has one."""
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster

    here = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    options = here | {"nthreads": 1, "memory_limit": 0}
    workers = {
        "plain": {"cls": Nanny, "options": options},
        "gpu": {"cls": Nanny, "options": options | {"resources": {"GPU": 1}}},
    }
    scheduler = {"cls": Scheduler, "options": here}
    with SpecCluster(workers=workers, scheduler=scheduler) as cluster:
        yield cluster


def test_a_killed_worker_costs_at_most_one_region(
    long_slide: Path, undisturbed: Path, tmp_path: Path
) -> None:
    killed: list[int] = []
    done: list[int] = []

    def kill_in_the_second_region(board: Board) -> None:
        row = board.rows[0]
        done.append(row.done)
        if row.done == 1 and not killed:
            killed.append(int(row.worker.rpartition(":")[2]))
            os.kill(killed[0], signal.SIGKILL)

    small = write_small(tmp_path / "small.tif")
    report = run([long_slide, small], tmp_path, workers=2, progress=kill_in_the_second_region)
    assert killed, done
    assert report.complete
    outcome = report.outcomes[0]
    assert outcome.starts == 2
    assert outcome.worker != f"{outcome.worker.partition(':')[0]}:{killed[0]}"
    assert done == sorted(done), "finished regions were lost"
    assert arrays_of(Path(outcome.store)) == arrays_of(undisturbed)


def test_on_a_cluster_of_the_users_own(cluster: Any, tmp_path: Path) -> None:
    slides = [write_small(tmp_path / f"{i}.tif", i + 1) for i in range(2)]
    (tmp_path / "broken.svs").touch()
    report = run([*slides, tmp_path / "broken.svs"], tmp_path / "r", scheduler=cluster.scheduler_address)
    assert [outcome.state for outcome in report.outcomes] == ["done", "done", "failed"]
    assert "is empty" in report.outcomes[2].reason
    alone = hwsi.analyze(slides[0], tmp_path / "alone.hwsi.zarr")
    assert arrays_of(Path(report.outcomes[0].store)) == arrays_of(alone.path)


def test_only_workers_with_a_gpu_take_what_needs_one(cluster: Any, tmp_path: Path) -> None:
    slides = [write_small(tmp_path / f"{i}.tif", i + 1) for i in range(2)]
    file = tmp_path / "scheduler.json"
    with distributed.Client(cluster, set_as_default=False) as client:
        file.write_text(json.dumps({"address": cluster.scheduler_address}))
        pids = client.run(os.getpid)
        (on_gpu,) = [
            pids[address]
            for address, worker in client.scheduler_info()["workers"].items()
            if worker["resources"]
        ]
    report = run(slides, tmp_path / "r", scheduler=str(file), device="cuda", parts=["patches"])
    assert {outcome.worker.rpartition(":")[2] for outcome in report.outcomes} == {str(on_gpu)}


def test_no_scheduler_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_hwsi.batch.crew._CONNECT_S", 0.5)
    for nowhere in ("tcp://127.0.0.1:9", str(tmp_path / "no.json")):
        with pytest.raises(InputError, match="No dask scheduler answers"):
            run("a.svs", tmp_path, scheduler=nowhere)


def test_stopped_from_the_keyboard_and_started_again(
    long_slide: Path, undisturbed: Path, tmp_path: Path, home: Path
) -> None:
    small, store = write_small(tmp_path / "small.tif"), tmp_path / "r"
    command = [sys.executable, "-m", "napari_hwsi.cli", "analyze", str(small), str(long_slide)]
    command += ["--store", str(store), "--workers", "1"]
    process = subprocess.Popen(
        command,
        env=python_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, errors = process.communicate(timeout=60)
    assert "small: done" in first
    assert process.returncode == 130
    assert errors.splitlines() == ["napari-hwsi: stopped; what was finished in a store is kept."]
    states = [slide["state"] for slide in json.loads((store / "batch.json").read_text())["slides"]]
    assert states == ["done", "stopped"]
    again = run([small, long_slide], store, workers=0)
    assert again.complete
    assert arrays_of(store / "long.hwsi.zarr") == arrays_of(undisturbed)


def test_a_slide_that_kills_its_workers_fails_and_the_others_are_done(
    long_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_hwsi.batch.crew._DEATHS", 2)
    good = write_small(tmp_path / "good.tif")
    seen: set[str] = set()

    def kill_whoever_begins_the_long_one(board: Board) -> None:
        row = board.rows[0]
        if row.state == "running" and row.worker not in seen:
            seen.add(row.worker)
            os.kill(int(row.worker.rpartition(":")[2]), signal.SIGKILL)

    slides = [long_slide, good]
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        report = run(slides, tmp_path / "r", workers=1, progress=kill_whoever_begins_the_long_one)
    assert [outcome.state for outcome in report.outcomes] == ["failed", "done"]
    assert "died 2 times" in report.outcomes[0].reason
