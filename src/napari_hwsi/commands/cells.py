"""The command ``napari-hwsi cells``: every nucleus of a slide, into a file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..errors import StoreError
from .arguments import box, command, icc, mpp, place, segmenter
from .terminal import Line, show, tissue_words


def add(commands: Any) -> None:
    """Describe the command."""
    cells = command(commands, "cells", run, "find the nuclei of a slide and measure them")
    cells.add_argument("slide", type=place)
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
    box(cells)
    segmenter(cells)
    mpp(cells)
    icc(cells)


def run(options: argparse.Namespace) -> int:
    """Do it; returns the exit status."""
    from ..cells import ending_of, segment_cells, write_cells
    from ..slides import open_slide
    from ..tissue import tissue_of

    ending_of(options.output)  # another one is refused before hours of work
    if os.path.isdir(options.output) or not os.access(options.output.parent, os.W_OK):
        raise StoreError(f"{options.output} cannot be written. Choose a file in a folder that can.")
    with open_slide(options.slide, mpp=options.mpp, icc=options.icc) as slide, Line() as progress:
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
        origin = slide.bounds[:2]  # QuPath counts from the scanned part
    write_cells(cells, options.output, origin)
    table = cells.table
    facts = {
        "cells": len(cells),
        "tissue": tissue_words(tissue.origin == "edited"),
        "tissue_mm2": round(tissue_mm2, 4),
        "cells_per_mm2_of_tissue": round(len(cells) / tissue_mm2, 1) if tissue_mm2 else None,
        "median_area_um2": round(float(table["area_um2"].median()), 2) if len(cells) else None,
        "written": str(options.output),
    }
    show(options, facts)
    return 0
