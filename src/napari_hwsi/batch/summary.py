"""What a batch came to, for machines: ``batch.json`` and ``batch.csv``; :mod:`.page` has it for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ..disk import write_whole
from ..errors import StoreError
from .cases import Case
from .job import STATES, Outcome, Settings
from .page import pages

_COLUMNS = (
    *("slide", "name", "patient", "label", "state", "reason", "store", "regions", "regions_analysed"),
    *("patches_with_tissue", "kept_patches", "cells", "seconds", "starts", "worker", "mpp"),
)


def write_summary(
    folder: Path,
    settings: Settings,
    times: tuple[datetime, datetime],
    outcomes: Sequence[Outcome],
    cases: Sequence[Case],
) -> Path:
    """Write ``batch.json``, ``batch.csv`` and ``batch.html``, each whole or not at all; return the last.

    Raises StoreError where they cannot be written.
    """
    facts = {
        "format": "hwsi-batch",
        "format_version": 1,
        "started": times[0].isoformat(timespec="seconds"),
        "finished": times[1].isoformat(timespec="seconds"),
        "settings": asdict(settings),
        "slides_by_state": {state: sum(each.state == state for each in outcomes) for state in STATES},
        "slides": [outcome.to_dict() for outcome in outcomes],
        "cases": [_facts_of(case) for case in cases],
    }
    files = {
        "batch.json": json.dumps(facts, indent=2, ensure_ascii=False),
        "batch.csv": _table(outcomes),
        **pages(outcomes, cases, times),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(folder / name, text.encode())
    except OSError as error:
        raise StoreError(
            f"The summary cannot be written into {folder}: {error.strerror or error}. The results themselves "
            "are kept."
        ) from error
    return folder / "batch.html"


def _facts_of(case: Case) -> Mapping[str, Any]:
    return {
        "patient": case.patient,
        "label": case.label,
        "slides": list(case.slides),
        "tissue_mm2": [round(float(area), 4) for area in case.tissue_mm2],
        "missing": list(case.missing),
    }


def _table(outcomes: Sequence[Outcome]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for outcome in outcomes:
        facts = outcome.to_dict()
        facts["seconds"] = round(outcome.seconds, 1)
        writer.writerow({name: facts.get(name, "") for name in _COLUMNS})
    return buffer.getvalue()
