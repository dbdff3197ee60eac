"""GeoParquet: outlines as WKB, x before y."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ...errors import HwsiError, InputError
from ..cells import Cells
from ..contours import Contours, concatenate
from .facts import BLOCK, FACTS, OWN, Facts, Kinds, blocks, put_together, writing

_TOKENS = "tokens"


def write_parquet(cells: Cells, path: Path) -> None:
    """Write GeoParquet 1.1: ``geometry`` (WKB), ``type``, ``probability``, the table.

    Tokens, where there are any, are a column ``tokens`` of lists of float32.
    """
    facts = Facts.of(cells)
    geometry = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    metadata = {"geo": json.dumps(geo), FACTS: json.dumps(facts.plain())}
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
        for part in blocks(cells):
            types = pa.DictionaryArray.from_arrays(pa.array(part.types), pa.array(cells.type_names))
            columns = [pa.array(part.table[name].to_numpy()) for name in part.table.columns]
            if part.tokens is not None:
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(part.tokens.ravel()), width))
            wkb = pa.array(shapely.to_wkb(part.contours.polygons()), pa.binary())
            writer.write_table(pa.table([wkb, types, pa.array(part.probabilities), *columns], schema=schema))


def read_parquet(path: Path, mpp: float | Sequence[float] | None = None) -> Cells:
    """Read a Parquet file with a WKB ``geometry`` column of polygons. Raises InputError."""
    try:
        with pq.ParquetFile(path) as file:
            return _read(file, path, mpp)
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


def _read(file: pq.ParquetFile, path: Path, mpp: float | Sequence[float] | None) -> Cells:
    schema = file.schema_arrow
    facts = Facts.read(path, json.loads((schema.metadata or {}).get(FACTS.encode(), b"{}")))
    own = [name for name in schema.names if name not in OWN]
    wanted = own if facts.columns is None else [*facts.columns]
    if facts.columns is None:
        wanted = [name for name in own if _is_number(schema.field(name).type)]
    lost = {"geometry", *wanted} - {*schema.names}
    if lost:
        raise InputError(f"{path} lacks the columns {', '.join(sorted(lost))}.")
    kinds = Kinds(path, {name: i for i, name in enumerate(facts.type_names)})
    outlines: list[Contours] = []
    types: list[np.ndarray] = []
    sure: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    tokens: list[np.ndarray] = []
    for part in file.iter_batches(BLOCK, columns=[n for n in (*OWN, _TOKENS, *wanted) if n in schema.names]):
        outlines.append(_contours(part.column("geometry"), path))
        if "type" in schema.names:
            named = part.column("type").cast(pa.string()).dictionary_encode()
            numbers = np.array([kinds.number(str(name)) for name in named.dictionary.to_pylist()], np.uint8)
            types.append(numbers[named.indices.to_numpy()] if len(named) else np.zeros(0, np.uint8))
        else:
            types.append(np.full(len(part), kinds.number("nucleus"), np.uint8))
        held = "probability" in schema.names
        sure.append(part.column("probability").to_numpy() if held else np.ones(len(part), np.float32))
        for name in wanted:
            columns[name].append(part.column(name).to_numpy(zero_copy_only=False))
        if _TOKENS in schema.names and pa.types.is_fixed_size_list(schema.field(_TOKENS).type):
            flat = part.column(_TOKENS).flatten().to_numpy(zero_copy_only=False)
            width = schema.field(_TOKENS).type.list_size
            tokens.append(flat.reshape(-1, width).astype(np.float32, copy=False))
    empty = np.zeros(0, np.float32)
    table = pd.DataFrame(
        {
            name: np.concatenate(parts) if parts else empty.astype((facts.columns or {}).get(name, "float32"))
            for name, parts in columns.items()
        },
        index=range(sum(map(len, types))),
    )
    cells = put_together(
        path,
        concatenate(outlines),
        kinds,
        np.concatenate([*types, np.zeros(0, np.uint8)]),
        np.concatenate([*sure, empty]).astype(np.float32, copy=False),
        table,
        facts,
        mpp,
    )
    return replace(cells, tokens=np.concatenate(tokens)) if tokens else cells


def _contours(wkb: pa.Array, path: Path) -> Contours:
    shapes = shapely.from_wkb(wkb.to_numpy(zero_copy_only=False))
    if (shapely.get_type_id(shapes) != shapely.GeometryType.POLYGON).any():
        raise InputError(f"{path} holds other shapes than polygons.")
    points, rings = shapely.get_coordinates(shapely.get_exterior_ring(shapes), return_index=True)
    last = np.diff(rings, append=-1) != 0
    offsets = np.append(0, np.cumsum(np.bincount(rings[~last], minlength=len(shapes)))).astype(np.int64)
    return Contours(points[~last][:, ::-1].astype(np.float32), offsets)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))
