"""Cells in the files of other tools: QuPath's GeoJSON, GeoParquet. There x comes before y."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from ..disk import written_whole
from ..errors import HwsiError, InputError, StoreError
from ..units import Mpp, as_mpp
from .cells import Cells
from .contours import Contours

_FACTS = "napari_hwsi"
_TOKENS = "tokens"
_ROWS = 65_536
_COLOURS = ((230, 60, 60), (40, 170, 90), (60, 110, 230), (235, 180, 40), (160, 80, 200), (40, 180, 200))


@dataclass(frozen=True)
class _Facts:
    """What a file written here says of its cells; the defaults are those of other tools' files.

    origin: the level-0 place (y, x) that outlines count from.
    """

    mpp: Mpp | None = None
    type_names: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    origin: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, path: Path, values: Any) -> _Facts:
        """Check facts read from JSON; raises InputError."""
        try:
            y, x = map(float, values.get("origin", cls.origin))
            mpp, columns = values.get("mpp"), values.get("columns")
            return cls(
                None if mpp is None else as_mpp(mpp),
                tuple(map(str, values.get("type_names", ()))),
                None if columns is None else tuple(map(str, columns)),
                (y, x),
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged where it tells of its cells: {error}.") from error


def _facts_of(cells: Cells) -> _Facts:
    return _Facts(cells.mpp, cells.type_names, tuple(map(str, cells.table.columns)))


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a draft of ``path`` as :func:`written_whole` does; raises StoreError when the disk refuses."""
    try:
        with written_whole(path) as draft:
            yield draft
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}.") from error


