"""Scores beside blind ones, and runs that survive being killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import EndpointError, InputError, StoreError
from napari_hwsi.evaluation.baselines import blind_replies
from napari_hwsi.evaluation.cases import LETTERS, Benchmark, Case, Said
from napari_hwsi.evaluation.questions import question_report
from napari_hwsi.evaluation.run import evaluate
from napari_hwsi.evaluation.scores import right_cases, score_cases

pytest.importorskip("sklearn")


def _choices(count: int, tell: bool, seed: int = 0) -> Benchmark:
    """Questions of two each per patient; where they tell, the right option is the longest, often C."""
    generator = np.random.default_rng(seed)
    cases = []
    for i in range(count):
        options = [f"kind {word}" for word in generator.choice(["tall", "wide", "flat", "thin"], 4, False)]
        right = int(generator.integers(4))
        if tell:
            options[right] += " with clear signs of invasion"
        question = f"What is seen in patient {i // 2}?"
        case = Case(
            f"q{i}", f"S{i}", question, LETTERS[right], "t", "choice", tuple(options), patient=f"P{i // 2}"
        )
        cases.append(case)
    return Benchmark("table", ("q.csv",), tuple(cases), verified=True)


def test_a_benchmark_that_tells_its_answers_is_found_out_and_a_fair_one_is_not() -> None:
    for tell in (True, False):
        benchmark = _choices(160, tell)
        found = {
            name: right_cases(benchmark.cases, said).mean() for name, said in blind_replies(benchmark).items()
        }
        if tell:
            assert found["longest option"] == found["logistic"] == 1
        else:
            assert max(found.values()) < 0.4, found  # four standard errors above a quarter


def test_a_blind_baseline_never_learns_from_the_patient_it_is_asked_about() -> None:
    # Both questions of a patient are alike and have one answer, drawn anew for each patient.
    generator = np.random.default_rng(1)
    cases = []
    for patient in range(80):
        answer = ("yes", "no")[generator.integers(2)]
        for i in range(2):
            question = f"Is the code word{patient} good?"
            cases.append(
                Case(
                    f"{patient}-{i}",
                    f"S{patient}-{i}",
                    question,
                    answer,
                    "t",
                    "yes_no",
                    patient=f"P{patient}",
                )
            )
    benchmark = Benchmark("table", ("q.csv",), tuple(cases))
    replies = blind_replies(benchmark)
    for name in ("nearest question", "logistic"):
        assert 0.3 < right_cases(benchmark.cases, replies[name]).mean() < 0.7, name


def test_wrong_formats_and_missing_answers_are_wrong_and_are_counted() -> None:
    cases = _choices(4, False).cases
    said = {"q0": Said(cases[0].answer), "q1": Said(f"I think {cases[1].answer}."), "q2": Said("")}
    (score,) = score_cases(cases, said, "t", "answerer", repeats=10)
    assert (score.metric, score.interval.score, score.cases, score.wrong_form) == ("accuracy", 0.25, 4, 3)
    numbers = [Case(str(i), "S", f"How many {i}?", "100", "t", "number") for i in range(3)]
    exact, near = score_cases(numbers, {"0": Said("100"), "1": Said("120"), "2": Said("79")}, "t", "a", 10)
    assert (exact.interval.score, near.metric, near.interval.score) == (1 / 3, "within 20%", 2 / 3)
    place = [Case("0", "S", "Where?", "", "t", "place", box=(0, 0, 100, 100), places=((0, 0, 50, 100),))]
    hits, iou = score_cases(place, {"0": Said("", ((0, 0, 40, 40), (90, 90, 99, 99)))}, "t", "a", 10)
    assert (hits.interval.score, iou.interval.score) == (1, 0.32)


def test_pointing_at_random_hits_as_often_as_the_true_places_have_area() -> None:
    cases = tuple(
        Case(str(i), f"S{i}", "Where?", "", "t", "place", box=(0, 0, 1000, 1000), places=((0, 0, 300, 1000),))
        for i in range(400)
    )
    said = blind_replies(Benchmark("table", (), cases))["random"]
    hits, _ = score_cases(cases, said, "t", "random", repeats=10)
    assert hits.interval.score == pytest.approx(0.3, abs=0.07)


def test_an_answerer_that_does_not_look_is_told_so_beside_its_scores(tmp_path: Path) -> None:
    benchmark = _choices(60, True)

    def longest(case: Case, change: str) -> Said:
        return Said(LETTERS[int(np.argmax([len(text) for text in case.options]))])

    training = tmp_path / "train.csv"
    training.write_text("slide\nS3\n")
    found = evaluate(benchmark, tmp_path / "out", longest, "blind", training=[training], repeats=100)
    accuracy = {score.system: score.interval.score for score in found.scores}
    assert accuracy["answerer"] == accuracy["answerer, no image"] == accuracy["blind: longest option"] == 1
    assert {item.change: item.agreement for item in found.dependence} == dict.fromkeys(
        ("nothing", "elsewhere", "shuffled"), 1.0
    )
    text = " ".join(found.warnings)
    assert "not clearly above what longest option reaches" in text
    assert "hardly depend on the image: with no image they are 100% the same" in text
    assert "holds the slides of 1" in text
    page, numbers = question_report(found).write(tmp_path / "out")
    html = page.read_text()
    assert "http" not in html
    assert "<script" not in html
    assert "Research use only" in html
    values = json.loads(numbers.read_text())
    assert values["tables"][0]["rows"][0]["accuracy"]["score"] == 1
    assert values["settings"]["answerer"] == "blind"


_SLOW = """
import sys, time
from pathlib import Path
from napari_hwsi.evaluation.cases import Benchmark, Case, Said
from napari_hwsi.evaluation.run import evaluate
cases = tuple(Case(f"q{i}", f"S{i}", f"Is it {i}?", ("yes", "no")[i % 2], "t", "yes_no") for i in range(30))
log = Path(sys.argv[1]) / "asked"
def answering(case, change):
    with log.open("a") as file: file.write(case.id + "\\n")
    time.sleep(float(sys.argv[2]))
    return Said(("yes", "no")[int(case.id[1:]) % 2])
