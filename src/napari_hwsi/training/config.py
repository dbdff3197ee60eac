"""What a training run is told, as YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_type_hints

import yaml  # type: ignore[import-untyped]

from ..errors import InputError
from ..model import SCALES

Stage: TypeAlias = Literal["stage1", "stage2", "stage3"]
STAGES: tuple[Stage, ...] = get_args(Stage)

Part = TypeVar("Part")


@dataclass(frozen=True)
class Data:
    """files: of examples, for training; stores: folders of results or of the release's features; validation:
    files of their own, None: a share of the patients (seed: which); patients: a CSV of slide, patient;
    encoding: of CSV files; kept: slides in memory; mpp: µm per level-0 pixel where feature files lack it;
    together: questions about the same box that share one look at it, at the most (stages 2 and 3).
    """

    files: tuple[str, ...]
    stores: tuple[str, ...]
    validation: tuple[str, ...] | None = None
    share: float = 0.1
    seed: int = 0
    patients: str | None = None
    encoding: str = "utf-8"
    kept: int = 256
    mpp: float | None = None
    together: int = 1

    def __post_init__(self) -> None:
        if self.together < 1:
            raise InputError(f"together is at least 1, not {self.together}.")


@dataclass(frozen=True)
class Tokens:
    """How slides become tokens. kind: 'concatenated' [paper] or 'resampled' [release]; scales: that are used;
    budget: tokens at the most; filter: whether the filter chooses the patches; hidden, dropout: of the
    projectors; tallies: sums over all patches of the box, so that the model can count; queries: of the
    resampler; placement: see :class:`~napari_hwsi.model.chat.Chat`; system: what the model is told first.
    """

    kind: Literal["concatenated", "resampled"] = "concatenated"
    scales: tuple[str, ...] = SCALES
    budget: int = 2048
    filter: bool = True
    hidden: int = 1024
    dropout: float = 0.1
    tallies: int = 0
    queries: int = 64
    placement: Literal["template", "before"] = "template"
    system: str = "You are an expert histopathology assistant."


@dataclass(frozen=True)
class Language:
    """The language model. place: folder or hub id, None: one made new by ``new`` (see
    :func:`~napari_hwsi.model.new_language`), with a vocabulary learned from the training texts; trains: what
    of it learns; lora: its settings; four_bit: hold it in four bits; checkpointing: compute activations
    twice instead of keeping them.
    """

    place: str | None = None
    new: Mapping[str, Any] | None = None
    trains: Literal["nothing", "lora", "all"] = "nothing"
    lora: Mapping[str, Any] | None = None
    four_bit: bool = False
    checkpointing: bool = False


@dataclass(frozen=True)
class Losses:
    """Weights of the parts of the loss, and the form of the last two: 'paper' or 'release'. queue: units of
    earlier batches that serve as negatives, a scale.
    """

    language: float = 1.0
    contrast: float = 0.0
    consistency: float = 0.0
    form: Literal["paper", "release"] = "paper"
    temperature: float = 0.02
    queue: int = 1024


@dataclass(frozen=True)
class Schedule:
    """steps: of the optimiser; batch: examples a step, over all devices, those that share a look counting as
    one; micro: examples a device at a time;
    rate: highest learning rate, after ``warmup`` steps, then a cosine down to 0; decay: of weights (AdamW);
    clip: largest norm of the gradient; precision: of products, 'float32' or 'bf16'; validate: every so many
    steps; save: likewise, what a killed run goes on from.
    """

    steps: int
    rate: float
    batch: int = 8
    micro: int = 4
    warmup: int = 20
    decay: float = 0.01
    clip: float = 1.0
    precision: Literal["float32", "bf16"] = "float32"
    validate: int = 100
    save: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "micro", "validate", "save"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is at least 1, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Encoders:
    """Stage 1: the space in which vectors and words meet, and the text encoder, a small transformer of our
    own; vocabulary: its tokens; projectors into that space have ``hidden`` units. text: the folder of a text
    model of transformers to take instead, as it is.
    """

    width: int = 256
    hidden: int = 512
    dropout: float = 0.1
    vocabulary: int = 4096
    layers: int = 4
    heads: int = 4
    longest: int = 128
    text: str | None = None


@dataclass(frozen=True)
class Config:
    """One run. out: its folder; start: the folder of the stage before, None where there is none."""

    out: str
    data: Data
    schedule: Schedule
    losses: Losses = field(default_factory=Losses)
    tokens: Tokens = field(default_factory=Tokens)
    language: Language = field(default_factory=Language)
    encoders: Encoders = field(default_factory=Encoders)
    start: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def read_config(path: str | Path, changes: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration; its paths are relative to its own folder.

    path: a YAML file, or the name of one that comes with the package, such as 'pocket-stage2'; its paths are
    then relative to the working folder. changes: values by dotted name that go before the file's, such as
    {"schedule.steps": 10}. Raises InputError, naming the field, for one that is unknown, missing or wrong.
    """
    file = Path(path)
    folder = file.parent
    if not file.is_file():
        packaged = resources.files(__package__) / "configs" / f"{path}.yaml"
        if not packaged.is_file():
            raise InputError(
                f"{path}: no such configuration; the package has {', '.join(packaged_configs())}."
            )
        file, folder = Path(str(packaged)), Path()
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected fields such as out, data and schedule.")
    for name, value in (changes or {}).items():
        _set(content, name, value, file)
    return _located(_part(Config, content, str(file)), folder)


