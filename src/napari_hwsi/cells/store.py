"""Cells on disk while they are being found: a folder with a file a tile."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, StoreError
from .cells import Cells
from .exchange.facts import writing
from .exchange.parquet import read_parquet, write_parquet

logger = logging.getLogger(__name__)

_VERSION = 2


@dataclass(frozen=True)
class TileStore:
    """Tiles of cells in a folder, each written whole or not at all; ``facts.json`` says of what.

    batch: tiles a network was given at a time when the store was begun, and is until it is done.
    """

    path: Path
    batch: int = 1

    @classmethod
    def open(cls, path: str | Path, facts: Mapping[str, Any]) -> TileStore:
        """Open or start a store of these facts (JSON values, among them 'fingerprint', 'slide' and 'batch').

        The batch of a store that was begun may differ, and stays. Raises StoreError where the folder
        holds something else, or cannot be written.
        """
        folder = Path(path)
        wanted = json.loads(json.dumps({"version": _VERSION, **facts}))
        sidecar = folder / "facts.json"
        try:
            begun = sidecar.exists()
            if begun and sidecar.stat().st_size:
                found = json.loads(sidecar.read_text(encoding="utf-8"))
                _compare(folder, found, wanted)
                return cls(folder, int(found.get("batch", 1)))
            if begun:  # the power failed right then: nothing says what the tiles are of
                for tile in folder.glob("tile-*.parquet"):
                    tile.unlink()
            elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise StoreError(f"{folder} is there and holds no cells. Choose a new folder for the store.")
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"The store {folder} cannot be used: {error}.") from error
        with writing(sidecar) as draft:
            draft.write_text(json.dumps(wanted, indent=2, sort_keys=True), encoding="utf-8")
        return cls(folder, int(wanted.get("batch", 1)))

    def read(self, tile: int) -> Cells | None:
        """Return the cells of a tile, None where it is not done, or damaged."""
        part = self._part(tile)
        if not part.exists():
            return None
        try:
            return read_parquet(part)
        except InputError as error:
            logger.warning("%s is done anew: %s", part, error)
            return None

    def write(self, tile: int, cells: Cells) -> None:
        """Keep the cells of a tile. Raises StoreError when the disk refuses."""
        write_parquet(cells, self._part(tile))

    def _part(self, tile: int) -> Path:
        return self.path / f"tile-{tile:06d}.parquet"


def _compare(folder: Path, found: Any, wanted: Mapping[str, Any]) -> None:
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise StoreError(f"{folder} is a store of another version; choose a new folder.")
    if found.get("fingerprint") != wanted["fingerprint"]:
        raise StoreError(
            f"{folder} holds the cells of another slide ({found.get('slide')}); "
            f"choose a new folder for {wanted['slide']}."
        )
    other = sorted(name for name in wanted.keys() - {"slide", "batch"} if found.get(name) != wanted[name])
    if other:
        raise StoreError(
            f"{folder} was made with other settings ({', '.join(other)}). "
            "Run with the same ones to go on, or choose a new folder."
        )
