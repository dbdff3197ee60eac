"""The measured patch descriptor: the same each time, and different for what looks different."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_hwsi as hwsi
from napari_hwsi.encoders import DescriptorEncoder
from napari_hwsi.encoders.measures import halve, measure_patch
from napari_hwsi.encoders.phrases import PHRASES
from napari_hwsi.errors import InputError

ENCODER = DescriptorEncoder()


def disc_patch(radius: float, count: int, ground: tuple[int, int, int] = (230, 170, 200)) -> np.ndarray:
    """Purple discs on a grid, radius in µm, on an even ground: (256, 256, 3)."""
    image = np.full((256, 256, 3), ground, np.uint8)
    y, x = np.mgrid[:256, :256] * 0.5
    side = int(np.sqrt(count))
    for i in range(side):
        for j in range(side):
            centre = (np.array([i, j]) + 0.5) * 128 / side
            image[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = (90, 60, 140)
    return image


@pytest.fixture(scope="module")
def real(data: Path) -> dict[str, np.ndarray]:
    """Real patches at about 0.5 µm/px, several of a kind where a slide has them."""
    core = hwsi.open_slide(data / "wsi" / "HE_example_instanseg.ome.tif")
    skin = hwsi.open_slide(data / "wsi" / "CMU-1-Small-Region.svs")
    fat = Image.open(data / "qc_tiles" / "tiles" / "low-nuclei-score-level0.png").convert("RGB")
    glass = Image.open(data / "qc_tiles" / "tiles" / "no-tissue.png").convert("RGB")
    places = {
        "lymphocytes": (core, (250, 250)),
        "lymphocytes again": (core, (520, 150)),
        "tumour": (core, (900, 450)),
        "collagen": (skin, (2300, 1100)),
        "collagen again": (skin, (2500, 1200)),
    }
    patches = {name: slide.read(place, (256, 256)) for name, (slide, place) in places.items()}
    patches["fat"] = np.asarray(fat.resize((256, 256), Image.Resampling.BOX))
    patches["glass"] = np.asarray(glass)[:256, :256]
    return patches


def test_every_measure_has_its_reference_and_is_finite() -> None:
    rng = np.random.default_rng(0)
    extremes = [np.zeros((256, 256, 3)), np.full((256, 256, 3), 255), rng.integers(0, 256, (256, 256, 3))]
    for patch in extremes:
        measures = measure_patch(patch.astype(np.uint8))
        assert {*measures} == {*ENCODER.dimensions}
        assert np.isfinite([float(value) for value in measures.values()]).all()
        assert np.isfinite(ENCODER.encode(patch.astype(np.uint8)[None])).all()


def test_same_bytes_alone_and_in_company(real: dict[str, np.ndarray]) -> None:
    images = np.stack([*real.values()])
    together = ENCODER.encode(images)
    assert together.dtype == np.float32
    assert together.shape == (len(images), ENCODER.width)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    alone = np.concatenate([DescriptorEncoder().encode(image[None]) for image in images])
    assert together.tobytes() == alone.tobytes()
    assert ENCODER.encode(images[:0]).shape == (0, ENCODER.width)


def test_turned_patches_measure_nearly_the_same(real: dict[str, np.ndarray]) -> None:
    for patch in real.values():
        turned = np.stack([patch, np.rot90(patch), patch[::-1]])
        cosines = (vectors := ENCODER.encode(turned)) @ vectors[0]
        assert cosines.min() > 0.97


def test_what_looks_alike_is_near_and_the_rest_is_not(real: dict[str, np.ndarray]) -> None:
    names = [*real]
    vectors = ENCODER.encode(np.stack([*real.values()]))
    cosine = {
        (a, b): float(vectors[i] @ vectors[j]) for i, a in enumerate(names) for j, b in enumerate(names)
    }
    for pair in (("lymphocytes", "lymphocytes again"), ("collagen", "collagen again")):
        others = [cosine[pair[0], name] for name in names if name not in pair]
        assert cosine[pair] > max(others) + 0.1
    assert cosine["lymphocytes", "fat"] < 0
    assert cosine["lymphocytes", "collagen"] < 0.3


@pytest.mark.parametrize(
    ("phrase", "highest", "lowest"),
    [
        ("crowded nuclei", "lymphocytes", "glass"),
        ("few nuclei", "glass", "lymphocytes"),
        ("many small dark nuclei", "lymphocytes", "fat"),
        ("pink fibrous stroma", "collagen", "lymphocytes"),
        ("fat", "fat", "lymphocytes"),
        ("pale or empty", "glass", "lymphocytes"),
    ],
)
def test_phrases_find_what_they_say(
    real: dict[str, np.ndarray], phrase: str, highest: str, lowest: str
) -> None:
    scores = ENCODER.encode(np.stack([*real.values()])) @ ENCODER.encode_text([phrase])[0]
    order = [[*real][i].removesuffix(" again") for i in np.argsort(-scores)]
    assert order[0] == highest
    assert scores[[*real].index(highest)] > 0.15 > scores[[*real].index(lowest)]


def test_nuclei_are_counted_and_sized() -> None:
    few, many = measure_patch(disc_patch(4, 16)), measure_patch(disc_patch(4, 64))
    assert few["nuclear_blobs"] ** 2 == pytest.approx(16, abs=1)
    assert many["nuclear_blobs"] ** 2 == pytest.approx(64, abs=2)
    assert few["nuclear_share"] == pytest.approx(16 * np.pi * 16 / 128**2, rel=0.15)
    small, large = measure_patch(disc_patch(3, 16)), measure_patch(disc_patch(6, 16))
    assert small["nuclear_depth_3um"] < 0.1 < large["nuclear_depth_3um"]
    assert np.exp(large["nuclear_area"]) == pytest.approx(np.pi * 36, rel=0.15)
    assert measure_patch(disc_patch(1.2, 64))["dark_specks"] ** 2 == pytest.approx(64, abs=2)


def test_stripes_are_coherent_and_discs_are_not() -> None:
    stripes = np.full((256, 256, 3), 235, np.uint8)
    stripes[:, (np.arange(256) // 8) % 2 == 0] = (225, 150, 190)
    assert measure_patch(stripes)["fibre_coherence_128um"] > 0.95
    assert measure_patch(disc_patch(5, 36))["fibre_coherence_128um"] < 0.2


def test_bands_share_out_the_variance() -> None:
    patch = np.random.default_rng(3).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    measures = measure_patch(patch)
    bands = [measures[f"haematoxylin_band_{upper}um"] for upper in (1, 2, 4, 8, 16)]
    assert bands[0] == max(bands)
    assert halve(np.arange(16, dtype=np.float32).reshape(4, 4)).tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_phrases_weigh_measures_that_exist() -> None:
    for phrase, weights in PHRASES.items():
        assert {*weights} <= {*ENCODER.dimensions}, phrase
    vectors = ENCODER.encode_text(ENCODER.vocabulary)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(
        ENCODER.encode_text(["  Crowded   NUCLEI "]), ENCODER.encode_text(["crowded nuclei"])
    )
    assert ENCODER.encode_text([]).shape == (0, ENCODER.width)


def test_other_phrases_and_pictures_are_refused() -> None:
    with pytest.raises(InputError, match=r'"invasive carcinoma".*"crowded nuclei"'):
        ENCODER.encode_text(["invasive carcinoma"])
    for wrong in (np.zeros((1, 224, 224, 3), np.uint8), np.zeros((1, 256, 256, 3), np.float32)):
        with pytest.raises(InputError, match="256"):
            ENCODER.encode(wrong)
