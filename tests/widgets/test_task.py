"""Work in threads: progress, cancel, errors."""

from __future__ import annotations

import threading
import time

import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.progress import Step
from napari_hwsi.widgets.task import TaskRow, time_left


@pytest.fixture
def row(qtbot) -> TaskRow:
    row = TaskRow()
    qtbot.addWidget(row)
    row.show()
    return row


def test_result_and_pieces_arrive_on_the_qt_thread(row: TaskRow, qtbot) -> None:
    got: list[object] = []

    def work(progress, piece):
        progress(Step(1, 2, "tiles"))
        piece("half")
        return threading.current_thread()

    def done(value: object) -> None:
        got.extend([value, threading.current_thread()])

    row.run("Working…", work, done, got.append)
    assert row.busy
    assert row.cancel_button.isVisible()
    qtbot.waitUntil(lambda: len(got) == 3, timeout=5000)
    assert got[0] == "half"
    assert got[1] is not threading.main_thread()
    assert got[2] is threading.main_thread()
    assert not row.busy
    assert not row.bar.isVisible()


def test_progress_shows_an_estimate(row: TaskRow, qtbot) -> None:
    go_on = threading.Event()

    def work(progress, piece):
        progress(Step(0, 4, "tiles"))
        time.sleep(0.2)
        progress(Step(2, 4, "tiles"))
        go_on.wait(5)

    row.run("Working…", work, lambda value: None)
    qtbot.waitUntil(lambda: "Tiles: 2 of 4 · about 1 s left" in row.words.text(), timeout=5000)
    assert (row.bar.value(), row.bar.maximum()) == (2, 4)
    go_on.set()
    qtbot.waitUntil(lambda: not row.busy, timeout=5000)
    assert time_left(200) == "about 3 min left"
    assert time_left(9000) == "about 2.5 h left"


def test_cancel_is_felt_at_once_and_late_results_are_dropped(row: TaskRow, qtbot) -> None:
    got, stopped = [], threading.Event()

    def stubborn(progress, piece):
        time.sleep(0.6)
        try:
            progress(Step(1, 2, "tiles"))
        finally:
            stopped.set()
        return "late"

    row.run("Working…", stubborn, got.append)
    qtbot.wait(50)
    row.cancel_button.click()
    assert not row.busy
    assert row.words.text().startswith("Stopped")
    # New work waits for the old to let go of its files, then runs.
    row.run("Again…", lambda progress, piece: stopped.is_set(), got.append)
    qtbot.waitUntil(lambda: not row.busy, timeout=5000)
    assert got == [True]


def test_errors_are_words(row: TaskRow, qtbot, caplog: pytest.LogCaptureFixture) -> None:
    def refuses(progress, piece):
        raise InputError("The box is empty: draw one.")

    def breaks(progress, piece):
        return {}["missing"]

    failures = []
    row.run("…", refuses, lambda value: None, failed=failures.append)
    qtbot.waitUntil(lambda: not row.busy, timeout=5000)
    assert row.words.text() == "The box is empty: draw one."
    row.run("…", breaks, lambda value: None, failed=failures.append)
    qtbot.waitUntil(lambda: not row.busy, timeout=5000)
    assert "KeyError" in row.words.text()
    assert "Traceback" in caplog.text
    assert [type(error) for error in failures] == [InputError, KeyError]


def test_a_row_that_goes_takes_its_work_along(qtbot) -> None:
    row, told = TaskRow(), threading.Event()

    def work(progress, piece):
        try:
            while True:
                progress(Step(0, 2, "tiles"))
                time.sleep(0.01)
        finally:
            told.set()

    row.run("…", work, lambda value: None)
    qtbot.wait(50)
    row.deleteLater()
    del row
    qtbot.waitUntil(told.is_set, timeout=5000)
