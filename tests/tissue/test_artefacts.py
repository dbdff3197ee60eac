"""Artefacts: found by name where the truth has them, and not where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_hwsi import open_slide, slide_from_array
from napari_hwsi.errors import InputError
from napari_hwsi.synthetic import ARTEFACTS as KINDS
from napari_hwsi.synthetic import REGIONS, SlideSpec, SyntheticSlide
from napari_hwsi.synthetic.slide import BLOCK
from napari_hwsi.tissue import ARTEFACTS, CLASSES, Thresholds, TissueMask, separate_stains, tissue_mask
from napari_hwsi.training.sources import synthetic_sources

from ..batch.conftest import write_small

SIDE = 2560


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, regions and artefacts of a slide of 2.6 mm with every kind of artefact."""
    slide = SyntheticSlide(SlideSpec(seed=102, shape=(SIDE, SIDE), mpp=1.0, artefacts=KINDS))
    rows = [[slide.block(i, j) for j in range(SIDE // BLOCK)] for i in range(SIDE // BLOCK)]
    image, regions, artefacts = (
        np.concatenate([np.concatenate([block[k] for block in row], 1) for row in rows]) for k in range(3)
    )
    return image, regions, artefacts


@pytest.fixture(scope="module")
def found(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> TissueMask:
    return tissue_mask(slide_from_array(made[0], 1.0))


def dice(true: np.ndarray, found: np.ndarray) -> float:
    return 2 * float((true & found).sum()) / float(true.sum() + found.sum())


def test_names_are_those_of_the_truth() -> None:
    assert ARTEFACTS == KINDS
    assert CLASSES[2:] == ARTEFACTS


@pytest.mark.parametrize(
    ("name", "floor"),
    [("pen", 0.85), ("out of focus", 0.7), ("fold", 0.6), ("air bubble", 0.8), ("coverslip edge", 0.75)],
)
def test_each_kind_is_found(
    made: tuple[np.ndarray, np.ndarray, np.ndarray], found: TissueMask, name: str, floor: float
) -> None:
    number = ARTEFACTS.index(name) + 1
    true = made[2][4::8, 4::8] == number
    assert true.any()
    assert dice(true, found.artefacts == number) > floor


def test_tissue_is_what_is_left(made: tuple[np.ndarray, np.ndarray, np.ndarray], found: TissueMask) -> None:
    sound = (made[1] != REGIONS.index("glass"))[4::8, 4::8] & (made[2][4::8, 4::8] == 0)
    assert dice(sound, found.mask) > 0.9
    assert (found.artefacts[sound] > 0).mean() < 0.03
    assert not (found.mask & (found.artefacts > 0)).any()
    np.testing.assert_array_equal(found.classes == 1, found.mask)


def test_a_threshold_that_is_given_is_used(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Each kind can be switched off, and what was used can be read."""
    off = Thresholds(pen=np.inf, pen_dark=np.inf, pen_strong=np.inf, focus=-np.inf, fold=np.inf, line=np.inf)
    mask = tissue_mask(slide_from_array(made[0], 1.0), off)
    assert not mask.artefacts.any()
    assert mask.thresholds.line == np.inf
    assert 0.03 <= (mask.thresholds.tissue or 0) <= 0.07
    paler = tissue_mask(slide_from_array(made[0], 1.0), Thresholds(tissue=0.3))
    assert paler.mask.sum() < 0.5 * mask.mask.sum()
    with pytest.raises(InputError, match="'fold'"):
        Thresholds(fold=float("nan"))


REAL = (
    ("CMU-1-Small-Region.svs", None),
    ("TCGA-CR-7395-01A-01-TS1.svs", None),
    ("TCGA-CR-7395-01A-01-TS1.svs", 0.5),
    ("HE_example_instanseg.ome.tif", None),
)


@pytest.mark.parametrize(("name", "mpp"), REAL)
def test_sound_slides_have_no_artefacts(data: Path, name: str, mpp: float | None) -> None:
    """Blood, dark epidermis and dense borders among them: at most half a percent of the tissue."""
    with open_slide(data / "wsi" / name, mpp=mpp) as slide:
        mask = tissue_mask(slide)
    assert mask.mask.mean() > 0.3
    assert (mask.artefacts > 0).sum() < 0.005 * mask.mask.sum()


@pytest.fixture(scope="module")
def skin(data: Path) -> np.ndarray:
    """A real section at 1 µm/px, (1483, 1110, 3)."""
    with open_slide(data / "wsi" / "CMU-1-Small-Region.svs") as slide:
        fine = slide.read((0, 0), (2966, 2220)).astype(np.uint16)
    return (fine.reshape(1483, 2, 1110, 2, 3).sum((1, 3)) // 4).astype(np.uint8)


def drawn_over(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with a winding translucent stroke of 0.2 mm on it, and where it is (1 µm/px)."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    depth = 100 - np.abs(x - width * (0.5 + 0.25 * np.sin(3 * y / height)))
    amount = np.clip(depth / 8 + 0.5, 0, 1)[..., None] * 0.9
    through = np.exp(np.log(np.array(colour) / 245) * amount)  # Beer and Lambert
    return (image * through).astype(np.uint8), depth > 0


def share_found(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """Return the share of a stroke that is called pen, and of what is called pen that is beside it."""
    picture, true = drawn_over(image, colour)
    pens = tissue_mask(slide_from_array(picture, 1.0)).artefacts == 1
    true = true[4::8, 4::8]
    pens = pens[: true.shape[0], : true.shape[1]]
    near = ndimage.binary_dilation(true, iterations=3)
    return float(pens[true].mean()), float((pens & ~near).sum() / max(pens.sum(), 1))


COLOURS = {
    "orange": (250, 130, 20),
    "yellow": (250, 230, 40),
    "violet": (120, 40, 160),
    "brown": (120, 70, 30),
    "cyan": (20, 170, 220),
    "teal": (4, 110, 110),
    "lime": (150, 220, 30),
}


@pytest.mark.parametrize("name", COLOURS)
def test_pens_of_any_colour_are_found_on_glass_and_tissue(skin: np.ndarray, name: str) -> None:
    recall, beside = share_found(skin, COLOURS[name])
    assert recall > 0.85
    assert beside < 0.05


def immunostained(image: np.ndarray) -> np.ndarray:
    """Return an H&E image with its haematoxylin replaced by brown, and its eosin by pale haematoxylin."""
    amounts = np.clip(separate_stains(image)[..., :2], 0, None) * (1.0, 0.6)
    stains = np.array([[0.27, 0.57, 0.78], [0.65, 0.70, 0.29]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    return np.clip(256 * 10 ** -(amounts @ stains) - 1, 0, 255).astype(np.uint8)


def test_brown_is_a_stain_where_the_structures_are_brown(skin: np.ndarray) -> None:
    """Immunohistochemistry is no ink; green ink on it is."""
    brown = immunostained(skin)
    clean = tissue_mask(slide_from_array(brown, 1.0))
    assert clean.mask.mean() > 0.2
    assert (clean.artefacts == 1).sum() < 0.005 * clean.mask.sum()
    recall, beside = share_found(brown, (20, 140, 80))
    assert recall > 0.9
    assert beside < 0.05


def test_pale_tissue_is_no_artefact(skin: np.ndarray) -> None:
    pale = (245 - (245 - skin.astype(float)) * 0.4).astype(np.uint8)
    mask = tissue_mask(slide_from_array(pale, 1.0))
    assert mask.mask.mean() > 0.25
    assert (mask.artefacts > 0).sum() < 0.02 * mask.mask.sum()


def test_without_mpp_only_pens_are_looked_for(skin: np.ndarray) -> None:
    picture, true = drawn_over(skin, (20, 140, 80))
    mask = tissue_mask(slide_from_array(picture))
    assert set(np.unique(mask.artefacts)) == {0, 1}
    assert mask.thresholds.fold is None
    assert mask.downsample == (2.0, 2.0)
    assert (mask.artefacts == 1)[: len(true) // 2][true[1::2, 1::2]].mean() > 0.7


@pytest.mark.parametrize("seed", [30, 87])
def test_a_small_field_full_of_nuclei_is_neither_ink_nor_folds(seed: int) -> None:
    (field,) = synthetic_sources(range(seed, seed + 1))
    rgb = field.rgb if field.mpp < 0.5 else np.kron(field.rgb[128:384, 128:384], np.ones((2, 2, 1), np.uint8))
    assert not tissue_mask(slide_from_array(rgb, 0.25)).artefacts.any()


def test_the_even_ground_of_a_small_biopsy_is_no_ink(tmp_path: Path) -> None:
    with open_slide(write_small(tmp_path / "small.tif", seed=3, side=420)) as slide:
        mask = tissue_mask(slide)
    assert not mask.artefacts.any()
    assert mask.mask.mean() > 0.2


def test_nothing_is_looked_for_in_fluorescence(data: Path) -> None:
    with open_slide(data / "wsi" / "test3-DAPI-2-387.ndpi") as slide:
        assert not tissue_mask(slide).artefacts.any()


def test_a_tile_of_tissue_alone_is_tissue(skin: np.ndarray) -> None:
    mask = tissue_mask(slide_from_array(np.ascontiguousarray(skin[600:760, 480:580]), 1.0))
    assert mask.mask.mean() > 0.97
    assert not mask.artefacts.any()


def test_a_field_wholly_out_of_focus_is_found(skin: np.ndarray) -> None:
    """The bounds hold where there is nothing sharp to compare with."""
    blurred = ndimage.gaussian_filter(skin, (6, 6, 0))
    mask = tissue_mask(slide_from_array(blurred, 1.0))
    stained = mask.mask | (mask.artefacts > 0)
    assert (mask.artefacts == 2).sum() > 0.6 * stained.sum()


@pytest.mark.parametrize("colour", [(255, 255, 255), (230, 120, 180), (0, 0, 0)])
def test_one_pixel(colour: tuple[int, int, int]) -> None:
    for mpp in (None, 0.5):
        mask = tissue_mask(slide_from_array(np.full((1, 1, 3), colour, np.uint8), mpp))
        assert mask.mask.shape == mask.artefacts.shape == mask.labels().shape == (1, 1)
        assert not mask.artefacts.any()


def test_an_empty_slide_is_empty_glass() -> None:
    noise = np.random.default_rng(0).integers(236, 248, (3000, 2000, 3), np.uint8)
    assert not tissue_mask(slide_from_array(noise, 0.5)).classes.any()


def test_a_small_biopsy_is_seen_at_the_masks_own_pixel() -> None:
    y, x = np.mgrid[:900, :900] - 450
    image = np.full((900, 900, 3), 243, np.uint8)
    image[np.hypot(y, 0.3 * x) < 60] = (214, 150, 190)
    mask = tissue_mask(slide_from_array(image, 0.5))
    assert mask.downsample == pytest.approx((14, 14), abs=4)
    area = np.pi * 60 * 60 / 0.3
    assert mask.area_in((0, 0, 900, 900)) == pytest.approx(min(area, 120 * 400 * 0.95), rel=0.1)


def test_sections_are_numbered_and_keep_their_holes() -> None:
    image = np.full((1500, 2500, 3), 243, np.uint8)
    image[200:1300, 100:1100] = (214, 150, 190)
    image[200:1300, 1400:2400] = (214, 150, 190)
    image[600:900, 450:750] = 243
    labels = tissue_mask(slide_from_array(image, 1.0)).labels()
    assert labels.max() == 2
    assert labels[94, 75] == 0
    assert labels[94, 30] == 1
    assert labels[94, 240] == 2


def test_what_was_painted_counts(found: TissueMask) -> None:
    classes = found.classes.astype(np.int64)
    classes[100:140, 100:160] = CLASSES.index("fold")
    classes[:20, :20] = CLASSES.index("tissue")
    classes[200:220, 200:220] = CLASSES.index("empty glass")
    changed = found.edited(classes)
    assert (changed.artefacts[100:140, 100:160] == 3).all()
    assert not changed.mask[100:140, 100:160].any()
    assert changed.mask[:20, :20].all()
    assert not changed.classes[200:220, 200:220].any()
    np.testing.assert_array_equal(changed.classes, classes)
    assert changed.downsample == found.downsample


def test_a_class_map_that_fits_nothing_is_refused(found: TissueMask) -> None:
    with pytest.raises(InputError, match="shape"):
        found.edited(found.classes[1:])
    with pytest.raises(InputError, match="0 to 6"):
        found.edited(np.full(found.mask.shape, 7))
    with pytest.raises(InputError, match="not both"):
        TissueMask(np.ones((2, 2), bool), (8.0, 8.0), np.ones((2, 2), np.uint8))
    with pytest.raises(InputError, match="mask of this slide"):
        found.check(slide_from_array(np.zeros((500, 500, 3), np.uint8)))
