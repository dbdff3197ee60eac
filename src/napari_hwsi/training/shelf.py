"""The analysed slides that examples are about, found by their whole names and kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import HwsiError, InputError
from ..hierarchy import open_features, open_result
from ..model import Atlas
from ..progress import Progress, tell
from .examples import Examples, LeftOut, slide_name

_RESULT = ".hwsi.zarr"
_COORDS = "coords_region4096_valid"


@dataclass(frozen=True)
class _Place:
    path: Path
    name: str
    features: bool


class Shelf:
    """Results (``<slide>.hwsi.zarr``) and the release's feature files of many slides.

    folders: each holds results, or is one, or is the folder above the release's files. kept: how many slides
    stay in memory. mpp: µm per level-0 pixel of slides whose feature files do not say it. Raises InputError
    for a folder without slides, and for a name that two of them have.
    """

    def __init__(
        self, folders: Sequence[str | Path], kept: int = 256, mpp: Mapping[str, float] | float | None = None
    ) -> None:
        self._kept, self._mpp = kept, mpp
        self._held: OrderedDict[str, Atlas] = OrderedDict()
        self._places: dict[str, _Place] = {}
        for folder in map(Path, folders):
            found = list(_places(folder))
            if not found:
                raise InputError(
                    f"{folder} holds neither results ({_RESULT}) nor the release's feature files."
                )
            for place in found:
                if other := self._places.get(place.name):
                    raise InputError(
                        f"The slide {place.name} is at {other.path} and at {place.path}. Name one of them."
                    )
                self._places[place.name] = place

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all slides."""
        return tuple(sorted(self._places))

    def __contains__(self, slide: str) -> bool:
        return slide in self._places

    def atlas(self, slide: str) -> Atlas:
        """Return the vectors of a slide; raises the HwsiError that reading them does."""
        if slide not in self._held:
            place = self._places[slide]
            self._held[slide] = Atlas.of(
                open_features(place.path, layout="release", mpp=self._mpp_of(slide), name=slide)
                if place.features
                else open_result(place.path)
            )
            while len(self._held) > self._kept:
                self._held.popitem(last=False)
        self._held.move_to_end(slide)
        return self._held[slide]

    def _mpp_of(self, slide: str) -> float | None:
        return self._mpp.get(slide) if isinstance(self._mpp, Mapping) else self._mpp

    def usable(
        self,
        examples: Examples,
        widths: Mapping[str, int] | None = None,
        progress: Progress | None = None,
    ) -> tuple[Examples, dict[str, int]]:
        """Return the examples whose slides can be read, and the widths of their vectors, by scale.

        Examples of slides that are not here, cannot be read, or have vectors of other widths than ``widths``
        (None: those of the first slide) are left out and named; so are those about a box where nothing is
        analysed. Raises InputError where nothing is left.
        """
        wrong: dict[str, str] = {}
        given = widths is not None
        slides = sorted({example.slide for example in examples.used})
        for done, slide in enumerate(slides):
            tell(progress, done, len(slides), "slides")
            if slide not in self:
                wrong[slide] = f"slide without a store: {slide}"
                continue
            try:
                atlas = self.atlas(slide)
            except HwsiError as error:
                wrong[slide] = f"slide that cannot be read: {slide}: {error}"
                continue
            widths = widths or atlas.widths
            if not given and not widths["cell"]:  # the first slides may be without cells
                widths = {**widths, "cell": atlas.widths["cell"]}
            if odd := [s for s, n in widths.items() if atlas.widths[s] not in (n, 0 if s == "cell" else n)]:
                wrong[slide] = (
                    f"vectors of another width: {slide} has {odd[0]} vectors of {atlas.widths[odd[0]]}, "
                    f"not {widths[odd[0]]}"
                )
        left_out = [LeftOut(e.where, wrong[e.slide]) for e in examples.used if e.slide in wrong]
        for example in examples.used:
            if example.box is None or example.slide in wrong:
                continue
            try:
                self.atlas(example.slide).see(example.box)
            except InputError as error:
                left_out.append(LeftOut(example.where, f"box that is not analysed: {error}"))
        kept = examples.without(left_out)
        if not kept.used or widths is None:
            raise InputError(f"No example is left: {'; '.join(f'{n} {r}' for r, n in kept.counts.items())}.")
        return kept, dict(widths)


def _places(folder: Path) -> Iterable[_Place]:
    if folder.name.endswith(_RESULT):
        yield _Place(folder, slide_name(folder.name), False)
    elif (folder / _COORDS).is_dir():
        for file in sorted((folder / _COORDS).glob("*.h5")):
            yield _Place(folder, file.stem, True)
    elif folder.is_dir():
        for path in sorted(folder.glob(f"*{_RESULT}")):
            yield _Place(path, slide_name(path.name), False)
