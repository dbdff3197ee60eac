"""The command ``napari-hwsi analyze``: slides into results."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .arguments import box, command, icc, mpp, place, segmenter, store, store_of
from .terminal import Line, Table, show, tissue_words

if TYPE_CHECKING:
    from ..batch import Outcome


def add(commands: Any) -> None:
    """Describe the command."""
    analyze = command(commands, "analyze", run, "read slides at four scales into result stores")
    analyze.add_argument(
        "slides",
        type=place,
        nargs="+",
        metavar="slide",
        help="slides, folders of slides, a .txt with a path a line, or a .csv of slide, mpp, patient, label",
    )
    store(analyze, "a result (.hwsi.zarr), or the folder that holds one for each slide")
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
    box(analyze)
    segmenter(analyze)
    mpp(analyze)
    icc(analyze)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from ..batch.sources import is_collection
    from ..batch.worker import counts
    from ..hierarchy import analyze
    from ..slides import open_slide

    chosen = options.workers is not None or options.scheduler is not None
    if len(options.slides) > 1 or chosen or is_collection(options.slides[0]):
        return _analyze_many(options)
    path = options.slides[0]
    with open_slide(path, mpp=options.mpp, icc=options.icc) as slide, Line() as progress:
        result = analyze(
            slide,
            store_of(slide, options.store),
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
    tissue = tissue_words(result.slide_facts["tissue"] == "edited")
    facts = {"slide": str(path), "store": str(result.path), "tissue": tissue, **counts(result)}
    if result.two_steps is not None:
        facts |= {"never_encoded": result.two_steps.saving, "kept_as_by_full": result.two_steps.agreement}
    show(options, facts)
    return 0


def _analyze_many(options: argparse.Namespace) -> int:
    from ..batch import run

    with Table() as table:
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
        show(options, [_of_batch(outcome) for outcome in report.outcomes])
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
