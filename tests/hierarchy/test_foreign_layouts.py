"""Each layout as its tool describes it: what is written, read without the reader, and files made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.csv
import pytest
import torch

from napari_hwsi.hierarchy.foreign import Hints, PatchFeatures, read_features, write_features

from .foreign import BOXES, FACTS, XY, regions, tiles


def test_trident(tmp_path: Path) -> None:
    made = tiles(precision="float16")
    written = write_features(made, tmp_path, "trident")
    job = tmp_path / "20x_256px_0px_overlap"
    assert {file.relative_to(job).as_posix() for file in written.files} == {
        "patches/case-1.DX1_patches.h5",
        "features_uni_v1/case-1.DX1.h5",
        "slide_features_uni_v1/case-1.DX1.h5",
    }
    assert written.left_out == ()
    expected = {
        "patch_size": 256,
        "patch_size_level0": 512,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 0,
        "name": "case-1.DX1",
        "level0_width": 7000,
        "level0_height": 9000,
    }
    for file in written.files:
        with h5py.File(file) as held:
            coords = held["coords"]
            assert (coords.dtype, coords.maxshape, coords.chunks) == (np.int64, (None, 2), (1, 2))
            np.testing.assert_array_equal(coords, XY)
            attrs = dict(coords.attrs)
            assert attrs.pop("savetodir") == str(file.parent)
            assert attrs == expected
    with h5py.File(written.files[1]) as held:
        features = held["features"]
        assert (features.dtype, features.chunks) == (np.float16, (1, 5))
        assert dict(features.attrs) == {
            "name": "case-1.DX1",
            "savetodir": str(job / "features_uni_v1"),
            "encoder": "uni_v1",
        }
        np.testing.assert_array_equal(features[:].astype(np.float32), made.vectors)
    with h5py.File(written.files[2]) as held:
        assert (held["features"].shape, held["features"].dtype) == ((7,), np.float32)


def test_trident_without_a_known_size_of_the_slide_and_without_patches(tmp_path: Path) -> None:
    unknown = replace(FACTS, slide_shape=None)
    empty = PatchFeatures(
        np.empty((0, 5), np.float32),
        np.empty((0, 4)),
        replace(unknown, magnification=20, slide_magnification=40),
    )
    file = write_features(empty, tmp_path, "trident").files[1]
    with h5py.File(file) as held:
        assert held["coords"].attrs["level0_width"] == "None"
        assert (held["coords"].shape, held["features"].shape) == ((0, 2), (0, 5))
    again = read_features(file)
    assert again.vectors.shape == (0, 5)
    assert again.facts.slide_shape is None


def test_trident_by_hand(tmp_path: Path) -> None:
    """Attributes as TRIDENT leaves them: 'None' for what is unknown, the encoder in the folder's name."""
    file = tmp_path / "features_conch_v15" / "s.h5"
    file.parent.mkdir()
    with h5py.File(file, "w") as held:
        held["features"] = np.ones((2, 3), np.float32)
        held["coords"] = np.array([[100, 7], [612, 7]])
        held["coords"].attrs.update(
            {
                "patch_size": 512,
                "level0_magnification": 40,
                "target_magnification": 20,
                "level0_width": "None",
            }
        )
    features = read_features(file)
    np.testing.assert_array_equal(features.boxes, [[7, 100, 1031, 1124], [7, 612, 1031, 1636]])
    assert (features.facts.encoder, features.facts.slide_shape) == ("conch_v15", None)


def test_clam(tmp_path: Path) -> None:
    written = write_features(tiles(), tmp_path, "clam")
    places, bag, tensor = written.files
    assert places == tmp_path / "patches" / "case-1.DX1.h5"
    assert (bag.parent.name, tensor.parent.name) == ("h5_files", "pt_files")
    with h5py.File(places) as held:
        coords = held["coords"]
        assert coords.chunks == (1, 2)
        attrs = {name: np.asarray(value).tolist() for name, value in coords.attrs.items()}
        assert attrs == {
            "patch_size": 512,
            "patch_level": 0,
            "downsample": [1, 1],
            "downsampled_level_dim": [7000, 9000],
            "level_dim": [7000, 9000],
            "name": "case-1.DX1",
            "save_path": str(places.parent),
        }
    with h5py.File(bag) as held:
        assert (held["features"].dtype, held["coords"].dtype) == (np.float32, np.int32)
        assert not held["features"].attrs
        assert not held["coords"].attrs
        np.testing.assert_array_equal(held["coords"], XY)
        np.testing.assert_array_equal(torch.load(tensor, weights_only=True), held["features"])
    assert written.left_out == ("the slide vector", "the encoder's name, uni_v1")


