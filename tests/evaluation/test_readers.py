"""Published test files become cases; what does not is named with its row."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.evaluation.contamination import contamination
from napari_hwsi.evaluation.readers import READERS, read_benchmark, split_options


def test_wsi_bench_as_published(data: Path) -> None:
    files = sorted((data / "vqa").glob("*_test.json"))
    benchmark = read_benchmark(files, "wsi-bench")
    kinds = Counter(case.kind for case in benchmark.cases)
    assert kinds == {"text": 2837, "choice": 1287, "yes_no": 48}
    (bad,) = benchmark.left_out
    assert str(bad) == (
        "Morphology_choice_test.json, row 579: the answer 'B \"' is none of the letters A to D"
    )
    assert benchmark.verified
    assert benchmark.patients_known
    assert len(set(benchmark.groups)) == 1004
    staging = next(case for case in benchmark.cases if case.task == "Staging_choice")
    assert staging.options == ("T1a N0 M0", "T1b N0 M0", "T1c N0 M0", "Tis N0 M0")
    assert (staging.answer, staging.patient) == ("B", "TCGA-E8-A44M")


def test_options_are_split_only_where_letters_follow_one_another() -> None:
    assert split_options("Which? A) one B) two, type A) 3") == ("Which? A) one B) two, type A) 3", ())
    assert split_options("Which? A) T1 N0  B) T2") == ("Which?", ("T1 N0", "T2"))
    assert split_options("Is it a grade A tumour?") == ("Is it a grade A tumour?", ())


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_each_other_format_reads_what_is_published_of_it(tmp_path: Path) -> None:
    slide = "TCGA-3C-AALI-01Z-00-DX1"
    slidebench = _write(
        tmp_path / "s.csv",
        "ID,Slide,Tumor,Broad Category,Narrow Category,Question,A,B,C,D,Answer\n"
        f"1,{slide},BRCA,Diagnosis,Grading,Which grade?,I,II,III,,B\n"
        f"2,{slide},BRCA,Diagnosis,Grading,Which other?,I,II,,,D\n",
    )
    read = read_benchmark([slidebench], "slidebench")
    assert [(case.task, case.options, case.answer) for case in read.cases] == [
        ("Grading", ("I", "II", "III"), "B")
    ]
    assert read.left_out[0].row == 3
    assert "none of the letters A to B" in read.left_out[0].reason
    assert not read.verified

    vqa = [
        {"Id": "TCGA-LD-A74U", "Question": "what size?", "Choice": ["50mm", "70mm"], "Answer": "70mm"},
        {"Id": "TCGA-LD-A74U", "Question": "please predict her2?", "Answer": "2+"},
        {"Id": "TCGA-LD-A74U", "Question": "what size?", "Choice": ["50mm", "70mm"], "Answer": "50mm"},
    ]
    read = read_benchmark([_write(tmp_path / "v.json", json.dumps(vqa))], "wsi-vqa")
    assert [(case.kind, case.answer) for case in read.cases] == [("choice", "B"), ("text", "2+")]
    assert read.left_out[0].reason == "the question was there before, with another answer"

    paths = _write(
        tmp_path / "m.csv",
        "benchmark_name,benchmark_id,image_path,answer,options,prompt,is_valid\n"
        "gtex,g1,GTEX-OIZH-0626.tiff,Liver,\"['Heart', 'Liver']\",Which organ?,True\n"
        "tcga_expert_vqa,e1,a/TCGA-02-0001-01Z.svs,2,\"['yes, all', 'none']\",Is it?,True\n"
        "panda,p1,abc.tiff,4,,Which ISUP grade?,True\n"
        "panda,p2,abd.tiff,4,,Which ISUP grade?,False\n",
    )
    read = read_benchmark([paths], "multipathqa")
    assert [(case.patient, case.kind, case.answer) for case in read.cases] == [
        ("GTEX-OIZH", "choice", "B"),
        ("TCGA-02-0001", "choice", "B"),
        (None, "number", "4"),
    ]
    assert not read.patients_known
    assert read.left_out[0].row == 5

    reports = {"train": [{"id": slide, "report": "Not this."}], "test": [{"id": slide, "report": "Benign."}]}
    read = read_benchmark([_write(tmp_path / "h.json", json.dumps(reports))], "histgen")
    assert [(case.slide, case.answer, case.kind) for case in read.cases] == [(slide, "Benign.", "text")]

    tcga = _write(tmp_path / "t.csv", 'patient_filename,text\nTCGA-BP-5195.25c0b433,"Kidney, left"\n')
    (case,) = read_benchmark([tcga], "tcga-reports").cases
    assert (case.slide, case.answer) == ("TCGA-BP-5195", "Kidney, left")
    assert [name for name, reader in READERS.items() if reader.verified] == ["wsi-bench", "table"]


def test_a_table_names_each_bad_row(tmp_path: Path) -> None:
    rows = (
        "id\tslide\tquestion\tanswer\toptions\tbox\tplaces",
        "1\ta.svs\tHow many nuclei?\t1,204",
        "2\ta.svs\tWhere is tumour?\t\t\t0 0 100 100\t10 10 20 20; 30 30 40 40",
        "3\ta.svs\tIs there tumour?",
        "4\t\tIs there tumour?\tyes",
        "5\tb.svs\tWhere?\t\t\t1 2 3\t1 1 2 2",
        "1\tc.svs\tWhat?\tnothing",
        "6\tc.svs\tWhich?\tmild\tmild | severe",
    )
    table = _write(tmp_path / "q.csv", "\n".join(rows))
    read = read_benchmark([table], "table")
    assert [(case.id, case.kind, case.answer) for case in read.cases] == [
        ("q/1", "number", "1204"),
        ("q/2", "place", ""),
        ("q/6", "choice", "A"),
    ]
    assert [(item.row, item.reason) for item in read.left_out] == [
        (4, "the answer is empty"),
        (5, "no slide is named"),
        (6, "a box is four numbers: y0 x0 y1 x1"),
        (7, "the id 'q/1' was there before, with another question"),
    ]


def test_files_that_cannot_be_read_say_where(tmp_path: Path) -> None:
    latin = tmp_path / "latin.csv"
    latin.write_bytes("slide,question,answer\na,Was ist das?,nichts\nb,Größe?,groß\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.csv, line 3, is not in UTF-8"):
        read_benchmark([latin], "table")
    with pytest.raises(InputError, match="is not JSON: line 2"):
        read_benchmark([_write(tmp_path / "x.json", "[\n{,}]")], "wsi-bench")
    with pytest.raises(InputError, match="no column 'question'"):
        read_benchmark([_write(tmp_path / "x.csv", "slide,answer\na,b\n")], "table")
    with pytest.raises(InputError, match="There are: wsi-bench"):
        read_benchmark([latin], "mmmu")


def test_training_files_that_hold_the_test_are_found_and_lookalikes_are_not(tmp_path: Path) -> None:
    test = "slide,patient,question,answer,options\nS1,P1,Which grade?,low,low|high\nS2,P2,Why?,so,\n"
    cases = read_benchmark([_write(tmp_path / "q.csv", test)], "table").cases
    talk = {"image": "x/S1.pt", "conversations": [{"value": "<image>\nWhich  grade? A) low B) high"}]}
    seen = contamination(cases, _write(tmp_path / "train.json", json.dumps([talk])))
    assert (seen.same_question, seen.slide, seen.patient, seen.wording) == (1, 1, 0, 1)
    assert seen.examples == ("q/2",)
    other = [{"image": "S10.pt", "question": "Which grade?", "options": ["low", "high"]}, {"slide": "S21"}]
    seen = contamination(cases, _write(tmp_path / "other.json", json.dumps(other)))
    assert seen.clean
    assert seen.wording == 1
    patient = contamination(cases, _write(tmp_path / "p.csv", "slide,patient\nS9,P2\n"))
    assert (patient.slide, patient.patient, patient.clean) == (0, 1, False)
