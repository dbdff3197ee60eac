"""Several slides of one patient, as one case with its own vector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..disk import written_whole
from ..errors import InputError, StoreError
from ..hierarchy import Hierarchy, open_result
from .job import Outcome

FILE = "cases.parquet"
_FORMAT, _VERSION = "hwsi-cases", 1
_WEIGHTING = "mean of the slide vectors, each weighted by the tissue area of its regions with valid patches"


@dataclass(frozen=True, eq=False)
class Case:
    """The slides of one patient.

    patient, label: as the user's list has them (labels that differ are all named); slides: names of the
    results that are in the vector; tissue_mm2: float32 (S,), the weight of each; missing: slides that are
    not in it, as they failed; vector: float32 (W,), the mean of the slide vectors weighted by tissue area,
    0 where there is no tissue. Raises InputError where slides and weights do not agree.
    """

    patient: str
    label: str
    slides: tuple[str, ...]
    tissue_mm2: NDArray[np.float32]
    missing: tuple[str, ...]
    vector: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.tissue_mm2.shape != (len(self.slides),):
            raise InputError(f"A case has one weight a slide, not {self.tissue_mm2.shape} for {self.slides}.")


def make_cases(outcomes: Sequence[Outcome]) -> tuple[Case, ...]:
    """Return the cases of a batch, in the order of their first slides; slides without a patient are in none.

    A slide's vector is the mean of its regions'. Regions at the edge of tissue count like full ones
    there, so that numbers of regions say little of how much tissue was seen: slides are weighted by mm².
    A case with no finished slide is left out. Raises StoreError where a result cannot be read.
    """
    of_patient: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.job.patient:
            of_patient.setdefault(outcome.job.patient, []).append(outcome)
    return tuple(
        _case(patient, of_patient[patient])
        for patient in of_patient
        if any(outcome.state == "done" for outcome in of_patient[patient])
    )


def _case(patient: str, outcomes: Sequence[Outcome]) -> Case:
    done = [outcome for outcome in outcomes if outcome.state == "done"]
    results = [open_result(outcome.store) for outcome in done]
    areas = np.array([tissue_mm2(result) for result in results], np.float64)
    vectors = np.array([result.slide_vector for result in results], np.float64)
    total = areas.sum()
    vector = areas @ vectors / total if total else np.zeros(vectors.shape[1])
    return Case(
        patient=patient,
        label=", ".join(dict.fromkeys(outcome.job.label for outcome in outcomes if outcome.job.label)),
        slides=tuple(outcome.job.name for outcome in done),
        tissue_mm2=areas.astype(np.float32),
        missing=tuple(outcome.job.name for outcome in outcomes if outcome.state != "done"),
        vector=vector.astype(np.float32),
    )


def tissue_mm2(result: Hierarchy) -> float:
    """Return the tissue area, in mm², of the regions that are in the slide's vector."""
    valid = result.patches.loc[result.patches["valid"], "region"].unique()
    regions = result.regions.set_index("region").loc[valid]
    pixels = (regions["y1"] - regions["y0"]) * (regions["x1"] - regions["x0"]) * regions["tissue_fraction"]
    y, x = result.slide_facts["mpp"]
    return float(pixels.sum()) * y * x / 1e6


def write_cases(cases: Sequence[Case], folder: Path) -> Path:
    """Write ``cases.parquet``, a row a case, with the facts in its metadata; whole or not at all.

    Raises StoreError where it cannot be written.
    """
    width = len(cases[0].vector)
    table = pa.table(
        {
            "patient": [case.patient for case in cases],
            "label": [case.label for case in cases],
            "slides": pa.array([list(case.slides) for case in cases], pa.list_(pa.string())),
            "tissue_mm2": pa.array([case.tissue_mm2 for case in cases], pa.list_(pa.float32())),
            "missing": pa.array([list(case.missing) for case in cases], pa.list_(pa.string())),
            "vector": pa.array([case.vector for case in cases], pa.list_(pa.float32(), width)),
        }
    )
    facts = {"format": _FORMAT, "format_version": _VERSION, "weighting": _WEIGHTING}
    facts["software"] = {"napari-hwsi": version("napari-hwsi")}
    file = folder / FILE
    try:
        with written_whole(file) as draft:
            pq.write_table(table.replace_schema_metadata({"hwsi": json.dumps(facts)}), draft)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from error
    return file


def read_cases(folder: str | Path) -> tuple[Case, ...]:
    """Return the cases of a folder of results; raises StoreError where there are none, or others."""
    file = Path(folder) / FILE
    try:
        table = pq.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{file} cannot be read: {error}.") from error
    facts: dict[str, Any] = json.loads((table.schema.metadata or {}).get(b"hwsi", b"{}"))
    if facts.get("format") != _FORMAT or facts.get("format_version") != _VERSION:
        raise StoreError(f"{file} does not hold cases that this version reads. Run the batch again.")
    return tuple(
        Case(
            row["patient"],
            row["label"],
            tuple(row["slides"]),
            np.array(row["tissue_mm2"], np.float32),
            tuple(row["missing"]),
            np.array(row["vector"], np.float32),
        )
        for row in table.to_pylist()
    )
