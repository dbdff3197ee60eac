"""The command line as a user runs it: in a process of its own, on a real slide."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from .conftest import write_piece

BOX = ["374", "130", "874", "730"]  # of the piece


def run(*arguments: str | Path | float, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_hwsi.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ.copy())
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def store(piece: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of real tissue inside BOX, analysed by the command itself."""
    path = tmp_path_factory.mktemp("store") / "piece.hwsi.zarr"
    facts = json.loads(run("analyze", piece, "--store", path, "--box", *BOX, "--json").stdout)
    assert facts["cells"] > 100
    assert facts["kept_patches"] == 12  # all that lie on the piece
    return path


def test_info_states_what_the_file_says(cmu: Path) -> None:
    facts = json.loads(run("info", cmu, "--json").stdout)
    assert facts["mpp"] == [0.499, 0.499]
    assert facts["shape_px"] == [2967, 2220]
    assert facts["picture"] == "h&e"
    assert "0.499" in run("info", cmu).stdout


@pytest.mark.parametrize("name", ["broken.svs", "small_dicom_TCGA-XK-AAJU.dcm", "nowhere.svs"])
def test_a_bad_slide_is_one_sentence_and_a_failure(data: Path, name: str) -> None:
    done = run("info", data / "wsi" / name, status=1)
    assert done.stdout == ""
    assert done.stderr.startswith("napari-hwsi: ")
    assert done.stderr.count("\n") == 1


def test_cells_of_a_box_as_parquet_and_geojson(piece: Path, tmp_path: Path) -> None:
    facts = json.loads(run("cells", piece, "-o", tmp_path / "c.parquet", "--box", *BOX, "--json").stdout)
    assert pq.read_metadata(tmp_path / "c.parquet").num_rows == facts["cells"] > 100
    box_mm2 = 500 * 600 * 0.499**2 / 1e6
    assert 0 < facts["tissue_mm2"] <= box_mm2 + 1e-4
    assert facts["cells_per_mm2_of_tissue"] == pytest.approx(facts["cells"] / facts["tissue_mm2"], rel=0.01)
    run("cells", piece, "-o", tmp_path / "c.geojson", "--box", *BOX)
    assert len(json.loads((tmp_path / "c.geojson").read_text())["features"]) == facts["cells"]


def test_cells_into_an_unknown_format(piece: Path, tmp_path: Path) -> None:
    assert (
        ".geojson.gz, .parquet, .csv or .zarr"
        in run("cells", piece, "-o", tmp_path / "c.docx", status=1).stderr
    )


def test_cells_look_at_their_output_first(piece: Path, tmp_path: Path) -> None:
    output = tmp_path / "nowhere" / "c.parquet"
    done = run("cells", piece, "-o", output, "--store", tmp_path / "tiles", status=1)
    assert str(output) in done.stderr
    assert not (tmp_path / "tiles").exists()  # not even begun


def test_cells_go_on_from_their_store(piece: Path, tmp_path: Path) -> None:
    tiles, output = tmp_path / "tiles", tmp_path / "c.parquet"
    first = run("cells", piece, "-o", output, "--store", tiles, "--box", *BOX, "--device", "cpu", "--json")
    kept = {path: path.stat().st_mtime_ns for path in tiles.glob("*.parquet")}
    again = run("cells", piece, "-o", output, "--store", tiles, "--box", *BOX, "--json")
    assert first.stdout == again.stdout
    assert kept
    assert kept == {path: path.stat().st_mtime_ns for path in tiles.glob("*.parquet")}


def test_info_by_a_chosen_backend(cmu: Path) -> None:
    assert json.loads(run("info", cmu, "--backend", "tifffile", "--json").stdout)["backend"] == "tifffile"
    assert "openslide" in run("info", cmu, "--backend", "guess", status=1).stderr


def test_analyze_one_part(piece: Path, tmp_path: Path) -> None:
    store = tmp_path / "r.hwsi.zarr"
    facts = json.loads(
        run("analyze", piece, "--store", store, "--box", *BOX, "--parts", "cells", "--json").stdout
    )
    assert facts["cells"] > 100
    assert facts["kept_patches"] == 0
    assert "patches, cells" in run("analyze", piece, "--store", store, "--parts", "genes", status=1).stderr


def test_ask_answers_with_places_inside_the_view(store: Path) -> None:
    question = "How many nuclei are in this view, and where are they densest?"
    answer = json.loads(run("ask", store, question, "--box", *BOX, "--json").stdout)
    y0, x0, y1, x1 = map(int, BOX)
    assert answer["answerer"] == "measured"
    assert answer["evidence"]
    for place in answer["evidence"]:
        top, left, bottom, right = place["box"]
        assert y0 <= top < bottom <= y1
        assert x0 <= left < right <= x1
    printed = run("ask", store, question, "--box", *BOX, "--check", "--occlude", "patch").stdout
    assert "Dependence on the image: " in printed
    assert "(occlusion): without it the answer differs by" in printed
    assert answer["text"].strip() in printed
    assert "Research use only" in printed