def write_geojson(cells: Cells, path: Path, origin: Sequence[float] = (0, 0)) -> None:
    """Write a FeatureCollection, a line a cell, as QuPath's ``GsonTools`` reads it.

    Outlines are of nuclei, so objects are detections; a class has name and colour; measurements
    are the table's columns and ``probability``, not-a-number left out. A foreign member holds
    what QuPath has no place for.
    """
    shift = np.array(origin, np.float32)
    facts = asdict(_facts_of(cells)) | {"origin": shift.tolist()}
    classes = [
        json.dumps({"name": name, "color": list(_COLOURS[i % len(_COLOURS)])})
        for i, name in enumerate(cells.type_names)
    ]
    with writing(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.write(f'{{"type": "FeatureCollection", "{_FACTS}": {json.dumps(facts)}, "features": [')
        for start in range(0, len(cells), _ROWS):
            part = cells.select(np.arange(start, min(start + _ROWS, len(cells))))
            measured = part.table.assign(probability=part.probabilities)
            columns = [json.dumps(str(name)) for name in measured.columns]
            rows = zip(*(_shortest(measured[name].to_numpy()) for name in measured.columns), strict=True)
            points = _shortest((part.contours.vertices - shift)[:, ::-1].ravel())
            offsets = part.contours.offsets * 2
            for i, row in enumerate(rows):
                ring = points[offsets[i] : offsets[i + 1]]
                ring = [*ring, *ring[:2]]
                pairs = ",".join(f"[{x},{y}]" for x, y in zip(ring[::2], ring[1::2], strict=True))
                values = ",".join(f"{n}:{v}" for n, v in zip(columns, row, strict=True) if v != "nan")
                file.write(
                    f'{"," if start + i else ""}\n{{"type":"Feature","geometry":{{"type":"Polygon",'
                    f'"coordinates":[[{pairs}]]}},"properties":{{"objectType":"detection",'
                    f'"classification":{classes[part.types[i]]},"measurements":{{{values}}}}}}}'
                )
        file.write("\n]}\n")


def read_geojson(path: Path, mpp: float | Sequence[float] | None = None) -> Cells:
    """Read polygons of a FeatureCollection or a bare list of Features.

    Features are decoded one at a time. Of a QuPath cell the nucleus is taken; a MultiPolygon is
    a cell a polygon; holes and points are passed over. Raises InputError.
    """
    facts, features = _features(path)
    origin = np.array(facts.origin, np.float32)
    rings: list[NDArray[np.float32]] = []
    names: list[str] = []
    columns: dict[str, array[float]] = {}
    for feature in features:
        try:
            properties = feature.get("properties") or {}
            geometry = feature.get("nucleusGeometry") or feature.get("geometry") or {}
            for outline in _polygons(geometry):
                for name, value in _measurements(properties.get("measurements")):
                    column = columns.setdefault(name, array("f"))
                    column.extend([math.nan] * (len(rings) - len(column)))
                    column.append(value)
                rings.append(np.array(outline[0], np.float32)[:, 1::-1] + origin)
                names.append(_class_name(properties.get("classification")))
        except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
            raise InputError(f"{path}: a feature after cell {len(rings)} cannot be read: {error}.") from error
    wanted = facts.columns or sorted(columns.keys() - {"probability"})
    values = {name: np.full(len(rings), np.nan, np.float32) for name in (*wanted, "probability")}
    for name in values.keys() & columns.keys():
        values[name][: len(columns[name])] = columns[name]
    probability = values.pop("probability")
    probability = np.where(np.isnan(probability), np.float32(1), probability)
    return _assemble(path, Contours.of(rings), names, probability, pd.DataFrame(values), facts, mpp)


def write_parquet(cells: Cells, path: Path) -> None:
    """Write GeoParquet 1.1: ``geometry`` (WKB, x before y), ``type``, ``probability``, the table.

    Tokens, where there are any, are a column ``tokens`` of lists of float32.
    """
    facts = asdict(_facts_of(cells))
    geometry = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    metadata = {"geo": json.dumps(geo), _FACTS: json.dumps(facts)}
    kinds = pa.dictionary(pa.uint8(), pa.string())
    width = None if cells.tokens is None else cells.tokens.shape[1]
    token = [] if width is None else [(_TOKENS, pa.list_(pa.float32(), width))]
    schema = pa.schema(
        [("geometry", pa.binary()), ("type", kinds), ("probability", pa.float32())]
        + [(str(name), pa.from_numpy_dtype(cells.table[name].dtype)) for name in cells.table.columns]
        + token,
        metadata=metadata,
    )
    with writing(path) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        for start in range(0, max(len(cells), 1), _ROWS):
            part = cells.select(np.arange(start, min(start + _ROWS, len(cells))))
            types = pa.DictionaryArray.from_arrays(pa.array(part.types), pa.array(cells.type_names))
            columns = [pa.array(part.table[name].to_numpy()) for name in part.table.columns]
            if part.tokens is not None:
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(part.tokens.ravel()), width))
            wkb = pa.array(shapely.to_wkb(part.contours.polygons()), pa.binary())
            writer.write_table(pa.table([wkb, types, pa.array(part.probabilities), *columns], schema=schema))


def read_parquet(path: Path, mpp: float | Sequence[float] | None = None) -> Cells:
    """Read a Parquet file with a WKB ``geometry`` column of polygons. Raises InputError."""
    try:
        stored = pq.read_table(path)
        metadata = stored.schema.metadata or {}
        facts = _Facts.of(path, json.loads(metadata.get(_FACTS.encode(), b"{}")))
        shapes = shapely.from_wkb(stored.column("geometry").to_numpy(zero_copy_only=False))
        if (shapely.get_type_id(shapes) != shapely.GeometryType.POLYGON).any():
            raise InputError(f"{path} holds other shapes than polygons.")
        points, rings = shapely.get_coordinates(shapely.get_exterior_ring(shapes), return_index=True)
        last = np.diff(rings, append=-1) != 0
        offsets = np.append(0, np.cumsum(np.bincount(rings[~last], minlength=len(shapes)))).astype(np.int64)
        contours = Contours(points[~last][:, ::-1].astype(np.float32), offsets)
        own = [name for name in stored.column_names if name not in {"geometry", "type", "probability"}]
        numeric = [name for name in own if pa.types.is_floating(stored.schema.field(name).type)]
        wanted = numeric if facts.columns is None else facts.columns
        table = pd.DataFrame({name: stored.column(name).to_numpy() for name in wanted})
        names = (
            stored.column("type").to_pylist() if "type" in stored.column_names else ["nucleus"] * len(shapes)
        )
        sure = "probability" in stored.column_names
        probability = stored.column("probability").to_numpy() if sure else np.ones(len(shapes))
        cells = _assemble(path, contours, names, probability, table, facts, mpp)
        return replace(cells, tokens=_tokens(stored))
    except HwsiError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        pa.ArrowException,
        shapely.errors.ShapelyError,
    ) as error:
        raise InputError(f"{path} cannot be read as cells: {error}.") from error


