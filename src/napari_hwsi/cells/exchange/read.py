"""Which tool wrote a file, by its content."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..cells import Cells
from .commas import read_csv
from .geojson import facts_in, read_features
from .json_stream import JsonStream, open_json
from .others import read_cellvit, read_instances
from .parquet import read_parquet

_KNOWN = "GeoJSON (also gzipped), Parquet or CSV with outlines, CellViT's, HoVer-Net's or TIAToolbox's JSON"


def read_cells(path: Path, mpp: float | Sequence[float] | None = None, scale: float | None = None) -> Cells:
    """Read cells from a file of any known format; see :meth:`Cells.from_file`."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; cells are read from files: {_KNOWN}.")
    head = _head(path)
    if head.startswith(b"PAR1"):
        return read_parquet(path, mpp)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in (b"[", b"{"):
        with open_json(path) as stream:
            return _read_json(stream, path, mpp, scale)
    if b"," in head.split(b"\n")[0]:
        return read_csv(path, mpp)
    raise InputError(f"{path} is not recognised as cells. What is read: {_KNOWN}.")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(4096)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as packed:
                head = packed.read(4096)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    return head


def _read_json(
    stream: JsonStream, path: Path, mpp: float | Sequence[float] | None, scale: float | None
) -> Cells:
    members: dict[str, Any] = {}
    if stream.peek() == "[":
        return read_features(stream.items(), path, facts_in(members, path), mpp)
    keys = stream.keys()
    for key in keys:
        if key == "features":
            return read_features(stream.items(), path, facts_in(members, path), mpp)
        if key == "cells":
            return read_cellvit(stream, members, path, mpp)
        if key == "nuc":
            inner = ((name, stream.value()) for name in stream.keys())  # noqa: SIM118
            return read_instances(inner, members, path, mpp, scale)
        value = stream.value()
        if isinstance(value, dict) and "contour" in value:
            return read_instances(_chained((key, value), keys, stream), members, path, mpp, scale)
        members[key] = value
    raise InputError(f"{path} is JSON, but holds no cells. What is read: {_KNOWN}.")


def _chained(first: tuple[str, Any], keys: Iterator[str], stream: JsonStream) -> Iterator[tuple[str, Any]]:
    yield first
    for key in keys:
        yield key, stream.value()
