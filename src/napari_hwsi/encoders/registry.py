"""The published models: what each is, where its user gets it, and how it is read.

The entries stand in ``models.yaml`` beside this module; :func:`register` adds a user's own. Nothing here
imports torch until a model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ..errors import InputError
from ..home import home

if TYPE_CHECKING:
    from .image import ImageEncoder, Precision
    from .pocket import PocketEncoder
    from .weights import Source

Layout: TypeAlias = Literal["vit", "conch", "keep", "clip", "region", "ccaf", "cellvit", "mllm", "pocket"]

Filter: TypeAlias = Literal["bicubic", "bilinear"]
Positions: TypeAlias = Literal["dino", "timm", "plain"]
Pooling: TypeAlias = Literal["cls", "cls+mean"]
Proof: TypeAlias = Literal["parity", "weights"]

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "layout": (None, *get_args(Layout)),
    "filter": get_args(Filter),
    "positions": get_args(Positions),
    "pooling": get_args(Pooling),
    "verified": (None, *get_args(Proof)),
}
_NUMBERS = {
    "width": int,
    "mpp": float | int,
    "input_px": int,
    "resize_px": int,
    "heads": int,
    "eps": float,
}
_ELSEWHERE = {
    "region": "encoders.region.load_regions",
    "ccaf": "encoders.ccaf.load_ccaf",
    "cellvit": "encoders.cellvit.load_cellvit",
    "mllm": "model.load",
}
_FILE = Path(__file__).with_name("models.yaml")


@dataclass(frozen=True)
class Published:
    """One published model.

    layout: of its tensors, None where it is not known and the model cannot be read; width: of its vectors;
    mpp: µm/px it was trained at, 0 where that means nothing; input_px, resize_px, filter, mean, std: its
    preprocessing, see :class:`.preprocess.Preprocess`; heads, eps, positions, pooling: what stands in no
    tensor, see :func:`.vit.read_vit`; files: names of its checkpoint; hub: id on the Hugging Face hub; url:
    where its user gets it, empty: it ships; licence, gated: None where not known; cite: how to; verified:
    'parity' (agrees with what the published architecture computes), 'weights' (seen to run with the
    published weights), None; profile: that needs it; purpose: what for; note: what else its user should know.
    """

    name: str
    title: str
    url: str = ""
    layout: Layout | None = None
    width: int | None = None
    mpp: float = 0.0
    input_px: int = 0
    resize_px: int | None = None
    filter: Filter = "bicubic"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    heads: int | None = None
    eps: float = 1e-6
    positions: Positions = "timm"
    pooling: Pooling = "cls"
    files: tuple[str, ...] = ()
    hub: str | None = None
    licence: str | None = None
    gated: bool | None = None
    cite: str | None = None
    verified: Proof | None = None
    profile: str | None = None
    purpose: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            if (value := getattr(self, field)) not in choices:
                raise InputError(f"Model {self.name!r}: {field} is {value!r}, but must be one of {choices}.")
        for field, kind in _NUMBERS.items():
            if not isinstance(value := getattr(self, field), kind | None):
                raise InputError(
                    f"Model {self.name!r}: {field} is {value!r}, which is not a number of its kind."
                )
        if self.layout in ("vit", "conch", "keep", "clip"):
            for field in ("mpp", "input_px", "mean", "std"):
                if not getattr(self, field):
                    raise InputError(f"Model {self.name!r} needs the field {field}.")
            if any(
                len(rgb) != 3 or not all(isinstance(v, int | float) for v in rgb)
                for rgb in (self.mean, self.std)
            ):
                raise InputError(f"Model {self.name!r}: mean and std are three numbers each, R, G, B.")

    @property
    def folder(self) -> Path:
        """Where its weights are looked for unless a source is named."""
        return home() / "weights" / self.name


@dataclass(frozen=True)
class Missing:
    """Something a profile needs and this machine lacks: its name, what it is for, how to get it."""

    name: str
    purpose: str
    remedy: str


_registered: dict[str, Published] = {}


def models() -> dict[str, Published]:
    """Return all known models by name."""
    if not _registered:
        _registered.update(_read(_FILE))
    return dict(_registered)


def register(path: str | Path) -> tuple[str, ...]:
    """Add the models of a YAML file, in the form of ``models.yaml``, for this process; returns their names.

    A name that exists is replaced. Raises InputError, naming the field, for a file that does not fit.
    """
    models()
    added = _read(Path(path))
    _registered.update(added)
    return tuple(added)


def _read(path: Path) -> dict[str, Published]:
    import yaml  # type: ignore[import-untyped]

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected model names, each with its fields.")
    known = {field.name for field in fields(Published)} - {"name"}
    found = {}
    for name, entry in content.items():
        if name.startswith("_"):
            continue
        if not isinstance(entry, Mapping):
            raise InputError(f"{path}: model {name!r} has no fields.")
        if unknown := sorted(entry.keys() - known):
            raise InputError(
                f"{path}: model {name!r} has the unknown field {unknown[0]}; "
                f"known: {', '.join(sorted(known))}."
            )
        needed = ("title",) if entry.get("layout") == "pocket" else ("title", "url")
        if lacking := [field for field in needed if field not in entry]:
            raise InputError(f"{path}: model {name!r} needs the field {lacking[0]}.")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        found[name] = Published(name=name, **values)
    return found


def find(name: str) -> Published:
    """Return the entry of a model; raises InputError, naming those that exist."""
    entry = models().get(name)
    if entry is None:
        raise InputError(f"No model is called {name!r}. Known: {', '.join(sorted(models()))}.")
    return entry


def load(
    name: str,
    source: Source | None = None,
    *,
    device: str = "auto",
    batch: int = 32,
    precision: Precision = "float32",
    tokenizer: str | Path | None = None,
) -> ImageEncoder | PocketEncoder:
    """Return an image encoder, ready to use.

    name: in :func:`models`; source: a file, a folder, a hub id (only then is the network used) or a state
    dict, None: the model's folder among this user's weights, of 'pocket' the file that ships; device: 'auto',
    'cpu', 'cuda', 'mps', …; batch: images at a time; precision: of the arithmetic, 'pocket' has but float32;
    tokenizer: of CONCH, where it does not lie beside the weights as ``tokenizer.json``. Raises InputError for
    an unknown name, WeightsError for a checkpoint that cannot be read or is of another model,
    MissingDependencyError for a package that is not there.
    """
    entry = find(name)
    if entry.layout is None:
        raise InputError(f"{entry.title} cannot be read: {entry.note or 'its layout is not known'}")
    if entry.layout in _ELSEWHERE:
        raise InputError(f"{entry.title} is no image encoder: read it with {_ELSEWHERE[entry.layout]}.")
    if entry.layout == "pocket":
        from .pocket import load_pocket

        return load_pocket(source, device, batch)
    from .build import build

    return build(
        entry,
        own_weights(name) if source is None else source,
        device=device,
        batch=batch,
        precision=precision,
        tokenizer=tokenizer,
    )


def own_weights(name: str) -> Path:
    """Return the folder of a model's weights among this user's.

    Raises InputError for an unknown name, and for weights that are not there, with how to get them.
    """
    entry = find(name)
    if not entry.folder.is_dir():
        raise InputError(f"No weights of {entry.title} here: {remedy(entry)}.")
    return entry.folder


def missing(profile: str) -> list[Missing]:
    """Return what a profile needs and this machine lacks, with how to get each; empty: all is there.

    Weights are looked for in each model's folder; nothing is fetched, no file is opened. Raises InputError
    for a profile nobody knows.
    """
    needed = [entry for entry in models().values() if entry.profile == profile]
    if not needed and profile != "pocket":
        known = sorted({"pocket", *(entry.profile for entry in models().values() if entry.profile)})
        raise InputError(f"No profile is called {profile!r}. Known: {', '.join(known)}.")
    lacking = [
        Missing(entry.title, entry.purpose or "", remedy(entry))
        for entry in needed
        if not any((entry.folder / file).is_file() for file in entry.files)
    ]
    wanted = {"safetensors": "reads .safetensors files", "tokenizers": "turns phrases into CONCH's token ids"}
    if any(entry.layout in ("mllm", "clip") for entry in needed):
        wanted["transformers"] = "runs the language model"
    return lacking + [
        Missing(package, purpose, f"pip install {package}")
        for package, purpose in wanted.items()
        if needed and find_spec(package) is None
    ]


def remedy(entry: Published) -> str:
    """Return how a user gets the weights of a model, and where they go."""
    files = " or ".join(entry.files) or "its weights"
    terms = f" after accepting its terms ({entry.licence})" if entry.gated else ""
    note = f" ({entry.note})" if entry.note else ""
    return f"get {files} from {entry.url}{terms}, and put it into {entry.folder}{note}"