def _tokens(stored: pa.Table) -> NDArray[np.float32] | None:
    if _TOKENS not in stored.column_names or not pa.types.is_fixed_size_list(stored.field(_TOKENS).type):
        return None
    width = stored.field(_TOKENS).type.list_size
    flat = stored.column(_TOKENS).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, width)


def _assemble(
    path: Path,
    contours: Contours,
    names: Sequence[str],
    probability: NDArray[Any],
    table: pd.DataFrame,
    facts: _Facts,
    mpp: float | Sequence[float] | None,
) -> Cells:
    """Return cells with the table they were written with; one of other tools stands beside a new one."""
    known = {name: i for i, name in enumerate(dict.fromkeys([*facts.type_names, *map(str, names)]))}
    if len(known) > 256:
        raise InputError(f"{path} holds {len(known)} classes of cells; 256 can be told apart.")
    cells = Cells.of(
        contours,
        types=[known[str(name)] for name in names],
        type_names=tuple(known) or ("nucleus",),
        probabilities=probability,
        mpp=facts.mpp or mpp,
    )
    if facts.columns is None:
        extra = table[[name for name in table.columns if name not in cells.table.columns]]
        return replace(cells, table=pd.concat([cells.table, extra], axis=1))
    missing = {"centroid_y_px", "centroid_x_px"} - {*table.columns}
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    centroids = table[["centroid_y_px", "centroid_x_px"]].to_numpy(np.float32)
    return replace(cells, table=table, centroids=centroids)


def _features(path: Path) -> tuple[_Facts, Iterator[dict[str, Any]]]:
    """Return this package's facts, if any, and the features one by one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    head = text.find('"features"')
    start = text.find("[", head if head >= 0 else 0)
    if start < 0 or (head < 0 and text[:start].strip()):
        raise InputError(f"{path} is not GeoJSON: it holds no list of features.")
    facts = _Facts()
    mark = text.find(f'"{_FACTS}"', 0, max(head, 0))
    if mark >= 0:
        values, _ = _decoded(path, text, text.find("{", mark))
        facts = _Facts.of(path, values)

    def each() -> Iterator[dict[str, Any]]:
        place = start + 1
        while True:
            while place < len(text) and text[place] in " \t\r\n,":
                place += 1
            if place < len(text) and text[place] == "]":
                return
            feature, place = _decoded(path, text, place)
            yield feature

    return facts, each()


def _decoded(path: Path, text: str, place: int) -> tuple[Any, int]:
    """Return the JSON value at a place and where it ends; raises InputError."""
    try:
        return json.JSONDecoder().raw_decode(text, place)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} breaks off or is not JSON at character {place}.") from error


def _polygons(geometry: dict[str, Any]) -> list[Any]:
    """Return the coordinates of each polygon; none for other shapes."""
    coordinates = geometry.get("coordinates")
    if geometry.get("type") == "Polygon":
        return [coordinates]
    return list(coordinates or []) if geometry.get("type") == "MultiPolygon" else []


def _class_name(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or ": ".join(value.get("names") or []) or "nucleus")
    return str(value or "nucleus")


def _measurements(value: Any) -> Iterable[tuple[str, float]]:
    if isinstance(value, list):  # QuPath before 0.4
        return [(str(item["name"]), float(item["value"])) for item in value]
    return [(str(name), float(number)) for name, number in (value or {}).items()]


def _shortest(values: NDArray[Any]) -> list[str]:
    """Return each float32 in the fewest digits that give it back."""
    return np.asarray(values, np.float32).astype("U").tolist()