def test_ask_a_slide_without_a_pixel_size_says_how_to_give_it(data: Path, tmp_path: Path) -> None:
    slide = data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs"
    done = run("ask", slide, "How many nuclei?", "--store", tmp_path / "r.hwsi.zarr", status=1)
    assert "--mpp" in done.stderr


def test_an_unknown_answerer_is_refused(store: Path) -> None:
    assert "measured" in run("ask", store, "How many?", "--answerer", "oracle", status=1).stderr


def test_a_dead_endpoint_is_one_sentence(store: Path) -> None:
    done = run(
        "ask", store, "How many?", "--box", *BOX, "--answerer", "endpoint:http://127.0.0.1:9#m", status=1
    )
    assert "127.0.0.1:9" in done.stderr


def test_one_bad_slide_does_not_stop_the_others(piece: Path, data: Path, tmp_path: Path) -> None:
    done = run(
        "analyze", data / "wsi" / "broken.svs", piece, "--store", tmp_path, "--box", *BOX, "--json", status=1
    )
    broken, good = json.loads(done.stdout)
    assert "broken.svs" in broken["error"]
    assert good["cells"] > 100


def test_fluorescence_is_not_analysed_as_he(data: Path, tmp_path: Path) -> None:
    slide = data / "wsi" / "test3-DAPI-2-387.ndpi"
    assert "fluorescence" in run("analyze", slide, "--store", tmp_path / "r.hwsi.zarr", status=1).stderr


def test_doctor_names_versions_and_remedies() -> None:
    findings = {f["subject"]: f for f in json.loads(run("doctor", "--json").stdout)}
    assert findings["openslide-python"]["state"] == "ok"
    assert findings["Device"]["detail"]
    assert "classical" in findings["Segmenters"]["detail"]


def test_on_a_terminal_progress_does_not_wipe_the_answer(store: Path) -> None:
    try:
        leader, follower = pty.openpty()
    except OSError:
        pytest.skip("this machine has no pseudo-terminals")
    command = [sys.executable, "-m", "napari_hwsi.cli", "ask", str(store), "How many nuclei?", "--box", *BOX]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, close_fds=True)
    os.close(follower)
    written = b""
    with contextlib.suppress(OSError):  # a terminal whose other end has gone gives an error, not an end
        while piece := os.read(leader, 4096):
            written += piece
    assert process.wait() == 0
    os.close(leader)
    # What a terminal shows of a line is what follows the last time it was wiped.
    lines = [line.rsplit("\x1b[K", 1)[-1] for line in written.decode().splitlines()]
    assert any(line.startswith("There are") and "nuclei in this view" in line for line in lines)


def test_a_store_without_the_suffix_is_a_folder_of_results(piece: Path, tmp_path: Path) -> None:
    facts = json.loads(run("analyze", piece, "--store", tmp_path, "--box", *BOX, "--json").stdout)
    assert facts["store"] == str(tmp_path / f"{piece.stem}.hwsi.zarr")
    asked = run("ask", piece, "How many nuclei?", "--store", tmp_path, "--box", *BOX, "--json").stdout
    assert json.loads(asked)["box"] == [int(value) for value in BOX]


def test_another_pixel_size_is_not_answered_from_the_old_result(cmu: Path, tmp_path: Path) -> None:
    slide = write_piece(tmp_path / "unknown.svs", cmu, mpp=None)
    place = ["--store", tmp_path / "t.hwsi.zarr", "--box", *BOX]
    run("ask", slide, "How many nuclei?", *place, "--mpp", 0.499)
    done = run("ask", slide, "How many nuclei?", *place, "--mpp", 0.8, status=1)
    assert "0.499 x 0.499" in done.stderr
    assert "0.8 x 0.8" in done.stderr


def test_cells_and_analyze_find_the_same(piece: Path, tmp_path: Path) -> None:
    found = json.loads(run("cells", piece, "-o", tmp_path / "c.parquet", "--json").stdout)["cells"]
    analysed = json.loads(run("analyze", piece, "--store", tmp_path / "r.hwsi.zarr", "--json").stdout)[
        "cells"
    ]
    assert found == analysed > 300


def test_whoever_stops_reading_gets_no_traceback(cmu: Path) -> None:
    command = f"'{sys.executable}' -m napari_hwsi.cli info '{cmu}' | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
