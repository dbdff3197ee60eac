"""OME-Zarr: both versions, any order of axes, in folders, zips and at addresses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from zarr.storage import LocalStore

from napari_hwsi import open_slide
from napari_hwsi.cli import main
from napari_hwsi.errors import MissingDependencyError, SlideError, SlideUnavailableError
from napari_hwsi.slides import registry
from napari_hwsi.slides.reader import hatched

STEPS = (1, 2, 4)
SAME_SCALE = {"type": "scale", "scale": [1.0] * 5}


@pytest.fixture(scope="module")
def image(cmu: Path) -> np.ndarray:
    """A part of a real slide."""
    return tifffile.imread(cmu, key=0)[700:1003, 600:806]


def write(
    path: Path,
    image: np.ndarray,
    axes: str = "tczyx",
    version: str = "0.5",
    scale: tuple[float, float] = (0.25, 0.5),
    unit: str | None = "micrometer",
    fill: int = 0,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Write (Y, X, 3) as an OME-Zarr of three levels; ``changes``: of its multiscale metadata."""
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    datasets = []
    for i, step in enumerate(STEPS):
        level = image[::step, ::step]
        kept = [axis for axis in axes if axis in "yxc"]
        pixels = level.transpose(["yxc".index(axis) for axis in kept])
        pixels = np.expand_dims(pixels, [n for n, axis in enumerate(axes) if axis not in "yxc"])
        chunks = tuple(64 if axis in "yx" else size for axis, size in zip(axes, pixels.shape, strict=True))
        array = group.create_array(
            str(i), shape=pixels.shape, chunks=chunks, dtype=pixels.dtype, fill_value=fill
        )
        array[:] = pixels
        sizes = {"y": scale[0] * step, "x": scale[1] * step}
        transformation = {"type": "scale", "scale": [sizes.get(axis, 1.0) for axis in axes]}
        datasets.append({"path": str(i), "coordinateTransformations": [transformation]})
    kinds = {"c": "channel", "t": "time"}
    described = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    for axis in described:
        if axis["type"] == "space" and unit:
            axis["unit"] = unit
    multiscale: dict[str, Any] = {"axes": described, "datasets": datasets, "name": "slide"} | dict(changes)
    if zarr_format == 3:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [multiscale | {"version": version}]
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "yxc", "xyc", "tczyx"])
def test_every_order_of_axes(tmp_path: Path, image: np.ndarray, version: str, axes: str) -> None:
    with open_slide(write(tmp_path / "a.zarr", image, axes, version)) as slide:
        assert (slide.backend, slide.vendor) == ("zarr", "ome-zarr")
        assert slide.level_shapes == ((303, 206), (152, 103), (76, 52))
        assert slide.mpp == (0.25, 0.5)
        np.testing.assert_array_equal(slide.read((0, 0), slide.shape), image)
        part = slide.read((40, 60), (80, 50), level=1)
        assert (
            np.abs(part - image[40:200:2, 60:160:2].astype(int)).mean() < 12
        )  # the same place, rounded sizes
        np.testing.assert_array_equal(slide.levels[1].compute(), image[::2, ::2])


@pytest.mark.parametrize(
    ("unit", "mpp"), [("nanometer", 0.25), ("millimeter", 0.25), (None, None), ("mile", None)]
)
def test_units(tmp_path: Path, image: np.ndarray, unit: str | None, mpp: float | None) -> None:
    scale = {"nanometer": 250.0, "millimeter": 0.00025}.get(str(unit), 0.25)
    with open_slide(write(tmp_path / "a.zarr", image, unit=unit, scale=(scale, scale))) as slide:
        assert slide.mpp == (None if mpp is None else pytest.approx((mpp, mpp)))