def test_clam_by_hand(tmp_path: Path) -> None:
    """Patches read at another level are as large on level 0 as its downsample says, x and y apart."""
    with h5py.File(tmp_path / "s.h5", "w") as held:
        held["coords"] = XY.astype(np.int32)
        held["coords"].attrs.update({"patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0078)})
    boxes = read_features(tmp_path / "s.h5").boxes
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], [[256 * 4.0078, 1024]] * 3)
    with h5py.File(tmp_path / "s.h5", "a") as held:
        held["coords"].attrs["custom_downsample"] = 2
    boxes = read_features(tmp_path / "s.h5").boxes
    np.testing.assert_allclose(boxes[:, 3] - boxes[:, 1], 2048)


def test_a_bag_of_clam_alone_needs_the_size_of_its_patches(tmp_path: Path) -> None:
    bag = write_features(tiles(), tmp_path / "made", "clam").files[1]
    lone = tmp_path / "elsewhere" / "bag.h5"
    lone.parent.mkdir()
    bag.rename(lone)
    with pytest.raises(ValueError, match=r"how large its patches are.*--patch-px.*512 px apart"):
        read_features(lone)
    np.testing.assert_array_equal(read_features(lone, Hints(patch_px=512)).boxes, BOXES)


def test_atlaspatch(tmp_path: Path) -> None:
    file = write_features(tiles(), tmp_path, "atlaspatch").files[0]
    assert file == tmp_path / "patches" / "case-1.DX1.h5"
    with h5py.File(file) as held:
        assert held["coords"].dtype == np.int32
        np.testing.assert_array_equal(held["coords"], [[x, y, 512, 512, 0] for x, y in XY])
        assert held["passports"].dtype == "S160"
        first = b"case-1.DX1__x512_y1024_rw512_rh512_lv0_mag40_tmag20_total3"
        assert held["passports"][0] == first
        assert held["features/uni_v1"].dtype == np.float32
        attrs = dict(held.attrs)
    assert len(attrs.pop("creation_date")) > 10
    assert attrs.pop("passport_format").startswith("{stem}__x{X}_y{Y}")
    assert attrs == {
        "patch_size": 256,
        "patch_size_level0": 512,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 0,
        "level0_width": 7000,
        "level0_height": 9000,
        "wsi_path": "/slides/case-1.DX1.svs",
        "passport_version": 2,
        "num_patches": 3,
        "filename": "case-1.DX1.h5",
        "mpp": 0.25,
        "magnification": 40,
    }


def test_atlaspatch_holds_several_encoders(tmp_path: Path) -> None:
    file = write_features(tiles(), tmp_path, "atlaspatch").files[0]
    with h5py.File(file, "a") as held:
        held["features/phikon"] = np.full((3, 2), 7, np.float32)
    with pytest.raises(ValueError, match=r"phikon, uni_v1.*--encoder"):
        read_features(file)
    with pytest.raises(ValueError, match="conch is none of them"):
        read_features(file, Hints(encoder="conch"))
    features = read_features(file, Hints(encoder="phikon"))
    assert features.facts.encoder == "phikon"
    assert (features.vectors == 7).all()


def test_stamp(tmp_path: Path) -> None:
    made = tiles(precision="float16", slide=False)
    written = write_features(made, tmp_path, "stamp")
    assert written.left_out == ()
    (file,) = written.files
    extractor, _, code = file.parent.name.partition("-")
    with h5py.File(file) as held:
        assert {*held} == {"coords", "feats"}
        assert (held["coords"].dtype, held["feats"].dtype) == (np.float32, np.float16)
        np.testing.assert_array_equal(held["coords"], XY * 0.25)
        np.testing.assert_array_equal(held["feats"][:].astype(np.float32), made.vectors)
        attrs = dict(held.attrs)
    assert attrs.pop("stamp_version")
    assert attrs == {
        "extractor": "uni_v1",
        "unit": "um",
        "tile_size_um": 128,
        "tile_size_px": 256,
        "code_hash": code,
        "feat_type": "tile",
    }
    assert extractor == "uni_v1"
    assert len(code) == 8


