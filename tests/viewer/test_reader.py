"""Opening files in napari."""

from __future__ import annotations

from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
import zarr
from napari.errors import ReaderPluginError
from napari.settings import get_settings
from PIL import Image

from napari_hwsi.errors import SlideError
from napari_hwsi.slides import Slide, open_slide
from napari_hwsi.viewer import slide_layers
from napari_hwsi.viewer.reader import get_reader, read
from napari_hwsi.viewer.state import SLIDE, slide_of


def test_slide_opens_placed_in_micrometres(
    make_napari_viewer: Callable[..., napari.Viewer], cmu: Path
) -> None:
    viewer = make_napari_viewer()
    (layer,) = viewer.open(cmu, plugin="napari-hwsi")
    assert layer.rgb
    assert layer.multiscale
    assert layer.name == "CMU-1-Small-Region.svs"
    np.testing.assert_allclose(layer.scale, 0.499)
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert [str(unit) for unit in viewer.layers.units] == ["micrometer"] * 2
    assert viewer.canvas.overlays["scale_bar"].visible
    assert isinstance(slide_of(layer), Slide)
    pixels = np.asarray(layer.data[0][1000:1010, 900:910])
    np.testing.assert_array_equal(pixels, slide_of(layer).read((1000, 900), (10, 10)))


def test_drop_of_a_preferred_kind(make_napari_viewer: Callable[..., napari.Viewer], cmu: Path) -> None:
    viewer = make_napari_viewer()
    get_settings().plugins.extension2reader = {"*.svs": "napari-hwsi"}
    viewer.window._qt_viewer._qt_open([str(cmu)], stack=False)
    assert len(slide_layers(viewer)) == 1


