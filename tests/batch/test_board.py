"""Rates and the time left, by a clock of the test's own."""

from __future__ import annotations

import pytest

from napari_hwsi.batch import Board, Job, Outcome


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def report(done: int, total: int, attempt: str = "a", what: str = "regions") -> dict[str, object]:
    return {"attempt": attempt, "place": "host:1", "done": done, "total": total, "what": what}


def board_of(count: int) -> tuple[Board, Clock]:
    clock = Clock()
    return Board([Job(f"/s{i}.svs", f"s{i}") for i in range(count)], clock), clock


def test_rates_count_what_this_run_has_made() -> None:
    board, clock = board_of(2)
    board.heard(0, report(0, 1, what="looking for tissue"))
    assert board.rate is None
    assert board.seconds_left is None
    board.heard(0, report(6, 10))  # six were there
    clock.now = 20
    board.heard(0, report(8, 10))
    assert board.rate == pytest.approx(0.1)
    assert board.regions == (8, 20, False)
    assert board.seconds_left == pytest.approx(120)


def test_slides_that_were_finished_before_do_not_shorten_the_estimate() -> None:
    board, clock = board_of(3)
    board.heard(0, report(1, 1))
    board.ended(0, Outcome(board.rows[0].job, "done"))
    board.heard(1, report(0, 10))
    clock.now = 10
    board.heard(1, report(5, 10))
    assert board.regions == (6, 21, False)
    assert board.seconds_left == pytest.approx(30)


def test_what_failed_is_not_waited_for() -> None:
    board, clock = board_of(2)
    for index in (0, 1):
        board.heard(index, report(0, 10))
    clock.now = 10
    board.heard(0, report(5, 10))
    board.heard(1, report(5, 10))
    board.ended(1, Outcome(board.rows[1].job, "failed", "broken"))
    assert board.seconds_left == pytest.approx(5)
    assert board.count("running") == 1


def test_a_second_start_is_seen_and_late_words_are_not() -> None:
    board, _ = board_of(1)
    board.heard(0, report(0, 4))
    board.heard(0, report(2, 4, attempt="b"))
    assert board.rows[0].starts == 2
    assert "start 2" in board.lines()[-1]
    board.ended(0, Outcome(board.rows[0].job, "done"))
    board.heard(0, report(3, 4))
    assert board.rows[0].state == "done"


def test_the_table_fits_and_puts_what_is_at_work_first() -> None:
    board, _ = board_of(50)
    board.dashboard = "http://127.0.0.1:8787/status"
    board.ended(3, Outcome(board.rows[3].job, "failed", "not a slide " * 20))
    board.heard(40, report(1, 4))
    lines = board.lines(width=80, height=12)
    assert len(lines) == 12
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("50 slides: 1 failed, 1 running, 48 waiting")
    assert board.dashboard in lines[1]
    assert lines[3].startswith("s40")
    assert "not a slide" in lines[4]