def changes_from(pairs: Iterable[str]) -> dict[str, Any]:
    """Return changes for :func:`read_config` from texts FIELD=VALUE, the value as YAML; raises InputError."""
    changes = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        try:
            changes[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{pair!r}: the value cannot be read as YAML: {error}") from error
        if not mark or not name.strip():
            raise InputError(f"{pair!r} is not of the form FIELD=VALUE, such as schedule.steps=100.")
    return changes


def packaged_configs() -> list[str]:
    """Return the names of the configurations that come with the package."""
    files = (resources.files(__package__) / "configs").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def _set(content: dict[str, Any], name: str, value: Any, file: Path) -> None:
    *groups, last = name.split(".")
    for group in groups:
        content = content.setdefault(group, {})
        if not isinstance(content, dict):
            raise InputError(f"{file}: {group} has no fields, so {name} cannot be set.")
    content[last] = value


_PARTS = {
    "data": Data,
    "schedule": Schedule,
    "losses": Losses,
    "tokens": Tokens,
    "language": Language,
    "encoders": Encoders,
}


def _part(kind: type[Part], content: Any, where: str) -> Part:
    """Return a dataclass of plain values; raises InputError, naming the field."""
    if not isinstance(content, Mapping):
        raise InputError(f"{where}: expected fields, found {content!r}.")
    hints = get_type_hints(kind)
    if unknown := sorted(content.keys() - hints.keys()):
        raise InputError(f"{where}: unknown field {unknown[0]}; known: {', '.join(hints)}.")
    values: dict[str, Any] = {}
    for name, value in content.items():
        if kind is Config and name in _PARTS:
            values[name] = _part(_PARTS[name], value, f"{where}, {name}")
            continue
        values[name] = _value(hints[name], value, f"{where}, {name}")
    required = {f.name for f in fields(kind) if f.default is f.default_factory}  # type: ignore[arg-type]
    if lacking := sorted(required - values.keys()):
        raise InputError(f"{where}: the field {lacking[0]} is missing.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str) -> Any:
    choices = get_args(hint)
    if hint in (str, int, float, bool):
        kinds = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}[hint]
        if not isinstance(value, kinds) or (isinstance(value, bool) and hint is not bool):
            raise InputError(f"{where} is {value!r}, which is not of type {hint.__name__}.")
        return hint(value)
    if getattr(hint, "__origin__", None) is Literal:
        if value not in choices:
            raise InputError(f"{where} is {value!r}; choose from {', '.join(map(str, choices))}.")
        return value
    if type(None) in choices:
        if value is None:
            return None
        return _value(next(choice for choice in choices if choice is not type(None)), value, where)
    if getattr(hint, "__origin__", None) is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise InputError(f"{where} is {value!r}, which is not a list of names.")
        return tuple(items)
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r}, which has no fields.")
    return dict(value)


def _located(config: Config, folder: Path) -> Config:
    """Return the configuration with paths that hold from anywhere."""

    def at(path: str) -> str:
        return str((folder / Path(path).expanduser()).absolute())

    data = config.data
    place = config.language.place
    if place is not None and (folder / place).exists():
        place = at(place)
    return replace(
        config,
        out=at(config.out),
        start=None if config.start is None else at(config.start),
        data=replace(
            data,
            files=tuple(map(at, data.files)),
            stores=tuple(map(at, data.stores)),
            validation=None if data.validation is None else tuple(map(at, data.validation)),
            patients=None if data.patients is None else at(data.patients),
        ),
        language=replace(config.language, place=place),
        encoders=replace(
            config.encoders, text=None if config.encoders.text is None else at(config.encoders.text)
        ),
    )