def test_broken_slide_is_one_clear_error(
    make_napari_viewer: Callable[..., napari.Viewer], data: Path, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    text = tmp_path / "text.svs"
    text.write_text("not a slide")
    for path in (data / "wsi" / "broken.svs", text):
        with pytest.raises(SlideError, match=rf"{path.name} cannot be opened as a slide"):
            viewer.open(path, plugin="napari-hwsi")
    get_settings().plugins.extension2reader = {"*.svs": "napari-hwsi"}
    with pytest.raises(ReaderPluginError) as error:
        viewer.open(text, plugin=None)
    assert isinstance(error.value.__cause__, SlideError)
    assert len(viewer.layers) == 0


def test_slide_without_mpp_asks_for_it(
    make_napari_viewer: Callable[..., napari.Viewer], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari_hwsi.viewer.reader.show_warning", said.append)
    viewer = make_napari_viewer()
    (layer,) = viewer.open(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs", plugin="napari-hwsi")
    np.testing.assert_array_equal(layer.scale, 1)
    assert [str(unit) for unit in layer.units] == ["pixel"] * 2
    assert len(said) == 1
    assert "Pixel size unknown" in said[0]


def test_several_slides_at_once(data: Path) -> None:
    paths = [str(data / "wsi" / name) for name in ("CMU-1-Small-Region.svs", "test3-DAPI-2-387.ndpi")]
    assert get_reader(paths) is not None
    names = [kwargs["name"] for _, kwargs, _ in read(paths)]
    assert names == ["CMU-1-Small-Region.svs", "test3-DAPI-2-387.ndpi"]
    assert get_reader([paths[0], "notes.txt"]) is None


def test_which_tiffs_are_slides(tmp_path: Path, data: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 3), np.uint8)
    plain, pyramid, grey = tmp_path / "plain.tif", tmp_path / "pyramid.tif", tmp_path / "grey.tif"
    tifffile.imwrite(plain, image, photometric="rgb")
    tifffile.imwrite(grey, image[..., 0], tile=(128, 128))
    with tifffile.TiffWriter(pyramid) as file:
        file.write(image, tile=(128, 128), photometric="rgb", subifds=1)
        file.write(image[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
    text = tmp_path / "text.tif"
    text.write_text("no image")
    assert get_reader(str(pyramid)) is not None
    assert get_reader(str(data / "wsi" / "HE_example_instanseg.ome.tif")) is not None
    for path in (plain, grey, text, tmp_path):
        assert get_reader(str(path)) is None


def test_an_rgb_ome_zarr_is_a_slide_and_another_is_not(
    make_napari_viewer: Callable[..., napari.Viewer], tmp_path: Path, cmu: Path, server: ThreadingHTTPServer
) -> None:
    with open_slide(cmu) as slide:
        image = slide.read((900, 800), (600, 700))
    scale = [{"type": "scale", "scale": [1, 0.5, 0.25]}]
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    for name, data in (("rgb", image.transpose(2, 0, 1)), ("fluorescence", image.transpose(2, 0, 1)[:2])):
        datasets = [{"path": "0", "coordinateTransformations": scale}]
        group = zarr.create_group(tmp_path / f"{name}.ome.zarr")
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
        group.create_array("0", data=data, chunks=(1, 256, 256))
    (tmp_path / "no image.zarr").mkdir()
    for other in ("fluorescence.ome.zarr", "no image.zarr"):
        assert get_reader(str(tmp_path / other)) is None
    viewer = make_napari_viewer()
    (layer,) = viewer.open(tmp_path / "rgb.ome.zarr", plugin="napari-hwsi")
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))
    np.testing.assert_array_equal(np.asarray(layer.data[0][:600, :700]), image)
    (far,) = viewer.open(f"http://127.0.0.1:{server.server_port}/rgb.ome.zarr", plugin="napari-hwsi")
    np.testing.assert_array_equal(np.asarray(far.data[0][:600, :700]), image)


def test_only_large_pictures_are_slides(tmp_path: Path, cmu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_slide(cmu) as slide:
        Image.fromarray(slide.read((900, 800), (600, 700))).save(tmp_path / "skin.png")
        Image.fromarray(slide.read((900, 800), (300, 300))).save(tmp_path / "small.jpg")
        Image.fromarray(slide.read((900, 800), (600, 700))[..., 0]).save(tmp_path / "grey.png")
    names = ("skin.png", "small.jpg", "grey.png")
    assert [get_reader(str(tmp_path / name)) for name in names] == [None] * 3  # napari reads them itself
    monkeypatch.setattr("napari_hwsi.viewer.reader._LARGE_BYTES", 10**6)
    assert [get_reader(str(tmp_path / name)) is not None for name in names] == [True, False, False]
    levels, kwargs, _ = read(str(tmp_path / "skin.png"))[0]
    assert kwargs["rgb"]
    assert levels[0].shape[:2] >= (600, 700)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_tiff_is_refused_without_an_error(tmp_path: Path, seed: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    whole, damaged = tmp_path / "whole.tif", tmp_path / "damaged.tif"
    with tifffile.TiffWriter(whole) as file:
        file.write(image, tile=(128, 128), photometric="rgb", subifds=1)
        file.write(image[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
    with tifffile.TiffFile(whole) as file:
        tags = [(tag.name, tag.offset) for tag in file.pages.first.tags]
    assert get_reader(str(whole)) is not None
    rng = np.random.default_rng(seed)
    for name, offset in tags:  # type, count and value of each in turn
        content = bytearray(whole.read_bytes())
        content[offset + 2 : offset + 12] = rng.choice(np.array([0, 1, 255], np.uint8), 10).tobytes()
        damaged.write_bytes(content)
        assert get_reader(str(damaged)) in (None, read), name
        content = bytearray(whole.read_bytes())
        content[offset + 8 : offset + 12] = bytes(4)  # such as a tile of no width
        damaged.write_bytes(content)
        assert get_reader(str(damaged)) in (None, read), name


def test_a_folder_of_dicom_slides_and_other_folders(tmp_path: Path, data: Path) -> None:
    (source,) = [path for path in (data / "wsi").glob("*.dcm") if "AAJU" in path.name]
    for name, written in (("slide", True), ("ct", True), ("notes", False)):
        (tmp_path / name).mkdir()
        head = source.read_bytes()
        if name == "ct":
            head = head.replace(b"1.2.840.10008.5.1.4.1.1.77.1.6", b"1.2.840.10008.5.1.4.1.1.2\0\0\0\0\0")
        (tmp_path / name / "one").write_bytes(head if written else b"text")
    assert get_reader(str(tmp_path / "slide")) is read
    assert [get_reader(str(tmp_path / name)) for name in ("ct", "notes")] == [None, None]


def test_a_dicom_that_is_no_slide_is_one_clear_error(data: Path) -> None:
    path = str(data / "wsi" / "small_dicom_TCGA-XK-AAJU.dcm")
    assert get_reader(path) is not None
    with pytest.raises(SlideError, match=r"AAJU\.dcm cannot be opened as a slide"):
        read(path)


def test_metadata_key_is_stable(cmu: Path) -> None:
    """Other plugins find the slide under this key."""
    assert SLIDE == "hwsi_slide"
    assert isinstance(read(str(cmu))[0][1]["metadata"]["hwsi_slide"], Slide)
