"""A batch in this process: what fails fails alone, what is stopped goes on, and it is all put down."""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import napari_hwsi as hwsi
from napari_hwsi.batch import Board, Job, Outcome, Report, Settings, find_jobs, read_cases, run
from napari_hwsi.batch.cases import Case, make_cases, tissue_mm2
from napari_hwsi.batch.page import PER_PAGE, pages
from napari_hwsi.batch.worker import analyse
from napari_hwsi.errors import Cancelled, InputError, MissingDependencyError, StoreError
from napari_hwsi.hierarchy.store import Store

from ..hierarchy.conftest import arrays_of
from .conftest import EDGE, write_small

NAME = "<b>O'Hara</b>, =cmd"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides, two of one patient, and a broken one."""
    folder = tmp_path_factory.mktemp("slides")
    write_small(folder / "a.tif", 1)
    write_small(folder / "b.tif", 3, side=420)
    write_small(folder / "c.tif", 2)
    (folder / "broken.svs").write_bytes(b"not a slide")
    rows = [("a.tif", NAME, "x"), ("b.tif", NAME, "x"), ("broken.svs", NAME, "y"), ("c.tif", "P2", "")]
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("slide", "patient", "label"), *rows])
    return folder


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return run(folder / "list.csv", tmp_path_factory.mktemp("results"), workers=0)


def test_a_slide_that_fails_is_recorded_and_stops_no_other(folder: Path, report: Report) -> None:
    assert [outcome.state for outcome in report.outcomes] == ["done", "done", "failed", "done"]
    assert not report.complete
    broken = report.outcomes[2]
    assert str(folder / "broken.svs") in broken.reason
    assert not broken.thumbnail
    for outcome in (report.outcomes[i] for i in (0, 1, 3)):
        assert outcome.counts["cells"] == len(hwsi.open_result(outcome.store).cells) > 20


def test_results_are_those_of_analyze(folder: Path, report: Report, tmp_path: Path) -> None:
    alone = hwsi.analyze(folder / "a.tif", tmp_path / "a.hwsi.zarr")
    assert arrays_of(Path(report.outcomes[0].store)) == arrays_of(alone.path)


def test_a_case_is_the_mean_of_its_slides_by_tissue(report: Report) -> None:
    case, other = report.cases
    results = [hwsi.open_result(report.outcomes[i].store) for i in (0, 1)]
    areas = [tissue_mm2(result) for result in results]
    assert areas == pytest.approx([((side - 2 * EDGE) * 0.5e-3) ** 2 for side in (512, 420)], rel=0.1)
    wanted = np.average([result.slide_vector for result in results], axis=0, weights=areas)
    np.testing.assert_allclose(case.vector, wanted, rtol=1e-5, atol=1e-7)
    assert (case.patient, case.label, case.slides, case.missing) == (NAME, "x, y", ("a", "b"), ("broken",))
    np.testing.assert_array_equal(other.vector, hwsi.open_result(report.outcomes[3].store).slide_vector)


def test_cases_are_read_back(report: Report, tmp_path: Path) -> None:
    read = read_cases(report.summary.parent)
    assert [case.patient for case in read] == [NAME, "P2"]
    assert read[0].missing == ("broken",)
    for case, again in zip(report.cases, read, strict=True):
        np.testing.assert_array_equal(case.vector, again.vector)
        np.testing.assert_array_equal(case.tissue_mm2, again.tissue_mm2)
    with pytest.raises(StoreError, match=r"cases\.parquet"):
        read_cases(tmp_path)


def test_a_case_of_nothing_but_failures_has_no_vector() -> None:
    assert make_cases([Outcome(Job("/a.svs", "a", patient="P"), "failed", "why")]) == ()
    with pytest.raises(InputError, match="one weight a slide"):
        Case("P", "", ("a", "b"), np.ones(1, np.float32), (), np.zeros(3, np.float32))


def test_json_and_csv_hold_every_slide(folder: Path, report: Report) -> None:
    facts = json.loads(report.summary.with_suffix(".json").read_text())
    assert facts["slides_by_state"] == {"done": 3, "failed": 1, "stopped": 0}
    assert facts["settings"]["profile"] == "pocket"
    assert [case["missing"] for case in facts["cases"]] == [["broken"], []]
    with report.summary.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["slide"] for row in rows] == [
        str(folder / name) for name in ("a.tif", "b.tif", "broken.svs", "c.tif")
    ]
    assert rows[0]["patient"] == NAME
    assert int(rows[0]["cells"]) == facts["slides"][0]["cells"]
    assert rows[2]["cells"] == ""


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_plain_and_escaped(report: Report) -> None:
    page = Reader()
    page.feed(report.summary.read_text())
    assert NAME in page.text  # as words, not as a tag
    assert "b" not in page.tags
    assert "script" not in page.tags
    assert page.tags.count("img") == 3  # the broken one has no picture
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "✓ 3 done, ✗ 1 failed, ■ 0 stopped" in page.text


def test_many_slides_take_several_pages(report: Report) -> None:
    now = datetime.now(UTC)
    made = pages([report.outcomes[0]] * (PER_PAGE + 1), report.cases, (now, now))
    assert list(made) == ["batch.html", "batch-2.html"]
    assert [len(re.findall("<img", text)) for text in made.values()] == [PER_PAGE, 1]
    assert "Cases" in made["batch.html"]
    assert "Cases" not in made["batch-2.html"]


def test_a_second_run_does_nothing_again(folder: Path, tmp_path: Path) -> None:
    first = run(folder / "a.tif", tmp_path, workers=0)
    before = arrays_of(Path(first.outcomes[0].store))
    made: list[int] = []
    run(folder / "a.tif", tmp_path, workers=0, progress=lambda board: made.append(board.rows[0].made))
    assert max(made) == 0
    assert arrays_of(Path(first.outcomes[0].store)) == before


def test_cancelled_keeps_what_is_finished(long_slide: Path, undisturbed: Path, tmp_path: Path) -> None:
    def stop_at_one(board: Board) -> None:
        if board.rows[0].done:
            raise Cancelled("enough")

    slides = [long_slide, tmp_path / "never.svs"]
    with pytest.raises(Cancelled):
        run(slides, tmp_path, workers=0, progress=stop_at_one)
    states = [slide["state"] for slide in json.loads((tmp_path / "batch.json").read_text())["slides"]]
    assert states == ["stopped", "stopped"]
    done = (hwsi.open_result(tmp_path / "long.hwsi.zarr").regions["status"] == "done").sum()
    assert 1 <= done < 3
    seen: list[int] = []

    def watch(board: Board) -> None:
        if board.rows[0].total == 3:
            seen.append(board.rows[0].first)

    run(long_slide, tmp_path, workers=0, progress=watch)
    assert set(seen) == {done}
    assert arrays_of(tmp_path / "long.hwsi.zarr") == arrays_of(undisturbed)


def test_a_slide_waits_for_a_result_that_is_held(folder: Path, tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path))
    (job,) = find_jobs(folder / "a.tif")
    heard: list[str] = []
    with Store(tmp_path / "a.hwsi.zarr").journal.held():
        outcome = analyse(
            job,
            settings,
            lambda report: heard.append(report["what"]),
            lambda: "waiting for the result" in heard,
        )
    assert outcome.state == "stopped"
    assert analyse(job, settings, lambda report: None, lambda: False).state == "done"


def test_another_version_is_refused(folder: Path, tmp_path: Path) -> None:
    (job,) = find_jobs(folder / "a.tif")
    outcome = analyse(job, Settings(str(tmp_path), version="0.0.0"), lambda report: None, lambda: False)
    assert outcome.state == "failed"
    assert "0.0.0" in outcome.reason


def test_the_pixel_size_of_the_table_is_used(tmp_path: Path) -> None:
    write_small(tmp_path / "a.tif", 4, mpp=None)
    assert "mpp" in run(tmp_path / "a.tif", tmp_path / "r", workers=0).outcomes[0].reason
    (tmp_path / "t.csv").write_text("slide,mpp\na.tif,0.5\n")
    report = run(tmp_path / "t.csv", tmp_path / "r", workers=0)
    assert report.complete
    assert hwsi.open_result(report.outcomes[0].store).slide_facts["mpp_source"] == "user"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"profile": "nothing"}, "profile"),
        ({"segmenter": "nothing"}, "segmenter"),
        ({"parts": ["genes"]}, "genes"),
        ({"phrases": ["a phrase it does not know"]}, "phrase"),
        ({"box": (0, 0, 0, 0)}, "empty"),
        ({"device": "cuda:1"}, "GPU of its own"),
        ({"workers": -1}, "workers"),
        ({"workers": 1, "scheduler": "tcp://x:1"}, "not both"),
    ],
)
def test_what_no_slide_could_be_analysed_with_is_refused_first(
    tmp_path: Path, wrong: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        run("a.svs", tmp_path, **{"workers": 0, **wrong})  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def test_a_result_is_no_folder_of_results(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give a folder"):
        run(["a.svs", "b.svs"], tmp_path / "r.hwsi.zarr", workers=0)


def test_without_dask_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"napari-hwsi\[batch\].*--workers 0"):
        run("a.svs", tmp_path)
