"""The command ``napari-hwsi maps``: the scores of a result over its slide, as files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..progress import Progress
from .arguments import command
from .terminal import Line, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("result", type=Path, help="a result (.hwsi.zarr)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="by its ending: .ome.zarr, .ome.tif, .geojson (for QuPath), .csv, .parquet, .png (one a map)",
    )
    parser.add_argument(
        "--map",
        action="append",
        dest="names",
        metavar="NAME",
        help="one map, by name; repeatable; default: all",
    )
    parser.add_argument(
        "--percentile", action="store_true", help="ranks from 0 to 100 among the units in place of raw scores"
    )
    parser.add_argument(
        "--step-um",
        type=float,
        help="µm per pixel of .ome.zarr and .ome.tif; default: the distance between units",
    )


def write(options: argparse.Namespace, progress: Progress | None = None) -> dict[str, Any]:
    """Write the maps; returns what was done, as facts. Raises what reading and writing raise."""
    from ..errors import HwsiError
    from ..evidence.maps import maps_of, write_maps
    from ..hierarchy import open_result

    result = open_result(options.result)
    maps = maps_of(result, options.names)
    if options.percentile:
        maps = [one.percentiles() for one in maps]
    thumbnail, note = None, None
    if options.output.suffix.lower() == ".png":
        try:
            with result:
                thumbnail = np.asarray(result.slide.thumbnail(1024))
        except HwsiError as error:  # the maps do not need it
            note = f"drawn without the slide: {error}"
    origin = result.slide_facts["bounds"][:2]  # QuPath counts from the scanned part
    files = write_maps(maps, options.output, options.step_um, thumbnail, progress, origin)
    facts = {
        "maps": [one.name for one in maps],
        "values": maps[0].values,
        "units": {one.name: len(one.scores) for one in maps},
        "files": [str(file) for file in files],
    }
    return facts | ({"note": note} if note else {})


def add(commands: Any) -> None:
    """Describe the command."""
    add_arguments(command(commands, "maps", run, "scores over a slide, as images, tables and pictures"))


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    with Line() as line:
        facts = write(options, line)
    if options.json:
        print_json(facts)
    else:
        print(f"{len(facts['maps'])} maps ({facts['values']} scores): {', '.join(facts['files'])}")
        if "note" in facts:
            print(facts["note"])
    return 0
