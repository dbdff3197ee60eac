"""Features of other tools: round trips through every layout, opened as a hierarchy, and bad files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import napari_hwsi as hwsi
from napari_hwsi.errors import HwsiError, InputError, StoreError
from napari_hwsi.hierarchy.foreign import (
    LAYOUTS,
    Hints,
    PatchFeatures,
    features_of,
    layout_of,
    open_features,
    read_features,
    write_features,
)

from .foreign import FACTS, regions, tiles

HINTS = Hints(slide_mpp=0.25)
FLAT = ("trident", "atlaspatch", "clam", "slide2vec", "csv", "stamp")  # the last holds float16 only


def same(a: PatchFeatures, b: PatchFeatures) -> None:
    np.testing.assert_array_equal(a.vectors, b.vectors)
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(a.valid, b.valid)
    assert (a.vectors.dtype, a.boxes.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize(
    ("layout", "precision"),
    [*((name, "float16") for name in FLAT), *((name, "float32") for name in FLAT[:-1])],
)
def test_what_is_written_is_read_again(layout: str, precision: str, tmp_path: Path) -> None:
    made = tiles(precision=precision)
    written = write_features(made, tmp_path, layout)
    again = 0
    for file in written.files:
        if file.suffix not in (".json", ".npz"):
            assert layout_of(file) == layout
            features = read_features(file, HINTS)
            if features.vectors.size:
                same(features, made)
                again += 1
            np.testing.assert_array_equal(features.boxes, made.boxes)
            assert features.facts.name == made.facts.name
    assert again
    keeps_precision = layout in ("trident", "slide2vec", "stamp")
    assert features.facts.precision == (precision if keeps_precision and features.vectors.size else "float32")
    if "the slide vector" not in written.left_out:
        np.testing.assert_array_equal(features.slide_vector, made.slide_vector)


@pytest.mark.parametrize("layout", ["trident", "atlaspatch", "slide2vec"])
def test_facts_survive(layout: str, tmp_path: Path) -> None:
    made = tiles()
    written = write_features(made, tmp_path, layout)
    found = next(file for file in written.files if file.parent.name not in ("tiles", "slide_embeddings"))
    facts = read_features(found, HINTS).facts
    assert (facts.patch_px, facts.slide_mpp) == (256, 0.25)
    if layout != "slide2vec":
        assert facts.slide_shape == (9000, 7000)
        assert (facts.slide_magnification, facts.magnification, facts.overlap_px) == (40, 20, 0)
    if layout != "trident":
        assert (facts.encoder, facts.slide_path) == ("uni_v1", "/slides/case-1.DX1.svs")


@pytest.mark.parametrize("layout", ["release", "slide2vec"])
def test_regions_survive(layout: str, tmp_path: Path) -> None:
    made = regions()
    for file in write_features(made, tmp_path, layout).files:
        if layout == "release" or (file.parent.name == "hierarchical_embeddings" and file.suffix == ".pt"):
            again = read_features(file, HINTS)
            same(again, made)
            np.testing.assert_array_equal(again.slide_vector, made.slide_vector)
            np.testing.assert_array_equal(again.regions.boxes, made.regions.boxes)
            if layout == "release":
                for name in ("vectors", "kept", "tokens", "has_cells"):
                    np.testing.assert_array_equal(getattr(again.regions, name), getattr(made.regions, name))


@pytest.mark.parametrize("layout", ["trident", "clam", "atlaspatch", "stamp", "csv"])
def test_regions_become_patches_elsewhere_and_that_is_said(layout: str, tmp_path: Path) -> None:
    made = regions()
    written = write_features(made, tmp_path, layout)
    told = " ".join(written.left_out)
    assert "places without a vector (1)" in told
    assert "the regions (2)" in told
    assert "cell vectors" in told
    vectors = next(file for file in written.files if layout != "trident" or "features_uni_v1" in file.parts)
    again = read_features(written.files[1] if layout == "clam" else vectors, HINTS)
    assert len(again.vectors) == 511
    np.testing.assert_array_equal(again.boxes, made.boxes[made.valid])


def test_places_between_pixels_are_kept_where_a_layout_can(tmp_path: Path) -> None:
    made = tiles(precision="float16")
    moved = replace(made, boxes=made.boxes + 0.25)
    for layout, shift in (("csv", 0.25), ("stamp", 0.25), ("trident", 0)):
        file = write_features(moved, tmp_path / layout, layout).files[0]
        np.testing.assert_array_equal(read_features(file, HINTS).boxes, made.boxes + shift)


def test_micrometres_come_back_bit_by_bit(tmp_path: Path) -> None:
    """A file of STAMP, read and written, has the same places to the last bit at any µm per pixel."""
    file = tmp_path / "s.h5"
    um = np.random.default_rng(1).uniform(0, 40000, (500, 2)).astype(np.float32)
    with h5py.File(file, "w") as held:
        held["coords"], held["feats"] = um, np.zeros((500, 2), np.float16)
        held.attrs.update({"unit": "um", "tile_size_um": 256.0, "tile_size_px": 224})
    again = write_features(read_features(file, Hints(slide_mpp=0.2527)), tmp_path, "stamp").files[0]
    with h5py.File(again) as held:
        np.testing.assert_array_equal(held["coords"], um)
        assert held.attrs["tile_size_um"] == pytest.approx(256, rel=1e-12)


def test_opened_as_a_hierarchy(tmp_path: Path) -> None:
    made = regions()
    write_features(made, tmp_path, "release")
    slide = hwsi.slide_from_array(np.full((40, 50, 3), 240, np.uint8), mpp=0.25)
    with pytest.raises(InputError, match=r"outside the slide of 40 x 50 px"):
        hwsi.open_features(tmp_path, slide)
    result = hwsi.open_features(tmp_path, mpp=0.25)
    assert repr(result) == "FeatureHierarchy('case-1.DX1', release: 2 regions, 512 patches x 4)"
    patches = result.patches
    assert [*patches] == ["region", "patch", "y0", "x0", "y1", "x1", "valid", "selected", "rank"]
    assert patches.iloc[256 + 17].tolist()[:6] == [1, 17, 512, 8192 + 512, 1024, 8192 + 1024]
    assert not patches["valid"][300]
    np.testing.assert_array_equal(result.patch_vectors, made.vectors)
    kept = result.selected_patches
    assert kept["region"].tolist() == [0] * 16 + [1] * 15
    np.testing.assert_array_equal(kept["patch"][:16], made.regions.kept[0])
    np.testing.assert_array_equal(result.regions[["y0", "x0", "y1", "x1"]], made.regions.boxes)
    np.testing.assert_array_equal(result.region_vectors, made.regions.vectors)
    np.testing.assert_array_equal(result.slide_vector, made.slide_vector)
    np.testing.assert_array_equal(result.cell_vectors, made.regions.tokens)
    assert result.slide_facts["layout"] == "release"
    with pytest.raises(StoreError, match="without its slide"):
        _ = result.slide


@pytest.mark.parametrize("part", ["cells", "phrases", "grid", "tissue", "region_vectors", "cell_vectors"])
def test_what_is_missing_says_so(part: str, tmp_path: Path) -> None:
    result = open_features(write_features(tiles(), tmp_path, "csv").files[0])
    with pytest.raises(
        InputError, match=rf"csv features of another tool, holds no .*{part.split('_')[-1][:4]}"
    ):
        getattr(result, part)
    with pytest.raises(InputError, match="'filter' at scale 'patch'"):
        result.attention("patch")


def test_a_slide_vector_is_the_files_own_or_a_mean(tmp_path: Path) -> None:
    made = regions()
    without = replace(made, slide_vector=None)
    write_features(without, tmp_path / "regions", "release")
    mean = open_features(tmp_path / "regions", mpp=0.25).slide_vector
    np.testing.assert_allclose(mean, made.regions.vectors.mean(0), rtol=1e-6)
    flat = tiles(slide=False)
    result = open_features(write_features(flat, tmp_path, "csv").files[0])
    np.testing.assert_allclose(result.slide_vector, flat.vectors.mean(0), rtol=1e-6)
    assert len(result.selected_patches) == len(flat.vectors)
    assert len(result.regions) == 0


def test_the_result_of_an_analysis_goes_to_every_layout(whole: Path, tmp_path: Path) -> None:
    result = hwsi.open_result(whole)
    made = features_of(result)
    valid = result.patches["valid"].to_numpy(bool)
    assert made.valid.sum() == valid.sum() > 10
    for layout in LAYOUTS:
        written = write_features(made, tmp_path / layout, layout)
        file = next(
            f for f in written.files if f.suffix != ".npz" and "_patches" not in f.name and f.stat().st_size
        )
        if layout == "clam":
            file = written.files[1]
        again = open_features(tmp_path / layout if layout == "release" else file, result.slide)
        vectors = again.patch_vectors[again.features.valid]
        expected = result.patch_vectors[valid]
        np.testing.assert_allclose(vectors, expected, atol=1e-3 if layout == "stamp" else 0)
        boxes = result.patches.loc[valid, ["y0", "x0", "y1", "x1"]]
        np.testing.assert_array_equal(again.patches.loc[again.patches["valid"], [*boxes]], boxes)
    release = open_features(tmp_path / "release", result.slide)
    both = (release.selected_patches, result.selected_patches)
    np.testing.assert_array_equal(*(table[["y0", "x0", "rank"]] for table in both))
    np.testing.assert_allclose(release.slide_vector, result.slide_vector)


def test_real_features(data: Path) -> None:
    """777 tiles of a TCGA slide: feats and coords without unit or size, as a tool of 2024 left them."""
    folder = data / "features" / "mopadi_example_data"
    file = folder / "TCGA-AD-6964-01Z-00-DX1" / "features.h5"
    with pytest.raises(InputError, match="512 px apart"):
        open_features(file)
    result = open_features(file, patch_px=512, name="TCGA-AD-6964")
    assert result.slide_facts["name"] == "TCGA-AD-6964"
    assert result.layout == "stamp"
    assert result.patch_vectors.shape == (777, 512)
    names = [name.stem[6:-1].split(",") for name in file.parent.glob("Tile_*.jpg")]
    corners = {(int(x), int(y)) for x, y in names}
    assert len(corners) == 3
    assert corners <= {*result.patches[["x0", "y0"]].itertuples(index=False, name=None)}
    with h5py.File(file) as held:
        np.testing.assert_array_equal(result.patch_vectors, held["feats"])
    nowhere = folder / "TCGA-3X-AAVA-01Z-00-DX1" / "features.h5"
    with pytest.raises(InputError, match=r"trident: no dataset coords.*stamp: no dataset feats"):
        open_features(nowhere, patch_px=512)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_cut_short(layout: str, tmp_path: Path) -> None:
    for file in write_features(regions() if layout == "release" else tiles(), tmp_path, layout).files:
        if file.suffix in (".json", ".npz") or file.parent.name == "slide_embeddings":
            continue
        content = file.read_bytes()
        file.write_bytes(content[: len(content) * 2 // 3 if layout != "csv" else -30])
        with pytest.raises(HwsiError, match=rf"{file.name}.*cannot be read"):
            read_features(file, HINTS, layout)
        file.write_bytes(content)


def test_names_in_a_file_lead_nowhere_else(tmp_path: Path) -> None:
    made = tiles()
    with pytest.raises(InputError, match="not a name"):
        replace(FACTS, name="../../etc/x")
    away = replace(made, facts=replace(FACTS, encoder="../../../away"))
    for layout in ("trident", "stamp", "atlaspatch"):
        for file in write_features(away, tmp_path / "out", layout).files:
            assert file.resolve().is_relative_to(tmp_path / "out")
    assert read_features(file, HINTS).vectors.shape == made.vectors.shape


def test_a_damaged_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    file = write_features(tiles(), tmp_path, "trident").files[1]
    with h5py.File(file, "a") as held:
        held["features"].resize((10**9, 5))
    with pytest.raises(InputError, match="more than the file can hold"):
        read_features(file)


def _change(file: Path, name: str, values: np.ndarray) -> None:
    with h5py.File(file, "a") as held:
        attrs = dict(held[name].attrs)
        del held[name]
        held[name] = values
        held[name].attrs.update(attrs)


@pytest.mark.parametrize(
    ("layout", "name", "values", "wrong"),
    [
        ("trident", "features", np.ones((2, 5), np.float32), "2 vectors, but 3 places"),
        ("trident", "features", np.ones((3, 5), np.int64), "int64.*where vectors"),
        ("trident", "features", np.array([[b"a"]] * 3), "where vectors are expected"),
        ("trident", "features", np.full((3, 5), np.nan, np.float32), "not finite"),
        ("trident", "coords", np.array([[0, 0], [0, 512], [7000, 0]]), "1 of 3 patches begin outside"),
        ("trident", "coords", np.array([[0, 0], [0, 512], [0, -1]]), "1 of 3 patches begin outside"),
        ("trident", "coords", np.ones((3, 3)), r"not numbers \(N, 2\)"),
        ("clam", "features", np.ones((4, 5), np.float32), "4 vectors, but 3 places"),
        ("atlaspatch", "features/uni_v1", np.ones((1, 5), np.float32), "1 vectors, but 3 places"),
        ("stamp", "feats", np.ones((3, 5, 1), np.float16), "where vectors are expected"),
        ("stamp", "coords", np.array([["a", "b"]] * 3, "S1"), "not numbers"),
    ],
)
def test_parts_that_do_not_fit(
    layout: str, name: str, values: np.ndarray, wrong: str, tmp_path: Path
) -> None:
    made = replace(tiles(), facts=replace(FACTS, slide_shape=(9000, 7000)))
    for file in write_features(made, tmp_path, layout).files:
        if file.suffix == ".h5" and name.split("/")[0] in h5py.File(file):
            _change(file, name, values)
            with pytest.raises(InputError, match=wrong) as refused:
                read_features(file, HINTS)
            assert "\n" not in str(refused.value)
            return
    raise AssertionError("the file that is to be changed was not found")


def test_a_tensor_file_that_holds_code_is_not_loaded(tmp_path: Path) -> None:
    file = write_features(tiles(), tmp_path, "slide2vec").files[1]
    torch.save(Path("x"), file)
    with pytest.raises(InputError, match="cannot be read as tensors"):
        read_features(file)
    torch.save([1, 2], file)
    with pytest.raises(InputError, match="holds a list, not a tensor"):
        read_features(file)


def test_patches_without_a_size(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("x,y,width,height,v\n1,2,0,5,1\n")
    with pytest.raises(InputError, match="no size"):
        read_features(tmp_path / "s.csv")


def test_features_that_a_layout_cannot_hold(tmp_path: Path) -> None:
    made = tiles()
    with pytest.raises(InputError, match="regions of 16 x 16"):
        write_features(made, tmp_path, "release")
    larger = made.boxes.copy()
    larger[2, 2:] += 40
    uneven = replace(made, boxes=larger)
    with pytest.raises(InputError, match=r"512 to 552 px.*Choose csv"):
        write_features(uneven, tmp_path, "clam")
    unknown = replace(made, facts=replace(FACTS, slide_mpp=None, slide_shape=None))
    for layout in ("trident", "stamp", "clam"):
        with pytest.raises(ValueError, match="Give the slide"):
            write_features(unknown, tmp_path, layout)
    with pytest.raises(InputError, match=r'no layout "hdf5"\. Choose from: release, trident'):
        write_features(made, tmp_path, "hdf5")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_features(made, tmp_path / "file", "csv")
    assert not [*tmp_path.rglob("*.h5")]


def test_the_wrong_layout_and_an_unknown_file(tmp_path: Path) -> None:
    file = write_features(tiles(), tmp_path, "csv").files[0]
    with pytest.raises(InputError, match=r"not in the layout stamp: not an \.h5 file"):
        read_features(file, layout="stamp")
    with pytest.raises(InputError, match="does not exist"):
        open_features(tmp_path / "nowhere.h5")
    (tmp_path / "a.txt").write_text("x,y\n")
    with pytest.raises(InputError, match=r"no layout of features.*csv: not a \.csv file"):
        open_features(tmp_path / "a.txt")


def test_several_slides_in_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        made = regions()
        write_features(replace(made, facts=replace(made.facts, name=name)), tmp_path, "release")
    with pytest.raises(InputError, match=r"2 slides \(a, b\)"):
        open_features(tmp_path, mpp=0.25)
    assert open_features(tmp_path, mpp=0.25, name="b").slide_facts["name"] == "b"