def test_the_scale_of_the_whole_image_counts_too(tmp_path: Path, image: np.ndarray) -> None:
    twice = [{"type": "scale", "scale": [1.0, 1.0, 1.0, 2.0, 2.0]}]
    with open_slide(write(tmp_path / "a.zarr", image, changes={"coordinateTransformations": twice})) as slide:
        assert slide.mpp == (0.5, 1.0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda image: image.astype(np.uint16), "uint16 with 3"),
        (lambda image: image.astype(np.float32), "float32"),
        (lambda image: image[..., :1], "1 channel"),
        (lambda image: np.dstack([image, image[..., :1]]), "4 channel"),
    ],
)
def test_what_is_no_colour_image_is_refused(
    tmp_path: Path, image: np.ndarray, changed: Any, reason: str
) -> None:
    with pytest.raises(SlideError, match=reason):
        open_slide(write(tmp_path / "a.zarr", changed(image)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"axes": ["c", "y", "x"]}, "axes are not named"),
        ({"axes": [{"name": "y"}, {"name": "x"}]}, "not an array of axes"),
        ({"axes": [{"name": n} for n in "tczqx"]}, "a slide has y, x and c"),
        ({"datasets": []}, "lists no levels"),
        ({"datasets": [{"path": "7"}]}, "damaged"),
        ({"datasets": [{"path": str(i)} for i in (2, 1, 0)]}, "damaged: levels of 76 x 52, 152 x 103"),
        ({"datasets": 4}, "damaged"),
        (
            {"datasets": [{"path": path, "coordinateTransformations": [SAME_SCALE]} for path in "01"]},
            r"level 1 has 152 x 103 px, where its scale says 303 x 206",
        ),
    ],
)  # fmt: skip
def test_wrong_metadata_is_one_clear_error(
    tmp_path: Path, image: np.ndarray, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SlideError, match=reason):
        open_slide(write(tmp_path / "a.zarr", image, changes=change))


