"""The command ``napari-hwsi convert``: patch features from one layout to another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .arguments import command
from .terminal import show

LAYOUTS = ("release", "trident", "atlaspatch", "stamp", "clam", "slide2vec", "csv")
_STORE = ".hwsi.zarr"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument(
        "source",
        type=Path,
        help="a result (.hwsi.zarr), or another tool's features: a file, or the folder of the release's",
    )
    parser.add_argument("--to", required=True, choices=LAYOUTS, help="layout to write")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="folder; files of the same name there go"
    )
    parser.add_argument("--from", dest="layout", choices=LAYOUTS, help="layout to read; default: recognised")
    parser.add_argument(
        "--slide", type=Path, help="the slide, where the files do not say its size or resolution"
    )
    parser.add_argument(
        "--mpp", type=float, help="µm per level-0 pixel, where neither files nor slide say it"
    )
    parser.add_argument(
        "--patch-px", type=float, help="side of a patch in level-0 pixels, where no file says it"
    )
    parser.add_argument("--encoder", help="whose features, where there are several; or what made them")
    parser.add_argument("--name", help="what the slide is called, and which of several in a folder")


def convert(options: argparse.Namespace) -> dict[str, Any]:
    """Convert; returns what was done, as facts. Raises what reading and writing raise."""
    from ..hierarchy.foreign import features_of, open_features, write_features
    from ..hierarchy.hierarchy import open_result
    from ..slides import open_slide

    if options.source.name.endswith(_STORE):
        given = ("layout", "slide", "mpp", "patch_px", "encoder", "name")
        if any(getattr(options, name) is not None for name in given):
            raise InputError(f"{options.source} is a result and says all of itself. Give only --to and -o.")
        features = features_of(open_result(options.source))
    else:
        slide = open_slide(options.slide) if options.slide else None
        hints = (options.mpp, options.patch_px, options.encoder, options.name)
        features = open_features(options.source, slide, options.layout, *hints).features
        if slide is not None:
            slide.close()
    written = write_features(features, options.output, options.to)
    return {
        "slide": features.facts.name,
        "patches": int(features.valid.sum()),
        "width": features.vectors.shape[1],
        "written": [str(file) for file in written.files],
        "left_out": list(written.left_out),
    }


def add(commands: Any) -> None:
    """Describe the command."""
    add_arguments(command(commands, "convert", run, "patch features from one tool's layout to another's"))


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    facts = convert(options)
    if not options.json:
        facts |= {name: "\n".ljust(23).join(facts[name]) or "nothing" for name in ("written", "left_out")}
    show(options, facts)
    return 0
