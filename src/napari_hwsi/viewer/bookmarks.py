"""Places of a slide that the user named. They belong to its content, wherever the file lies."""

from __future__ import annotations

import json
from pathlib import Path

from ..disk import write_whole
from ..errors import InputError, StoreError
from ..home import home
from .region import Place


class Bookmarks:
    """The named views of one slide, in the order they were made, kept in the user's data folder.

    Every change is on the disk before the method returns. Methods raise StoreError where the file
    cannot be read or written, InputError for a name that is empty, unknown or taken.
    """

    def __init__(self, fingerprint: str) -> None:
        self.path: Path = home() / "bookmarks" / f"{fingerprint}.json"

    def places(self) -> dict[str, Place]:
        """Return the boxes, (y0, x0, y1, x1) in level-0 px, by name."""
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(name): _place(box) for name, box in known.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise StoreError(
                f"The bookmarks of this slide cannot be read from {self.path}: {error}. "
                "Mend or remove that file."
            ) from error

    def add(self, name: str, box: Place) -> None:
        """Name a view; a name that is taken is refused."""
        places = self.places()
        self._write(places | {_free(name, places): box})

    def rename(self, old: str, new: str) -> None:
        """Give a bookmark another name; its place in the order stays."""
        places = self.places()
        self._require(old, places)
        if new.strip() != old:
            name = _free(new, places)
            self._write({name if known == old else known: box for known, box in places.items()})

    def delete(self, name: str) -> None:
        """Forget a bookmark."""
        places = self.places()
        self._require(name, places)
        self._write({known: box for known, box in places.items() if known != name})

    def __getitem__(self, name: str) -> Place:
        """Return the box of a bookmark."""
        places = self.places()
        self._require(name, places)
        return places[name]

    def _require(self, name: str, places: dict[str, Place]) -> None:
        if name not in places:
            raise InputError(f"This slide has no bookmark {name!r}; it has {', '.join(places) or 'none'}.")

    def _write(self, places: dict[str, Place]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(places, indent=1, ensure_ascii=False).encode())
        except OSError as error:
            raise StoreError(f"The bookmark cannot be kept in {self.path}: {error}.") from error


def _place(box: list[float]) -> Place:
    y0, x0, y1, x1 = (float(value) for value in box)
    if not (y0 < y1 and x0 < x1):
        raise ValueError(f"{box} is no place")
    return y0, x0, y1, x1


def _free(name: str, places: dict[str, Place]) -> str:
    name = name.strip()
    if not name:
        raise InputError("Give the bookmark a name.")
    if name in places:
        raise InputError(f"There is a bookmark {name!r} on this slide already. Choose another name.")
    return name
