"""QuPath's GeoJSON. There x comes before y."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from ...errors import InputError
from ..cells import Cells
from .facts import FACTS, Facts, blocks, writing
from .gather import Gathered
from .texts import joined, lines, listed, numbers, rings

# Okabe & Ito 2008: told apart with any colour vision, those first that stand out on H&E.
COLOURS = (
    (240, 228, 66), (86, 180, 233), (213, 94, 0), (0, 158, 115),
    (204, 121, 167), (0, 114, 178), (230, 159, 0), (0, 0, 0),
)  # fmt: skip

_BLOCK = 4_096  # a cell is 1.5 kB of text, which stands in memory a few times
_DRAWN = frozenset({"annotation", "tile", "tmaCore", "root"})


def write_geojson(cells: Cells, path: Path, origin: Sequence[float] = (0, 0)) -> None:
    """Write a FeatureCollection, a line a cell, as QuPath's ``GsonTools`` reads it; gzipped for ``.gz``.

    Outlines are of nuclei, so objects are detections; a class has name and colour; measurements
    are the table's columns and ``probability``, what is not finite left out. A foreign member holds
    what QuPath has no place for.
    """
    facts = Facts.of(cells, origin)
    kinds = pa.array([_classification(name, i) for i, name in enumerate(cells.type_names)], pa.string())
    with _collection(path, facts.plain()) as file:
        between = b"\n"
        for part in blocks(cells, _BLOCK):
            if not len(part):
                continue
            measured = [
                joined(f"{json.dumps(str(name))}:", numbers(values.to_numpy()))
                for name, values in (*part.table.items(), ("probability", pd.Series(part.probabilities)))
            ]
            features = joined(
                '{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[',
                rings(part.contours, facts.origin, ("[", ",", "]"), ","),
                ']]},"properties":{"objectType":"detection","classification":',
                kinds.take(pa.array(part.types)),
                ',"measurements":{',
                listed(measured, ","),
                "}}}",
            )
            file.write(between)
            file.write(lines(features, ",\n"))
            between = b",\n"


def write_geometries(
    shapes: Sequence[Any],
    path: Path,
    object_type: str,
    table: pd.DataFrame,
    name: str | None,
    origin: Sequence[float],
) -> None:
    """Write geometries as :func:`.write_objects` says, a line each."""
    moved = shapely.transform(np.array(shapes, object), lambda places: places - (origin[1], origin[0]))
    with _collection(path, None) as file:
        for i, (shape, row) in enumerate(zip(moved, table.to_dict("records"), strict=True)):
            properties: dict[str, Any] = {"objectType": object_type}
            if name:
                properties["classification"] = json.loads(_classification(name, 0))
            said = {str(key): value for key, value in row.items() if not pd.isna(value)}
            measured = {key: float(v) for key, v in said.items() if isinstance(v, int | float | np.number)}
            told = {key: str(value) for key, value in said.items() if key not in measured}
            properties |= {"measurements": measured} if measured else {}
            properties |= {"metadata": told} if told else {}
            feature = {"type": "Feature", "geometry": json.loads(shapely.to_geojson(shape))}
            line = json.dumps(feature | {"properties": properties}, separators=(",", ":"))
            file.write(f"{',' if i else ''}\n{line}".encode())


def read_features(
    features: Iterator[Any], path: Path, facts: Facts, mpp: float | Sequence[float] | None
) -> Cells:
    """Return the cells of GeoJSON features: their polygons, classes and measurements.

    Of a QuPath cell the nucleus is taken; a MultiPolygon is a cell a polygon; holes are passed over, and
    where there are cells or detections so are annotations, tiles and cores. Raises InputError for
    features that cannot be read, and a file of points alone.
    """
    gathered = Gathered(path, facts)
    drawn, points = bytearray(), 0
    for feature in features:
        try:
            properties = feature.get("properties") or {}
            geometry = feature.get("nucleusGeometry") or feature.get("geometry") or {}
            outlines = _polygons(geometry)
            points += geometry.get("type") in ("Point", "MultiPoint")
            measured = _measurements(properties.get("measurements"))
            sure = measured.pop("probability", None)
            kind = _class_name(properties.get("classification"))
            for outline in outlines:
                gathered.add(outline[0], kind, sure, measured)
                drawn.append(_is_drawn(properties))
        except (AttributeError, TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
            raise gathered.refuse(error) from error
    if points and not len(gathered):
        raise InputError(f"{path} holds points alone; cells have outlines. Take the file with the outlines.")
    found = np.frombuffer(drawn, np.uint8) == 0
    return gathered.cells(mpp, keep=found if found.any() else None)


def facts_in(members: Mapping[str, Any], path: Path) -> Facts:
    """Return this package's facts among the members of a collection; those of another tool's file else."""
    return Facts.read(path, members[FACTS]) if FACTS in members else Facts()


@contextmanager
def _collection(path: Path, facts: Mapping[str, Any] | None) -> Iterator[BinaryIO]:
    """Give a file that features are written to."""
    head = '{"type": "FeatureCollection", '
    head += f'"{FACTS}": {json.dumps(facts)}, ' if facts is not None else ""
    with writing(path) as draft, draft.open("wb") as raw:
        packed = path.suffix.lower() == ".gz"
        file: Any = gzip.GzipFile("", "wb", 3, raw, mtime=0) if packed else raw
        file.write(f'{head}"features": ['.encode())
        yield file
        file.write(b"\n]}\n")
        if packed:
            file.close()


def _classification(name: str, number: int) -> str:
    return json.dumps({"name": name, "color": list(COLOURS[number % len(COLOURS)])})


def _is_drawn(properties: Mapping[str, Any]) -> bool:
    kind = properties.get("objectType") or properties.get("object_type") or "annotation"
    return kind in _DRAWN


def _polygons(geometry: Mapping[str, Any]) -> Sequence[Any]:
    """Return the coordinates of each polygon; none for other shapes."""
    coordinates = geometry.get("coordinates")
    if geometry.get("type") == "Polygon":
        return [coordinates]
    return list(coordinates or []) if geometry.get("type") == "MultiPolygon" else []


def _class_name(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or ": ".join(value.get("names") or []) or "nucleus")
    return str(value or "nucleus")


def _measurements(value: Any) -> dict[str, float]:
    if isinstance(value, list):  # QuPath before 0.4
        return {str(item["name"]): item["value"] for item in value}
    return dict(value or {})
