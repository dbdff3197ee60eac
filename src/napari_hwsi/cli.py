"""The command ``napari-hwsi``: everything but looking, without a screen.

Results go to standard output (``--json`` for machines), progress and errors to standard
error; the exit status is 0 only on success.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .convert import add_arguments as add_convert_arguments
from .convert import convert
from .doctor import has_display
from .errors import HwsiError, InputError, MissingDependencyError, StoreError
from .evaluation.command import add_arguments as add_evaluate_arguments
from .evaluation.command import evaluate_command
from .evaluation.slide_learning import add_arguments as add_train_slide_arguments
from .evaluation.slide_learning import train_slide_command
from .finding import add_arguments as add_find_arguments
from .finding import lines_of as found_lines
from .finding import search
from .maps import add_arguments as add_maps_arguments
from .maps import write as write_maps
from .progress import Progress, Step
from .walking import add_arguments as add_walk_arguments
from .walking import tell_walk, walk_slide

if TYPE_CHECKING:
    from .batch import Board, Outcome
    from .evaluation.report import Report
    from .hierarchy import Hierarchy
    from .slides import Slide

_STOPPED = 130
_SUFFIX = ".hwsi.zarr"
_UNSEEN = "HWSI_UNSEEN"  # set where the window is drawn for its pictures only


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        status: int = options.run(options)
    except HwsiError as error:
        _report(f"napari-hwsi: {error}")
        return 1
    except KeyboardInterrupt:
        _report("napari-hwsi: stopped; what was finished in a store is kept.")
        return _STOPPED
    except BrokenPipeError:  # whoever read the output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-hwsi",
        description="Read whole-slide images at four scales and ask questions about them. Research use only.",
    )
    parser.add_argument("--version", action="version", version=f"napari-hwsi {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = _command(commands, "info", _info, "what a slide file or a result (.hwsi.zarr) holds")
    info.add_argument("slide", type=_place)
    info.add_argument(
        "--verify",
        action="store_true",
        help="read all of a result against its checksums; the exit status is 1 where one does not fit",
    )
    info.add_argument("--backend", help="what reads the file; default: the first that can")
    _mpp(info)
    _icc(info)

    cells = _command(commands, "cells", _cells, "find the nuclei of a slide and measure them")
    cells.add_argument("slide", type=_place)
    cells.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="by its ending: .geojson, .geojson.gz (QuPath opens them), .parquet, .csv, .zarr (SpatialData)",
    )
    cells.add_argument(
        "--store", type=Path, help="folder to keep finished tiles in; run again with it to go on from them"
    )
    _box(cells)
    _segmenter(cells)
    _mpp(cells)
    _icc(cells)

    analyze = _command(commands, "analyze", _analyze, "read slides at four scales into result stores")
    analyze.add_argument(
        "slides",
        type=_place,
        nargs="+",
        metavar="slide",
        help="slides, folders of slides, a .txt with a path a line, or a .csv of slide, mpp, patient, label",
    )
    _store(analyze, "a result (.hwsi.zarr), or the folder that holds one for each slide")
    analyze.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes for several slides; 0: one slide after the other in this one; default: as many as "
        "cores and memory allow",
    )
    analyze.add_argument(
        "--scheduler", metavar="ADDRESS", help="your own dask cluster: tcp://host:port, or its scheduler file"
    )
    analyze.add_argument("--phrase", action="append", dest="phrases", help="filter phrase; may be repeated")
    analyze.add_argument(
        "--parts",
        action="append",
        metavar="PART",
        help="patches or cells alone, the other stays as it is; default: both",
    )
    analyze.add_argument(
        "--profile", default="pocket", help="encoders and segmenter: pocket or release; default: %(default)s"
    )
    analyze.add_argument(
        "--normalise",
        metavar="METHOD",
        help="macenko or reinhard: bring each slide's colours to a reference's before patches are encoded",
    )
    analyze.add_argument(
        "--survivors",
        type=int,
        metavar="N",
        help="filter in two steps: the profile's encoder sees at most N patches of a region, chosen by the "
        "descriptor; default: all",
    )
    analyze.add_argument(
        "--regions",
        default="square",
        metavar="SHAPE",
        help="square, or adaptive: grown by the likeness of patches; default: %(default)s",
    )
    _box(analyze)
    _segmenter(analyze)
    _mpp(analyze)
    _icc(analyze)

    ask = _command(commands, "ask", _ask, "ask a question about a slide or a result")
    ask.add_argument(
        "slide",
        type=_place,
        help="a slide: what is not analysed yet is analysed first, the whole slide unless a --box is given; "
        "or its .hwsi.zarr: without a --box it is asked about what it holds",
    )
    ask.add_argument("question")
    ask.add_argument(
        "--answerer",
        default="auto",
        help="measured, mllm:<folder>, or endpoint:<url>#<model> (it gets pixels); default: %(default)s",
    )
    ask.add_argument(
        "--check",
        action="store_true",
        help="ask again without the image, with another place's and shuffled, and say whether the answer "
        "depends on it",
    )
    ask.add_argument(
        "--repeat", type=int, default=0, metavar="N", help="ask N times more: how many answers say the same?"
    )
    ask.add_argument(
        "--occlude",
        choices=("patch", "region"),
        help="ask again without each of them, and add those that the answer rests on most",
    )
    _store(ask, "where the slide's result is or goes")
    _box(ask)
    _mpp(ask)
    _icc(ask)

    summary = "patch features from one tool's layout to another's"
    add_convert_arguments(_command(commands, "convert", _convert, summary))

    parts = commands.add_parser("train", help="train a model on analysed slides").add_subparsers(
        required=True, metavar="PART"
    )
    summary = "learn a label of whole slides from their patches, by patient in folds"
    add_train_slide_arguments(_command(parts, "slide", _train_slide, summary))
    for stage in ("stage1", "stage2", "stage3"):
        _stage(parts, stage)

    add_walk_arguments(_command(commands, "walk", _walk, "let a vision model walk a slide and answer"))
    add_find_arguments(_command(commands, "find", _find, "places like an example or a text, in results"))
    add_maps_arguments(
        _command(commands, "maps", _maps, "scores over a slide, as images, tables and pictures")
    )

    summary = "score an answerer, or features, on a benchmark, beside what blind guessing reaches"
    add_evaluate_arguments(_command(commands, "evaluate", _evaluate, summary))

    demo = _command(commands, "demo", _demo, "open a slide in napari, analyse it, ask a question")
    demo.add_argument("--slide", type=Path, help="your own slide; the built-in sample otherwise")
    demo.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="result and pictures; default: %(default)s"
    )
    _mpp(demo)

    doctor = _command(commands, "doctor", _doctor, "what is installed, what is missing and how to get it")
    doctor.add_argument("--profile", default="pocket", help="also what this profile needs, such as release")
    return parser


def _stage(parts: Any, stage: str) -> None:
    train = _command(parts, stage, _train, f"train {stage} of the language model")
    train.set_defaults(stage=stage)
    train.add_argument(
        "config",
        help="a YAML file, or one of the package, such as pocket-stage2 or release-stage3",
    )
    train.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="FIELD=VALUE",
        help="another value for a field, such as out=runs/a or schedule.steps=100; may be repeated",
    )
    train.add_argument("--device", default="auto", help="cpu, cuda; default: %(default)s")


def _command(commands: Any, name: str, run: Callable[[Any], int], summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _mpp(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mpp", type=float, help="µm per pixel of a slide that does not state it; remembered for this slide"
    )


def _icc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--icc", action="store_true", help="convert all pixels to sRGB by the colour profile in the file"
    )


def _place(text: str) -> Path | str:
    """Leave an address (https://…, s3://…) as it is: a path would lose one of its slashes."""
    return text if "://" in text else Path(text)


def _box(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--box", type=int, nargs=4, metavar=("Y0", "X0", "Y1", "X1"), help="part of the slide, level-0 pixels"
    )


def _store(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument(
        "--store",
        type=Path,
        help=f"{text}; default: <slide>.hwsi.zarr beside the slide, where that can be written",
    )


def _segmenter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--segmenter", help="default: the best that ships")
    parser.add_argument("--device", default="auto", help="of the networks: cpu, cuda; default: %(default)s")


def _info(options: argparse.Namespace) -> int:
    if str(options.slide).endswith(_SUFFIX):
        return _info_of_result(options)
    from .slides import open_slide
    from .tissue import is_edited, stain_kind

    with open_slide(options.slide, mpp=options.mpp, backend=options.backend, icc=options.icc) as slide:
        facts = {
            "name": slide.name,
            "shape_px": slide.shape,
            "mpp": slide.mpp,
            "mpp_source": slide.mpp_source,
            "vendor": slide.vendor,
            "backend": slide.backend,
            "levels_px": slide.level_shapes,
            "bounds_px": slide.bounds,
            "picture": stain_kind(slide),
            "tissue": _tissue(is_edited(slide)),
            "associated_images": list(slide.associated_images),
            "icc_profile": slide.icc_profile_name,
            "icc_used": slide.icc,
            "fingerprint": slide.fingerprint,
            "not_opened_by": slide.refused,
        }
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        print(f"{facts['name']}: {facts['picture']}, {facts['vendor']}, read by {facts['backend']}")
        print(f"  size (y, x):  {_by(slide.shape)} px, levels {', '.join(map(_by, slide.level_shapes))}")
        origin = (
            f"{_by(slide.mpp)} µm, from the {slide.mpp_source}"
            if slide.mpp
            else "unknown, give it with --mpp"
        )
        print(f"  pixel (y, x): {origin}")
        print(f"  scanned part (y0, x0, y1, x1): {', '.join(map(str, slide.bounds))}")
        print(f"  tissue:       {facts['tissue']}")
        print(f"  associated images: {', '.join(slide.associated_images) or 'none'}")
        use = "all pixels converted to sRGB by it" if slide.icc else "not used; --icc converts by it"
        print(
            f"  colour profile: {f'{slide.icc_profile_name} ({use})' if slide.icc_profile_name else 'none'}"
        )
        print(f"  fingerprint:  {slide.fingerprint}")
        for backend, reason in slide.refused.items():
            print(f"  not read by {backend}: {reason}")
    return 0


def _info_of_result(options: argparse.Namespace) -> int:
    from .batch.worker import counts
    from .hierarchy import find_damage, open_result

    damage = find_damage(options.slide) if options.verify else None
    if damage:
        remedy = "analyse the slide again: what is damaged is made anew, the rest is kept"
        _show(options, {"result": str(options.slide), "damaged": damage.found, "remedy": remedy})
        return 1
    result = open_result(options.slide)
    facts = {name: result.facts[name] for name in ("format_version", "fingerprint", "software")}
    names = ("profile", "encoder", "segmenter", "normalisation", "phrases")
    made = {name: getattr(result, name) for name in names} | {"profile": result.profile.name}
    checked = "all fit" if options.verify else "not looked at; --verify does"
    slide = {"result": str(result.path), "slide": result.slide_facts["name"]}
    _show(options, slide | made | counts(result) | facts | {"checksums": checked})
    return 0


def _tissue(edited: bool) -> str:
    return "edited by you, kept for this slide" if edited else "found from the image"


def _cells(options: argparse.Namespace) -> int:
    from .cells import ending_of, segment_cells, write_cells
    from .slides import open_slide
    from .tissue import tissue_of

    ending_of(options.output)  # another one is refused before hours of work
    if os.path.isdir(options.output) or not os.access(options.output.parent, os.W_OK):
        raise StoreError(f"{options.output} cannot be written. Choose a file in a folder that can.")
    with open_slide(options.slide, mpp=options.mpp, icc=options.icc) as slide, _Line() as progress:
        tissue = tissue_of(slide, progress)
        cells = segment_cells(
            slide,
            box=options.box,
            segmenter=options.segmenter,
            device=options.device,
            store=options.store,
            progress=progress,
            tissue=tissue,
        )
        y, x = slide.require_mpp()
        tissue_mm2 = tissue.area_in(options.box or slide.bounds) * y * x / 1e6
    write_cells(cells, options.output)
    table = cells.table
    facts = {
        "cells": len(cells),
        "tissue": _tissue(tissue.origin == "edited"),
        "tissue_mm2": round(tissue_mm2, 4),
        "cells_per_mm2_of_tissue": round(len(cells) / tissue_mm2, 1) if tissue_mm2 else None,
        "median_area_um2": round(float(table["area_um2"].median()), 2) if len(cells) else None,
        "written": str(options.output),
    }
    _show(options, facts)
    return 0


def _analyze(options: argparse.Namespace) -> int:
    from .batch.sources import is_collection
    from .batch.worker import counts
    from .hierarchy import analyze
    from .slides import open_slide

    chosen = options.workers is not None or options.scheduler is not None
    if len(options.slides) > 1 or chosen or is_collection(options.slides[0]):
        return _analyze_many(options)
    path = options.slides[0]
    with open_slide(path, mpp=options.mpp, icc=options.icc) as slide, _Line() as progress:
        result = analyze(
            slide,
            _store_of(slide, options.store),
            profile=options.profile,
            segmenter=options.segmenter,
            phrases=options.phrases,
            parts=options.parts,
            box=options.box,
            device=options.device,
            progress=progress,
            normalise=options.normalise,
            survivors=options.survivors,
            regions=options.regions,
        )
    tissue = _tissue(result.slide_facts["tissue"] == "edited")
    facts = {"slide": str(path), "store": str(result.path), "tissue": tissue, **counts(result)}
    if result.two_steps is not None:
        facts |= {"never_encoded": result.two_steps.saving, "kept_as_by_full": result.two_steps.agreement}
    _show(options, facts)
    return 0


def _analyze_many(options: argparse.Namespace) -> int:
    from .batch import run

    with _Table() as table:
        report = run(
            options.slides,
            options.store,
            workers=options.workers,
            scheduler=options.scheduler,
            profile=options.profile,
            segmenter=options.segmenter,
            phrases=options.phrases,
            parts=options.parts,
            box=options.box,
            mpp=options.mpp,
            device=options.device,
            normalise=options.normalise,
            survivors=options.survivors,
            regions=options.regions,
            icc=options.icc,
            progress=table,
        )
    if options.json:
        _show(options, [_of_batch(outcome) for outcome in report.outcomes])
    else:
        for outcome in report.outcomes:
            found = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in outcome.counts.items())
            print(f"{outcome.job.name}: {outcome.state}; {outcome.reason or found}")
        print(f"Summary: {report.summary}")
    return int(not report.complete)


def _of_batch(outcome: Outcome) -> dict[str, Any]:
    """Return what is printed of one slide: its result, or why there is none."""
    if outcome.state != "done":
        return {"slide": outcome.job.slide, "error": outcome.reason or "stopped"}
    return {"slide": outcome.job.slide, "store": outcome.store, **outcome.counts}


def _store_of(slide: Slide, store: Path | None) -> Path:
    """Return where a slide's result is: a result's own path, or its place in a folder of results."""
    from .hierarchy import default_store

    if store is None or store.name.endswith(_SUFFIX):
        return store or default_store(slide)
    return store / f"{Path(slide.name).stem}{_SUFFIX}"


def _ask(options: argparse.Namespace) -> int:
    from .chat import Answer, answerer, ask_stream, occlude, repeat

    if not options.question.strip():
        raise InputError("The question is empty. Ask something, such as: How many nuclei are there?")
    answerer(options.answerer)  # an unknown one is refused before hours of analysis
    with _Line() as progress:
        result = _result(options, progress)
        answer: Answer | None = None
        told = (options.question, options.box, options.answerer, None, options.check)
        for event in ask_stream(result, *told, progress=progress):
            if isinstance(event, Answer):
                answer = event
            elif isinstance(event, str) and not options.json:
                progress.stop()
                print(event, end="", flush=True)
        assert answer is not None  # a stream ends with its answer or an error
        if options.repeat:
            answer = replace(answer, repeats=repeat(answer, options.repeat, progress=progress))
        if options.occlude:
            units = (options.question, options.box, options.occlude, options.answerer)
            found = occlude(result, *units, progress=progress)
            answer = replace(answer, evidence=(*answer.evidence, *found.evidence()))
    if options.json:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
    else:
        print("\n\n" + answer.footing())
    return 0


def _result(options: argparse.Namespace, progress: Progress) -> Hierarchy:
    """Open the result that is asked about; make it where there is none yet."""
    from .hierarchy import analyze, extend, has_result, open_result
    from .slides import open_slide

    if str(options.slide).endswith(_SUFFIX):
        if options.mpp or options.store or options.icc:
            raise InputError(
                f"{options.slide} is a result: its pixel size, colours and place are settled. Leave them out."
            )
        return open_result(options.slide)
    slide = open_slide(options.slide, mpp=options.mpp, icc=options.icc)
    store = _store_of(slide, options.store)
    if not has_result(store):
        return analyze(slide, store, box=options.box, progress=progress)
    result = open_result(store, slide)
    return result if options.box else extend(result, progress=progress)


def _convert(options: argparse.Namespace) -> int:
    facts = convert(options)
    if not options.json:
        facts |= {name: "\n".ljust(23).join(facts[name]) or "nothing" for name in ("written", "left_out")}
    _show(options, facts)
    return 0


def _train_slide(options: argparse.Namespace) -> int:
    with _Line() as progress:
        report, page = train_slide_command(options, progress)
    return _show_report(options, report, page)


def _train(options: argparse.Namespace) -> int:
    from .training.config import changes_from, read_config
    from .training.stages import train

    config = read_config(options.config, changes_from(options.changes))
    with _Line() as progress:
        trained = train(options.stage, config, progress, options.device)
    outcome = trained.outcome
    facts = {
        "model": str(trained.folder),
        "hash": trained.hash,
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "validation": outcome.best,
        "curve": str(outcome.curve),
        "rows_left_out": str(outcome.curve.with_name("data.json")),
        **trained.counts,
    }
    _show(options, facts)
    return 0


def _walk(options: argparse.Namespace) -> int:
    with _Line() as line:
        walked = walk_slide(options, line)
    if options.json:
        del walked["lines"]
        print(json.dumps(walked, indent=2, ensure_ascii=False))
    else:
        tell_walk(walked)
    return 0


def _find(options: argparse.Namespace) -> int:
    with _Line() as line:
        facts = search(options, line)
    print(json.dumps(facts, indent=2, ensure_ascii=False) if options.json else found_lines(facts))
    return 0


def _maps(options: argparse.Namespace) -> int:
    with _Line() as line:
        facts = write_maps(options, line)
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        print(f"{len(facts['maps'])} maps ({facts['values']} scores): {', '.join(facts['files'])}")
        if "note" in facts:
            print(facts["note"])
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    with _Line() as progress:
        report, page = evaluate_command(options, progress)
    return _show_report(options, report, page)


def _show_report(options: argparse.Namespace, report: Report, page: Path) -> int:
    if options.json:
        print(json.dumps({"report": str(page), **report.to_dict()}, indent=2, ensure_ascii=False))
        return 0
    print(report.markdown())
    for warning in report.warnings:
        print(f"\nNote: {warning}")
    print(f"\n{len(report.left_out)} rows were left out; the page names each: {page}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    if not has_display():
        return _demo_in_xvfb()
    from .widgets.demo import demo

    def say(text: str) -> None:
        print(text, file=sys.stderr if options.json else sys.stdout, flush=True)

    answer = demo(options.slide, options.output, options.mpp, stay=_UNSEEN not in os.environ, say=say)
    if options.json:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
    return 0


def _demo_in_xvfb() -> int:
    """Run this command again in a window that nobody sees."""
    if shutil.which("xvfb-run") is None:
        raise MissingDependencyError(
            "There is no display and no xvfb-run to stand in for one. Run: sudo apt-get install xvfb xauth"
        )
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1680x1050x24"]
    command = [*screen, sys.executable, "-m", "napari_hwsi.cli", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | {_UNSEEN: "1"}, check=False).returncode


def _doctor(options: argparse.Namespace) -> int:
    from .doctor import examine

    findings = examine(options.profile)
    if options.json:
        print(json.dumps([vars(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        mark = {"ok": "ok     ", "missing": "MISSING", "optional": "note   "}
        for finding in findings:
            remedy = f"\n{'':9}→ {finding.remedy}" if finding.remedy else ""
            print(f"{mark[finding.state]}  {finding.subject}: {finding.detail}{remedy}")
    return int(any(finding.state == "missing" for finding in findings))


def _show(options: argparse.Namespace, facts: Any) -> None:
    if options.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for key, value in facts.items():
        print(f"{key.replace('_', ' ').replace('um2', 'µm²'):>20}: {'unknown' if value is None else value}")


def _by(pair: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in pair)


def _report(text: str) -> None:
    print(text, file=sys.stderr)


class _Line:
    """Progress as one line that rewrites itself, on a terminal only."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._what, self._start, self._first = "", 0.0, 0

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __call__(self, step: Step) -> None:
        if not self._terminal:
            return
        if step.what != self._what:
            self._what, self._start, self._first = step.what, time.monotonic(), step.done
        done = step.done - self._first
        left = (time.monotonic() - self._start) / done * (step.total - step.done) if done > 0 else None
        estimate = f", {left:.0f} s left" if left is not None else ""
        sys.stderr.write(f"\r\x1b[K{step.what} {step.done}/{step.total}{estimate}")
        sys.stderr.flush()

    def stop(self) -> None:
        """Wipe the line and write it no more: what follows on the screen is the answer."""
        self.clear()
        self._terminal = False

    def clear(self) -> None:
        """Wipe the line, so that results start at a margin."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class _Table:
    """Many slides as a table that rewrites itself, on a terminal; elsewhere a line for each that ends."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._drawn = 0
        self._told: set[str] = set()

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def __call__(self, board: Board) -> None:
        if self._terminal:
            width, height = shutil.get_terminal_size()
            self._wipe()
            lines = board.lines(width - 1, min(height - 1, 24))
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()
            self._drawn = len(lines)
            return
        for row in board.rows:
            if row.state in ("done", "failed", "stopped") and row.job.slide not in self._told:
                self._told.add(row.job.slide)
                ended = len(self._told)
                _report(f"{ended}/{len(board.rows)} {row.job.name}: {row.state} {row.reason}".rstrip())

    def _wipe(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}F\x1b[J")
            sys.stderr.flush()
            self._drawn = 0


if __name__ == "__main__":
    sys.exit(main())
