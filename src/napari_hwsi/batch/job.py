"""One slide of a batch, how all are analysed, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any, Literal, TypeAlias

from ..cells import offered
from ..errors import InputError
from ..hierarchy import profile_named
from ..hierarchy.options import PatchOptions, RegionShape
from ..hierarchy.plan import chosen_parts
from ..units import as_box, as_mpp

State: TypeAlias = Literal["done", "failed", "stopped"]
STATES: tuple[State, ...] = ("done", "failed", "stopped")


@dataclass(frozen=True)
class Job:
    """One slide to analyse.

    slide: its path or address; name: what its result is called; mpp: µm per level-0 pixel of a slide
    that states none; patient, label: as the user's list has them, '' where it has none.
    Raises InputError without a slide or a name, ResolutionError for a senseless mpp.
    """

    slide: str
    name: str
    mpp: float | None = None
    patient: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        if not self.slide or not self.name:
            raise InputError(f"A job needs a slide and a name for its result, not {self!r}.")
        if self.mpp is not None:
            as_mpp(self.mpp)


@dataclass(frozen=True)
class Settings:
    """How every slide of a batch is analysed: the arguments of :func:`~napari_hwsi.hierarchy.analyze`.

    store: the folder of the results, None for a place beside each slide; version: of the program that
    planned the batch. Raises InputError for what no slide could be analysed with.
    """

    store: str | None = None
    profile: str = "pocket"
    segmenter: str | None = None
    phrases: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None
    box: tuple[int, int, int, int] | None = None
    device: str = "auto"
    normalise: str | None = None
    survivors: int | None = None
    regions: RegionShape = "square"
    icc: bool = False
    version: str = metadata.version("napari-hwsi")

    def __post_init__(self) -> None:
        profile = profile_named(self.profile)
        PatchOptions(self.normalise, self.survivors, self.regions)
        chosen_parts(self.parts)
        if self.phrases is not None:
            profile.patch_encoder().encode_text(self.phrases)
        if self.segmenter is not None:
            offered(self.segmenter)
        if self.box is not None:
            as_box(self.box)
        if self.device.startswith("cuda:"):
            raise InputError(
                f"In a batch each worker has a GPU of its own: device='cuda', not {self.device!r}."
            )

    @property
    def on_gpu(self) -> bool:
        """Whether a worker must have a GPU to take a slide."""
        return self.device == "cuda"


@dataclass(frozen=True)
class Outcome:
    """What became of a slide.

    state: 'done', 'failed' (for the reason) or 'stopped' (run again to go on); store: the folder of its
    result; counts: its regions, patches and cells, where done; seconds: work in this run; starts: how
    often it was begun in this run, more than once where a worker died; worker: host and process;
    thumbnail: a small JPEG of the slide, never of its label, empty where it cannot be read.
    """

    job: Job
    state: State
    reason: str = ""
    store: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    starts: int = 1
    worker: str = ""
    thumbnail: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise InputError(f"A slide ends as {', '.join(STATES)}; not {self.state!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Return all but the picture as plain values that JSON can hold, one level deep."""
        facts = asdict(self)
        job, counts = facts.pop("job"), facts.pop("counts")
        del facts["thumbnail"]
        return job | facts | counts