def test_stamp_says_that_it_rounds_and_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    made = tiles()
    assert "digits of the vectors beyond float16" in write_features(made, tmp_path, "stamp").left_out
    large = replace(made, vectors=made.vectors * 1e6)
    with pytest.raises(ValueError, match="more than float16 holds"):
        write_features(large, tmp_path, "stamp")


def test_stamp_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "s.h5"
    with h5py.File(file, "w") as held:
        held["coords"] = np.array([[256, 512], [0, 256]], np.float32)  # any order of rows
        held["feats"] = np.array([[1.5, 2], [3, 4]], np.float16)
        held.attrs.update(
            {"unit": "um", "tile_size_um": 256.0, "tile_size_px": 224, "extractor": "ctranspath"}
        )
    features = read_features(file, Hints(slide_mpp=0.5))
    np.testing.assert_array_equal(features.boxes, [[1024, 512, 1536, 1024], [512, 0, 1024, 512]])
    np.testing.assert_array_equal(features.vectors, [[1.5, 2], [3, 4]])
    assert (features.vectors.dtype, features.facts.precision) == (np.float32, "float16")
    assert features.facts.mpp == pytest.approx(256 / 224)
    with pytest.raises(ValueError, match="in µm"):
        read_features(file)
    with h5py.File(file, "a") as held:
        held.attrs["feat_type"] = "slide"
    with pytest.raises(ValueError, match="a slide's features, which have no places"):
        read_features(file, Hints(slide_mpp=0.5))


def test_slide2vec_tiles(tmp_path: Path) -> None:
    made = tiles(precision="float16")
    written = write_features(made, tmp_path, "slide2vec")
    names = {file.relative_to(tmp_path).as_posix() for file in written.files}
    assert names == {
        "tiles/case-1.DX1.coordinates.npz",
        "tile_embeddings/case-1.DX1.pt",
        "tile_embeddings/case-1.DX1.meta.json",
        "slide_embeddings/case-1.DX1.pt",
        "slide_embeddings/case-1.DX1.meta.json",
    }
    tensor = torch.load(tmp_path / "tile_embeddings" / "case-1.DX1.pt", weights_only=True)
    assert (tuple(tensor.shape), tensor.dtype) == ((3, 5), torch.float16)
    meta = json.loads((tmp_path / "tile_embeddings" / "case-1.DX1.meta.json").read_text())
    asked = {
        "sample_id": "case-1.DX1",
        "artifact_type": "tile_embeddings",
        "encoder_name": "uni_v1",
        "encoder_level": "tile",
        "feature_dim": 5,
        "feature_dtype": "float16",
        "format": "pt",
        "image_path": "/slides/case-1.DX1.svs",
        "num_tiles": 3,
        "requested_tile_size_px": 256,
        "requested_spacing_um": 0.5,
        "tile_size_lv0": 512,
    }
    assert meta | asked == meta
    assert {"backend", "mask_path", "read_tile_size_px", "encoder_input_size_px"} <= {*meta}
    with np.load(meta["coordinates_npz_path"]) as places:
        kinds = {name: places[name].dtype for name in places}
        assert kinds == {"tile_index": "i4", "x": "i8", "y": "i8", "tissue_fractions": "f4"}
        np.testing.assert_array_equal(np.stack([places["x"], places["y"]], 1), XY)
    slide = torch.load(tmp_path / "slide_embeddings" / "case-1.DX1.pt", weights_only=True)
    np.testing.assert_array_equal(slide, made.slide_vector)


def test_slide2vec_by_region(tmp_path: Path) -> None:
    made = regions()
    written = write_features(made, tmp_path, "slide2vec")
    tensor = torch.load(tmp_path / "hierarchical_embeddings" / "case-1.DX1.pt", weights_only=True)
    np.testing.assert_array_equal(tensor, made.vectors.reshape(2, 256, 4))
    with np.load(tmp_path / "tiles" / "case-1.DX1.coordinates.npz") as places:
        np.testing.assert_array_equal([places["x"], places["y"]], [[0, 8192], [0, 0]])
    assert "which patches the filter kept" in written.left_out