def test_other_versions_stacks_and_other_groups_are_refused(tmp_path: Path, image: np.ndarray) -> None:
    old = write(tmp_path / "old.zarr", image, version="0.4")
    attributes = json.loads((old / ".zattrs").read_text())
    attributes["multiscales"][0]["version"] = "0.1"
    (old / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(SlideError, match=r"OME-Zarr 0\.1; 0\.4 and 0\.5 are read"):
        open_slide(old)
    stack = write(tmp_path / "stack.zarr", image)
    array = zarr.open_group(stack).create_array("0", shape=(1, 3, 2, 303, 206), dtype="u1", overwrite=True)
    assert array.shape[2] == 2
    with pytest.raises(SlideError, match="a stack or a film"):
        open_slide(stack)
    zarr.open_group(tmp_path / "a.hwsi.zarr", mode="w")
    with pytest.raises(SlideError, match="without the multiscales"):
        open_slide(tmp_path / "a.hwsi.zarr")


def test_a_missing_chunk_is_fill_and_a_broken_one_an_error_there(tmp_path: Path, image: np.ndarray) -> None:
    path = write(tmp_path / "a.zarr", image, "cyx", fill=200)
    chunks = path / "0" / "c" / "0"
    (chunks / "0" / "0").unlink()
    (chunks / "1" / "1").write_bytes(b"nothing")
    with open_slide(path) as slide:
        assert (slide.read((0, 0), (64, 64)) == 200).all()
        with pytest.raises(SlideError, match=r"level 0, rows 70 to 80, columns 100 to 110"):
            slide.read((70, 100), (10, 10))
        np.testing.assert_array_equal(slide.read((128, 0), (90, 128)), image[128:218, :128])


def test_a_chunk_too_large_for_the_memory_is_refused_before_it_is_made(
    tmp_path: Path, image: np.ndarray
) -> None:
    path = write(tmp_path / "a.zarr", image, "cyx")
    facts = json.loads((path / "0" / "zarr.json").read_text())
    facts["shape"] = facts["chunk_grid"]["configuration"]["chunk_shape"] = [3, 1 << 20, 1 << 20]
    (path / "0" / "zarr.json").write_text(json.dumps(facts))
    with pytest.raises(SlideError, match="GiB of memory"):
        open_slide(path)


def test_a_slide_that_vanishes_is_an_error_and_not_fill(tmp_path: Path, image: np.ndarray) -> None:
    path = write(tmp_path / "a.zarr", image)
    with open_slide(path) as slide:
        slide.read((0, 0), (50, 50))
        shutil.rmtree(path)
        with pytest.raises(SlideUnavailableError, match="does not answer"):
            slide.read((100, 100), (50, 50))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_folder_lost_in_the_middle_of_a_look_is_not_black(
    tmp_path: Path, image: np.ndarray, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, away = write(tmp_path / "a.zarr", image, "cyx", version), tmp_path / "away"
    own, asked = LocalStore.get, []

    async def get(self: LocalStore, key: str, *args: Any, **options: Any) -> Any:
        asked.append(key)
        if len(asked) == 3:
            path.rename(away)
        return await own(self, key, *args, **options)

    with open_slide(path) as slide:
        monkeypatch.setattr(LocalStore, "get", get)
        part = np.asarray(slide.lazy_levels[0][:303, :206])
        assert away.exists()
        np.testing.assert_array_equal(part, hatched((0, 0), slide.shape))
        assert not slide.available
        away.rename(path)
        np.testing.assert_array_equal(np.asarray(slide.lazy_levels[0][:303, :206]), image)
        assert slide.available


def test_a_level_that_is_gone_is_not_black_and_the_others_are_read(tmp_path: Path, image: np.ndarray) -> None:
    path = write(tmp_path / "a.zarr", image, "cyx")
    with open_slide(path) as slide:
        shutil.rmtree(path / "1")
        with pytest.raises(SlideError, match="cannot be read at level 1"):
            slide.read((0, 0), (60, 60), level=1)
        assert slide.available
        np.testing.assert_array_equal(slide.read((0, 0), (60, 60)), image[:60, :60])


def test_what_a_server_no_longer_has_is_not_black(
    tmp_path: Path, image: np.ndarray, server: ThreadingHTTPServer
) -> None:
    path = write(tmp_path / "a.zarr", image, "cyx")
    with open_slide(f"http://127.0.0.1:{server.server_port}/a.zarr") as slide:
        (path / "0" / "c" / "0" / "0" / "0").unlink()
        assert (slide.read((0, 0), (64, 64)) == 0).all()
        path.rename(tmp_path / "away")
        with pytest.raises(SlideUnavailableError):
            slide.read((0, 0), (100, 100))
        (tmp_path / "away").rename(path)
        np.testing.assert_array_equal(slide.read((64, 64), (60, 60)), image[64:124, 64:124])


def test_several_images_of_bioformats2raw_give_the_first(tmp_path: Path, image: np.ndarray) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    write(tmp_path / "a.zarr" / "0", image)
    write(tmp_path / "a.zarr" / "1", image[:50, :50])
    with open_slide(tmp_path / "a.zarr") as slide:
        np.testing.assert_array_equal(slide.read((0, 0), slide.shape), image)


def test_the_same_slide_in_a_folder_a_zip_and_on_a_server(
    tmp_path: Path, image: np.ndarray, server: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.zarr", image)
    shutil.make_archive(str(tmp_path / "b"), "zip", path)
    address = f"http://127.0.0.1:{server.server_port}/a.zarr/"
    with open_slide(path) as here, open_slide(tmp_path / "b.zip") as zipped, open_slide(address) as far:
        assert far.path is None
        assert (far.name, far.address) == ("a.zarr", address.rstrip("/"))
        assert far.fingerprint == here.fingerprint
        for slide in (here, zipped, far):
            np.testing.assert_array_equal(slide.read((0, 0), slide.shape), image)
        assert main(["info", address]) == 0
        assert "a.zarr: h&e, ome-zarr, read by zarr" in capsys.readouterr().out
        server.shutdown()
        server.server_close()
        with pytest.raises(SlideUnavailableError, match="does not answer"):
            far.read((0, 0), (100, 100))


def test_the_fingerprint_follows_pixels_not_names(tmp_path: Path, image: np.ndarray) -> None:
    other = image.copy()
    other[140:160, 90:110] += 1
    marks = []
    for name, pixels in (("a", image), ("b", image), ("c", other)):
        with open_slide(write(tmp_path / f"{name}.zarr", pixels)) as slide:
            marks.append(slide.fingerprint)
    assert marks[0] == marks[1] != marks[2]


def test_addresses_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SlideError, match="Cannot connect"):
        open_slide("http://127.0.0.1:9/a.zarr")
    with pytest.raises(SlideError, match="Protocol not known"):
        open_slide("nonsense://a/b.zarr")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingDependencyError, match=r"napari-hwsi\[remote\]"):
        open_slide("https://127.0.0.1:9/a.zarr")


def test_only_an_address_is_looked_for_on_a_network() -> None:
    assert registry.kind_of("https://host/a.zarr") is registry.REMOTE
    with pytest.raises(SlideError, match="No such file"):
        registry.kind_of(Path("https:/host/a.zarr"))
