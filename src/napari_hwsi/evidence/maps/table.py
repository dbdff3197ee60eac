"""Maps as tables: CSV and Parquet, and GeoJSON for QuPath."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...disk import written_whole
from ...errors import InputError
from .score_map import ScoreMap

_BOX = ("y0", "x0", "y1", "x1")
_FACTS = b"napari-hwsi maps"
_ROWS = 10_000


def table_of(maps: Sequence[ScoreMap]) -> pd.DataFrame:
    """Return maps as one table, a row a unit: scale, y0, x0, y1, x1 (level-0 px), a column of scores a map.

    Maps of one scale share rows where their boxes are the same. Scores are missing where a map has none.
    """
    parts: list[pd.DataFrame] = []
    for scale in dict.fromkeys(one.scale for one in maps):
        merged: pd.DataFrame | None = None
        for one in (m for m in maps if m.scale == scale):
            rows = pd.DataFrame(one.boxes, columns=list(_BOX))
            rows["nth"] = rows.groupby(list(_BOX)).cumcount()  # equal boxes stay apart
            rows[one.name] = one.scores
            merged = rows if merged is None else merged.merge(rows, "outer", [*_BOX, "nth"])
        if merged is not None:
            merged.insert(0, "scale", scale)
            parts.append(merged.drop(columns="nth"))
    if not parts:
        raise InputError("There is nothing to write: no map.")
    return pd.concat(parts, ignore_index=True)


def write_table(maps: Sequence[ScoreMap], path: Path) -> None:
    """Write maps as .csv or .parquet; the latter keeps all that :func:`read_table` needs."""
    table = table_of(maps)
    with written_whole(path) as part:
        if path.suffix.lower() == ".csv":
            table.to_csv(part, index=False)
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        facts = {
            "shape": maps[0].shape,
            "mpp": maps[0].mpp,
            "maps": [{"name": m.name, "scale": m.scale, "kind": m.kind, "values": m.values} for m in maps],
        }
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        pq.write_table(
            arrow.replace_schema_metadata(
                (arrow.schema.metadata or {}) | {_FACTS: json.dumps(facts).encode()}
            ),
            part,
        )


def read_table(path: Path) -> list[ScoreMap]:
    """Read the maps of a Parquet file that :func:`write_table` wrote; raises InputError for another file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(path)
        facts = json.loads((arrow.schema.metadata or {})[_FACTS])
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} holds no maps that napari-hwsi wrote as Parquet: {error}.") from error
    table = arrow.to_pandas()
    out = []
    for one in facts["maps"]:
        rows = table[table["scale"] == one["scale"]]
        out.append(
            ScoreMap(
                one["name"],
                one["scale"],
                one["kind"],
                rows[one["name"]].to_numpy(np.float32),
                rows[list(_BOX)].to_numpy(np.int64),
                tuple(facts["shape"]),
                tuple(facts["mpp"]),
                one["values"],
            )
        )
    return out


def write_geojson(maps: Sequence[ScoreMap], path: Path, origin: Sequence[float] = (0, 0)) -> None:
    """Write the units as rectangles with their scores as measurements, a FeatureCollection that QuPath opens.

    Regions and patches are tiles, cells detections; coordinates are (x, y) level-0 px less ``origin`` (y, x),
    which for QuPath is the corner of the slide's bounds. A unit without any score is left out.
    """
    table = table_of(maps)
    names = [one.name for one in maps]
    table = table[table[names].notna().any(axis=1)]
    with written_whole(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        first = True
        for start in range(0, len(table), _ROWS):
            for row in table.iloc[start : start + _ROWS].to_dict("records"):
                file.write(("\n" if first else ",\n") + json.dumps(_feature(row, names, origin)))
                first = False
        file.write("\n]}\n")


def _feature(row: dict[str, Any], names: Sequence[str], origin: Sequence[float]) -> dict[str, Any]:
    y0, y1 = row["y0"] - origin[0], row["y1"] - origin[0]
    x0, x1 = row["x0"] - origin[1], row["x1"] - origin[1]
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "detection" if row["scale"] == "cell" else "tile",
            "name": row["scale"],
            "measurements": {name: float(row[name]) for name in names if pd.notna(row[name])},
        },
    }
