"""Questions, answers and reports as files hold them, and slides as stores do: what is used, what is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from napari_hwsi.errors import InputError
from napari_hwsi.training.config import read_config
from napari_hwsi.training.examples import CAPTION, Example, read_examples, slide_name, together
from napari_hwsi.training.shelf import Shelf
from napari_hwsi.training.splits import check_disjoint, patient_of, split
from napari_hwsi.training.stages import gather, train
from napari_hwsi.training.units import text_units

from .tiny import write_config, write_features


def reasons(found: object) -> list[tuple[str, str]]:
    return [(row.where, row.reason) for row in found.left_out]  # type: ignore[attr-defined]


def test_the_published_files_are_read_whole(data: Path) -> None:
    files = sorted((data / "vqa").glob("*.json"))
    found = read_examples(files)
    assert not found.left_out
    assert len(found.used) == sum(len(json.loads(file.read_text())) for file in files)
    first = read_examples([data / "vqa" / "Prognosis_TF_question_test.json"]).used[0]
    assert first.slide.startswith("TCGA-3H-AB3M-01Z-00-DX1.9CD8A3B1")
    assert patient_of(first) == "TCGA-3H-AB3M"
    assert "<image>" not in first.question
    assert first.answer == "Yes"


def test_rows_that_are_not_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "qa.csv"
    file.write_text(
        "\ufeffslide,question,answer,id,box\n"
        's1.svs,"What, here?",Tumour.,a,\n'
        "s1.svs,What?,,b,\n"
        "s1.svs,Again?,Yes.,a,\n"
        "s1.svs,,Yes.,c,\n"
        "s1.svs,Where?,There.,d,0 0 256\n"
        "s1.svs,Where?\n"
        "s1.svs,Where?,Here.,e,0 0 256 512\n",
        encoding="utf-8",
    )
    found = read_examples([file])
    assert [(e.slide, e.question, e.box) for e in found.used] == [
        ("s1", "What, here?", None),
        ("s1", "Where?", (0, 0, 256, 512)),
    ]
    assert [where for where, _ in reasons(found)] == [f"qa.csv, line {n}" for n in (3, 4, 5, 6, 7)]
    assert found.counts == {
        "used": 2,
        "box not understood": 1,
        "duplicate id": 1,
        "empty answer": 1,
        "empty question": 1,
        "not as many fields as columns": 1,
    }
    assert reasons(found)[1][1] == "duplicate id: a stands at qa.csv, line 2 too"


def test_reports_and_conversations(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("slide,report\na.b-c,Necrosis.\n")
    report = read_examples([tmp_path / "r.csv"]).used[0]
    assert (report.slide, report.question, report.answer) == ("a.b-c", CAPTION, "Necrosis.")
    said = [("human", "<image>\nOne?"), ("gpt", "1"), ("human", "Two?"), ("gpt", "2")]
    entry = {"id": "x", "image": "TCGA/a.b.pt", "conversations": [{"from": f, "value": v} for f, v in said]}
    odd = {"id": "y", "image": "a.pt", "conversations": [{"from": "gpt", "value": "1"}]}
    (tmp_path / "c.json").write_text(json.dumps([entry, odd, {"id": "z"}]))
    found = read_examples([tmp_path / "c.json"])
    assert [(e.question, e.answer, e.history) for e in found.used] == [
        ("One?", "1", ()),
        ("Two?", "2", (("One?", "1"),)),
    ]
    assert [where for where, _ in reasons(found)] == ["c.json, entry 2", "c.json, entry 3"]


def test_files_that_cannot_be_read_say_where(tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes("slide,question,answer\ns,Was?,Gewebe\ns,Was?,Schläfe\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.csv, line 3: byte 0xe4 is not utf-8"):
        read_examples([file])
    assert read_examples([file], "latin-1").used[1].answer == "Schläfe"
    file.write_bytes("slide,question,answer\ns,Was?,Schläfe\n".encode("utf-16"))
    assert read_examples([file]).used[0].answer == "Schläfe"
    file.write_text("slide,answer\n")
    with pytest.raises(InputError, match="has no column question; its columns are answer, slide"):
        read_examples([file])
    (tmp_path / "x.json").write_text('{"id": 1}')
    with pytest.raises(InputError, match="expected a list of conversations"):
        read_examples([tmp_path / "x.json"])


def test_slides_are_the_same_only_by_their_whole_names(tmp_path: Path) -> None:
    assert (
        slide_name("TCGA-LUSC/TCGA-21-1083-01Z-00-DX1.8288ca92-b611.pt")
        == "TCGA-21-1083-01Z-00-DX1.8288ca92-b611"
    )
    assert slide_name("TCGA-21-1083-01Z-00-DX1.8288ca92-b611") == "TCGA-21-1083-01Z-00-DX1.8288ca92-b611"
    assert slide_name("C:\\slides\\a.SVS") == "a"
    assert slide_name("x/a.hwsi.zarr") == "a"
    for name in ("case-1", "case-10", "wide"):
        write_features(tmp_path / "features", name, 0, seed=1)
    (tmp_path / "qa.csv").write_text(
        "slide,question,answer\ncase-1,Q?,A.\ncase,Q?,A.\ncase-1000,Q?,A.\ncase-10,Q?,B.\nwide,Q?,A.\n"
    )
    torch.save(torch.zeros(7), tmp_path / "features" / "wsi" / "wide.pt")
    shelf = Shelf([tmp_path / "features"], mpp=0.5)
    found, widths = shelf.usable(read_examples([tmp_path / "qa.csv"]))
    assert [e.slide for e in found.used] == ["case-1", "case-10"]
    assert widths == {"slide": 6, "region": 6, "patch": 8, "cell": 5}
    assert reasons(found) == [
        ("qa.csv, line 3", "slide without a store: case"),
        ("qa.csv, line 4", "slide without a store: case-1000"),
        ("qa.csv, line 6", "vectors of another width: wide has slide vectors of 7, not 6"),
    ]
    shutil.copytree(tmp_path / "features", tmp_path / "more")
    with pytest.raises(InputError, match=r"The slide case-1 is at .*features and at .*more"):
        Shelf([tmp_path / "features", tmp_path / "more"])
    with pytest.raises(InputError, match="neither results"):
        Shelf([tmp_path])
    with pytest.raises(InputError, match="No example is left: 0 used"):
        shelf.usable(read_examples([tmp_path / "qa.csv"]), {**widths, "patch": 9})


def test_numbers_that_are_none_are_found_before_training(slides: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(slides, tmp_path / "slides")
    file = folder / "features" / "region_4k" / "s4.pt"
    vectors = torch.load(file, weights_only=True)
    vectors[1, 2] = torch.nan
    torch.save(vectors, file)
    (folder / "features" / "coords_region4096_valid" / "s5.h5").write_bytes(b"no HDF5")
    long = "s6,Is it?," + "very " * 300 + "long,p6"
    (folder / "questions.csv").write_text(
        (folder / "questions.csv").read_text() + f"{long}\ns99,Is it?,No.,p\n"
    )
    config = read_config(write_config(folder, "run", schedule__steps=1))
    trained = train("stage2", config, device="cpu")
    told = json.loads((folder / "run" / "data.json").read_text())
    assert told["counts"] == trained.counts
    assert trained.counts["training"] == {
        "used": 8,
        "slide that cannot be read": 2,
        "slide without a store": 1,
    }
    assert trained.counts["longer than the context"] == 1
    assert sum(trained.counts["examples"].values()) == 7
    named = {row["where"]: row["reason"] for row in told["left_out"]}
    assert set(named) == {f"questions.csv, line {n}" for n in (6, 7, 11, 12)}
    assert named["questions.csv, line 6"].startswith("slide that cannot be read: s4: ")
    assert "region scale: Row 1 of the vectors is not all finite" in named["questions.csv, line 6"]
    assert named["questions.csv, line 11"].startswith("longer than the context: ")


def test_no_patient_is_on_both_sides(slides: Path, tmp_path: Path) -> None:
    rows = [Example(f"s{i}", "Q?", "A.", f"line {i}", patient=f"p{i // 3}") for i in range(30)]
    learn, check = split(rows, 0.3, seed=1)
    assert {patient_of(e) for e in learn}.isdisjoint({patient_of(e) for e in check})
    assert len(learn) + len(check) == 30
    assert len(check) >= 3
    more = [*rows, Example("s99", "Q?", "A.", "line 99", patient="p99")]
    kept = {e.where for e in split(more, 0.3, seed=1)[1]} - {"line 99"}
    assert kept == {e.where for e in check}  # a further patient moves no other
    assert split(rows, 0.3, seed=2)[1] != check
    with pytest.raises(InputError, match="All examples are of one patient"):
        split(rows[:3], 0.3)
    with pytest.raises(InputError, match="1 patients are in training and in validation, the first is p1"):
        check_disjoint(rows[3:4], rows[5:6])
    (slides / "held.csv").write_text("slide,question,answer,patient\ns8,Q?,A.,p8\n")
    with pytest.raises(InputError, match="in training and in validation, the first is p8"):
        gather(read_config(write_config(slides, "held", data__validation=["held.csv"])))


def test_units_of_four_scales_are_different_strings() -> None:
    report = (
        "Invasive adenocarcinoma, grade 3 of 3. The tumour grows in nests; tumour cells cover about 40 % of "
        "the tissue. Necrosis. No necrosis is seen in the lymph node of the axilla."
    )
    units = text_units(report)
    assert units.report == report
    assert units.sentences[0] == "Invasive adenocarcinoma, grade 3 of 3"
    assert "invasive adenocarcinoma" in units.phrases
    assert "lymph node of the axilla" not in units.phrases  # an article ends a phrase
    assert {"adenocarcinoma", "nests", "necrosis", "40 %"} <= {*units.words}
    assert "the" not in units.words
    every = [*units.words, *units.phrases, *units.sentences, units.report]
    assert len({text.lower().strip(" .") for text in every}) == len(every)
    assert "Necrosis" not in units.sentences  # it is a word already
    one = text_units("Necrosis.")
    assert (one.words, one.phrases, one.sentences) == (("necrosis",), (), ())


def test_questions_about_one_place_share_a_look() -> None:
    asked = [Example("s", f"q{i}", f"a{i}", f"row {i}", box=(0, 0, 9, 9)) for i in range(5)]
    elsewhere = Example("s", "q", "a", "row 5", box=(0, 0, 9, 8))
    longer = Example("s", "and?", "a", "row 6", history=(("q", "a"),), box=(0, 0, 9, 9))
    found = together([*asked, elsewhere, longer], 3)
    assert [each.box for each in found] == [(0, 0, 9, 9), (0, 0, 9, 9), (0, 0, 9, 8), (0, 0, 9, 9)]
    assert sorted(pair for each in found[:2] for pair in each.pairs) == [(f"q{i}", f"a{i}") for i in range(5)]
    assert max(len(each.pairs) for each in found) == 3
    assert found[-1] == longer
    assert together(asked, 1) == tuple(asked)