def test_the_release(tmp_path: Path) -> None:
    made = regions()
    kept = made.regions.kept
    written = write_features(made, tmp_path, "release")
    assert len(written.files) == 6
    assert written.left_out == ("the encoder's name, uni_v1",)

    def load(*parts: str) -> object:
        return torch.load(tmp_path.joinpath(*parts), weights_only=True)

    table = made.vectors.reshape(2, 256, 4)
    np.testing.assert_array_equal(load("patches", "case-1.DX1.pt"), table)
    np.testing.assert_array_equal(load("region_4k", "case-1.DX1.pt"), made.regions.vectors)
    np.testing.assert_array_equal(load("wsi", "case-1.DX1.pt"), made.slide_vector)
    filtered = load("patches_filtered", "case-1.DX1.pt")
    np.testing.assert_array_equal(filtered["selected_indices"], kept)
    np.testing.assert_array_equal(filtered["selected_features"][0], table[0, kept[0]])
    assert not filtered["selected_features"][1, 15].any()  # there is no such patch
    with h5py.File(tmp_path / "coords_region4096_valid" / "case-1.DX1.h5") as held:
        np.testing.assert_array_equal(held["coords"], [[0, 0], [8192, 0]])
    cells = load("cells", "case-1.DX1", "encoded_cell_features.pt")
    np.testing.assert_array_equal(cells["encoded_cell_features"], made.regions.tokens)
    np.testing.assert_array_equal(cells["selected_patch_cell_level_indices"], kept)
    np.testing.assert_array_equal(cells["region_coords_level0"], [[0, 0], [8192, 0]])
    assert cells["region_has_detail_dump"].tolist() == [True, False]
    assert cells["feature_dim"] == 6


def test_the_release_with_what_there_is(tmp_path: Path) -> None:
    made = regions()
    files = write_features(made, tmp_path, "release").files
    folder = Hints(slide_mpp=0.25)
    (tmp_path / "patches" / "case-1.DX1.pt").unlink()
    only_kept = read_features(tmp_path, folder)
    assert only_kept.valid.sum() == 31
    row = 256 + made.regions.kept[1, 3]
    np.testing.assert_array_equal(only_kept.vectors[row], made.vectors[row])
    for file in files[2:]:
        file.unlink()
    places = read_features(files[0], folder)
    assert (places.vectors.shape, places.slide_vector, places.regions.vectors) == ((512, 0), None, None)
    np.testing.assert_array_equal(places.boxes, made.boxes)


def test_cells_of_other_patches_are_refused(tmp_path: Path) -> None:
    made = regions()
    write_features(made, tmp_path, "release")
    file = tmp_path / "patches_filtered" / "case-1.DX1.pt"
    held = torch.load(file, weights_only=True)
    torch.save(held | {"selected_indices": held["selected_indices"].flip(1)}, file)
    with pytest.raises(ValueError, match="made of other patches"):
        read_features(tmp_path, Hints(slide_mpp=0.25))


def test_csv(tmp_path: Path) -> None:
    made = tiles()
    file = write_features(made, tmp_path, "csv").files[0]
    table = pyarrow.csv.read_csv(file)
    assert table.column_names == ["x", "y", "width", "height", "v0", "v1", "v2", "v3", "v4"]
    np.testing.assert_array_equal(np.stack([table["x"], table["y"]], 1), XY)
    np.testing.assert_array_equal(table["v3"].to_numpy().astype(np.float32), made.vectors[:, 3])


def test_csv_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text("y,first,x,second\n10,0.5,20,-1e-3\n30,1,40,2\n")
    features = read_features(file, Hints(patch_px=8))
    np.testing.assert_array_equal(features.boxes, [[10, 20, 18, 28], [30, 40, 38, 48]])
    np.testing.assert_array_equal(features.vectors, np.array([[0.5, -1e-3], [1, 2]], np.float32))
    for text, wrong in (("x,y,label\n1,2,tumour\n", "table of numbers"), ("x,y,v\n1,2,\n", "lacks 1")):
        file.write_text(text)
        with pytest.raises(ValueError, match=wrong):
            read_features(file, Hints(patch_px=8))
    file.write_text("x,y,v0,v1\n1,2,3,4\n1,2,3")
    with pytest.raises(ValueError, match="cut short"):
        read_features(file, Hints(patch_px=8))