test = Benchmark("table", (), cases)
out = evaluate(test, sys.argv[1], answering, "slow", changes=("unchanged",), repeats=10)
print(out.calls, out.scores[0].interval.score, round(out.seconds, 1))
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SLOW, str(tmp_path)]
    killed = subprocess.Popen([*command, "0.1"], stdout=subprocess.DEVNULL)
    log = tmp_path / "asked"
    while not log.exists() or len(log.read_text().split()) < 8:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    answers = tmp_path / "answers.jsonl"
    kept = len(answers.read_text().splitlines()) - 1
    assert kept >= 6
    with answers.open("a") as file:  # a line cut short
        file.write('{"case": "q2')
    done = subprocess.run([*command, "0"], capture_output=True, text=True, check=True)
    calls, score, seconds = done.stdout.split()
    assert (calls, score) == ("30", "1.0")
    assert float(seconds) >= 0.1 * kept - 0.1  # what the first run spent is counted
    asked = log.read_text().split()
    assert sorted(set(asked)) == sorted(f"q{i}" for i in range(30))
    assert len(asked) in (30, 31)  # only the question in hand was asked twice


def test_failures_are_named_asked_again_and_a_dead_server_stops_the_run(tmp_path: Path) -> None:
    benchmark = _choices(10, False)

    def one_fails(case: Case, change: str) -> Said:
        if case.id == "q3":
            raise InputError("S3 has neither a result nor features")
        return Said(case.answer)

    first = evaluate(benchmark, tmp_path, one_fails, "a", changes=("unchanged",), repeats=10)
    assert [str(item) for item in first.failed] == [
        "q3, row 4: the image: S3 has neither a result nor features"
    ]
    assert (first.scores[0].interval.score, first.scores[0].wrong_form) == (0.9, 1)
    again = evaluate(
        benchmark, tmp_path, lambda case, _: Said(case.answer), "a", changes=("unchanged",), repeats=10
    )
    assert (again.calls, again.failed, again.scores[0].interval.score) == (10, (), 1)
    with pytest.raises(StoreError, match="another evaluation: answerer differ"):
        evaluate(benchmark, tmp_path, one_fails, "b", changes=("unchanged",), repeats=10)

    asked: list[str] = []

    def dead(case: Case, change: str) -> Said:
        asked.append(case.id)
        raise EndpointError("The server gave no answer.")

    with pytest.raises(EndpointError):
        evaluate(benchmark, tmp_path / "dead", dead, "dead", repeats=10)
    assert len(asked) == 3
