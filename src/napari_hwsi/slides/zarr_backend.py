"""OME-Zarr, in a folder, a .zip file, or at an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import ZipFile

import numpy as np
import zarr
from zarr.storage import FsspecStore, LocalStore, ZipStore

from ..errors import MissingDependencyError, SlideError
from ..units import Box, Mpp
from .address import Place
from .backend import RGB
from .limits import require_memory
from .pixel_size import UM, plausible
from .window import between_pixels, paste_inside

_TIMEOUT_S = 30  # of one request to a web server
_ASKING_S = 5  # the same, to learn whether it answers at all
_SLACK_PX = 2  # sizes are rounded at every halving, up or down
VERSIONS = ("0.4", "0.5")


class ZarrBackend:
    """The first multiscale image of an OME-Zarr group (NGFF 0.4 on Zarr v2, 0.5 on Zarr v3).

    A slide is 8-bit RGB: axes y and x, three channels in any order with them, t and z of length 1.
    Arrays of other types or channel counts are refused. The pixel size is level 0's scale with its
    unit, for y and x each; without a unit there is none. Chunks that are not stored are the
    array's fill value. Where bioformats2raw wrote several images, the first is read.
    """

    name = "zarr"
    vendor = "ome-zarr"
    background: tuple[int, int, int] = (255, 255, 255)
    bounds: Box | None = None
    icc_profile: bytes | None = None
    associated: Mapping[str, tuple[int, int]] = MappingProxyType({})

    def __init__(self, place: Place) -> None:
        """Open a folder, a .zip file or an address; only an address is looked for on a network.

        Raises SlideError for what is not such an image, MissingDependencyError for an address
        whose protocol needs a package that is not installed.
        """
        self.path = place
        self._store: Any = None
        self._views: list[_View] = []
        try:
            self._open(place)
        except (SlideError, MissingDependencyError):
            self.close()
            raise
        except Exception as error:  # damaged metadata can make the parser raise anything
            self.close()
            raise SlideError(f"not an OME-Zarr image, or a damaged one ({_in_short(error)})") from error

    def _open(self, place: Place) -> None:
        self._store = _store(place)
        group, image = _multiscale(zarr.open_group(self._store, mode="r"))
        axes = _axes(image)
        datasets = image.get("datasets") or []
        if not datasets:
            raise SlideError("its metadata lists no levels")
        self._arrays: list[Any] = [group[str(dataset["path"])] for dataset in datasets]
        v3 = group.metadata.zarr_format == 3
        self._mark, self._array_mark = ("zarr.json", "zarr.json") if v3 else (".zgroup", ".zarray")
        self._fills = [array.fill_value for array in self._arrays]
        self._views = [_View(array, axes) for array in self._arrays]
        self.level_shapes = tuple(view.shape for view in self._views)
        self.tile_shapes = tuple(view.piece for view in self._views)
        scales = [_scale(image, dataset, axes) for dataset in datasets]
        _check_levels(self.level_shapes, scales)
        self.mpp: Mpp | None = _mpp(scales[0], axes)
        self.properties: Mapping[str, str] = {
            "zarr.format": str(self._arrays[0].metadata.zarr_format),
            "zarr.axes": "".join(axis["name"] for axis in axes),
            "zarr.chunks": " x ".join(map(str, self._arrays[0].chunks)),
        }

    def read(self, level: int, origin: tuple[float, float], size: tuple[int, int]) -> RGB:
        """Return pixels of a level, bilinear between them. Raises SlideError where a chunk is broken."""
        shape = self.level_shapes[level]

        def inside(y0: int, y1: int, x0: int, x1: int) -> RGB:
            if not self._views:
                raise SlideError(f"{self.path} is closed. Open it again to read it.")
            try:
                pixels = self._views[level].read(y0, y1, x0, x1)
                self._require_level(level, pixels)
            except Exception as error:  # a codec or a network may raise anything
                place = f"level {level}, rows {y0} to {y1}, columns {x0} to {x1}"
                raise SlideError(f"{self.path} cannot be read at {place}: {_in_short(error)}") from error
            return pixels

        return between_pixels(
            lambda place, extent: paste_inside(shape, place, extent, self.background, inside), origin, size
        )

    def read_associated(self, name: str) -> RGB:
        """OME-Zarr names no associated images."""
        raise KeyError(name)

    def answers(self) -> bool:
        """Whether the metadata of the image are still where they were; an address is asked once, for 5 s."""
        try:
            if isinstance(self.path, Path):
                return self.path.is_file() or (self.path / self._mark).is_file()
            from fsspec.core import url_to_fs

            files, root = url_to_fs(self.path, **_options(self.path, _ASKING_S))
            return bool(files.exists(f"{root}/{self._mark}"))
        except Exception:  # noqa: BLE001  # a network may raise anything
            return False

    def _require_level(self, level: int, pixels: RGB) -> None:
        """Raise an error where the level itself is gone: its chunks then look like ones never stored."""
        array = self._arrays[level]
        if isinstance(self.path, Path):
            if isinstance(self._store, LocalStore):
                (self.path / array.path / self._array_mark).stat()
        elif (pixels == self._fills[level]).all(-1).any():
            zarr.open_array(self._store, path=array.path, mode="r")

    def close(self) -> None:
        """Let go of the store."""
        self._views = []
        if self._store is not None:
            self._store.close()


class _View:
    """An array seen as (Y, X, 3)."""

    def __init__(self, array: Any, axes: Sequence[Mapping[str, Any]]) -> None:
        names = [_role(axis) for axis in axes]
        if not isinstance(array, zarr.Array) or len(array.shape) != len(names):
            raise SlideError(f"{array!r} is not an array of axes {''.join(names)}")
        sizes = dict(zip(names, array.shape, strict=True))
        if array.dtype != np.uint8 or sizes.get("c") != 3:
            raise SlideError(
                f"not 8-bit RGB but {array.dtype} with {sizes.get('c', 1)} channel(s): a slide is a colour "
                "image, other channels are napari's own to show"
            )
        if any(size != 1 for name, size in sizes.items() if name not in "cyx"):
            raise SlideError(f"a stack or a film ({sizes}), not one plane")
        if min(array.shape) < 1:
            raise SlideError(f"a level of {sizes['y']} x {sizes['x']} px")
        chunks = dict(zip(names, array.chunks, strict=True))
        require_memory(2 * prod(array.chunks), f"a chunk of {chunks['y']} x {chunks['x']} px")
        self.shape: tuple[int, int] = (sizes["y"], sizes["x"])
        self.piece: tuple[int, int] = (chunks["y"], chunks["x"])
        self._array, self._names = array, names
        kept = [name for name in names if name in "cyx"]
        self._order = tuple(kept.index(name) for name in "yxc")

    def read(self, y0: int, y1: int, x0: int, x1: int) -> RGB:
        window = {"y": slice(y0, y1), "x": slice(x0, x1), "c": slice(None)}
        pixels = np.asarray(self._array[tuple(window.get(name, 0) for name in self._names)])
        return np.ascontiguousarray(pixels.transpose(self._order))


def is_zarr(path: Path) -> bool:
    """Whether a folder or a .zip file holds a Zarr group or array."""
    marks = ("zarr.json", ".zgroup", ".zarray")
    if path.is_dir():
        return any((path / mark).is_file() for mark in marks)
    return path.suffix.lower() in (".zip", ".ozx")


def _store(place: Place) -> Any:
    if isinstance(place, Path):
        if place.is_dir():
            return LocalStore(place, read_only=True)
        ZipFile(place).close()  # a store that cannot open its file cannot be closed either
        return ZipStore(place, mode="r")
    try:
        return FsspecStore.from_url(place, storage_options=_options(place, _TIMEOUT_S), read_only=True)
    except ImportError as error:
        raise MissingDependencyError(
            f"{place} needs a package that is not installed ({error}). For https:// run: "
            "pip install 'napari-hwsi[remote]'; for s3:// run: pip install s3fs"
        ) from error


def _options(address: str, timeout_s: float) -> dict[str, Any]:
    if not address.startswith(("http://", "https://")):
        return {}
    import aiohttp

    timeout = aiohttp.ClientTimeout(sock_connect=timeout_s, sock_read=timeout_s)
    return {"client_kwargs": {"timeout": timeout}}


def _multiscale(group: zarr.Group) -> tuple[zarr.Group, Mapping[str, Any]]:
    """Return the group and the metadata of its first multiscale image."""
    attributes: Any = dict(group.attrs)
    facts = attributes.get("ome", attributes)
    if facts.get("bioformats2raw.layout") == 3 and "multiscales" not in facts:
        return _multiscale(
            zarr.open_group(group.store_path.store, path=f"{group.path}/0".strip("/"), mode="r")
        )
    images = facts.get("multiscales")
    if not images:
        raise SlideError("a Zarr group without the multiscales of OME-Zarr")
    version = str(facts.get("version") or images[0].get("version") or "")
    if version and version not in VERSIONS:
        raise SlideError(f"OME-Zarr {version}; {' and '.join(VERSIONS)} are read")
    return group, images[0]


def _axes(image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    axes = image.get("axes")
    if not isinstance(axes, list) or not all(isinstance(axis, Mapping) and axis.get("name") for axis in axes):
        raise SlideError("its axes are not named as OME-Zarr 0.4 and 0.5 do")
    roles = [_role(axis) for axis in axes]
    if len(set(roles)) != len(roles) or not {"y", "x"} <= {*roles} <= {*"tczyx"}:
        raise SlideError(f"axes {', '.join(roles)}; a slide has y, x and c")
    return axes


def _role(axis: Mapping[str, Any]) -> str:
    return "c" if axis.get("type") == "channel" else str(axis["name"]).lower()


def _scale(
    image: Mapping[str, Any], dataset: Mapping[str, Any], axes: Sequence[Mapping[str, Any]]
) -> tuple[float, float] | None:
    """Return the (y, x) scale of a level, None where it states none."""
    total, stated = np.ones(len(axes)), False
    for part in (dataset, image):
        for transformation in part.get("coordinateTransformations") or []:
            if transformation.get("type") == "scale":
                total, stated = total * np.array(transformation["scale"], float), True
    if not stated:
        return None
    by_role = dict(zip(map(_role, axes), total.tolist(), strict=True))
    return by_role["y"], by_role["x"]


def _check_levels(shapes: Sequence[tuple[int, int]], scales: Sequence[tuple[float, float] | None]) -> None:
    """Raise SlideError where the sizes of levels are not what their scales say."""
    for i, (shape, scale) in enumerate(zip(shapes, scales, strict=True)):
        first = scales[0]
        if scale is None or first is None:
            continue
        if min(scale) <= 0 or not np.isfinite(scale).all():
            raise SlideError(f"level {i} has a scale of {scale}")
        stated = [whole * full / own for whole, full, own in zip(shapes[0], first, scale, strict=True)]
        if any(abs(here - said) > _SLACK_PX for here, said in zip(shape, stated, strict=True)):
            raise SlideError(
                f"level {i} has {shape[0]} x {shape[1]} px, where its scale says "
                f"{stated[0]:.0f} x {stated[1]:.0f}"
            )


def _mpp(scale: tuple[float, float] | None, axes: Sequence[Mapping[str, Any]]) -> Mpp | None:
    if scale is None:
        return None
    units = {_role(axis): UM.get(str(axis.get("unit", "")).lower()) for axis in axes}
    y, x = units["y"], units["x"]
    return None if y is None or x is None else plausible(scale[0] * y, scale[1] * x)


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:200]
