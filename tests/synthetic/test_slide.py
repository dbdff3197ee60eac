"""Windows of a synthetic slide: the same pixels and truth, however they are asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.synthetic import REGIONS, TYPES, Scanner, SlideSpec, Stain, SyntheticSlide, Truth
from napari_hwsi.synthetic.slide import BLOCK

SPEC = SlideSpec(seed=7, shape=(4096, 4096))
WINDOW = (1401, 2287, 1787, 2733)  # across the seams at 1536 and 2560, in tumour, stroma and lymphoid tissue


@pytest.fixture(scope="module")
def slide() -> SyntheticSlide:
    return SyntheticSlide(SPEC)


@pytest.fixture(scope="module")
def pixels(slide: SyntheticSlide) -> npt.NDArray[np.uint8]:
    return slide.read(WINDOW[:2], (WINDOW[2] - WINDOW[0], WINDOW[3] - WINDOW[1]))


@pytest.fixture(scope="module")
def truth(slide: SyntheticSlide) -> Truth:
    return slide.truth(WINDOW)


def ids(truth: Truth) -> npt.NDArray[np.uint64]:
    """Return the slide-wide id of the nucleus at every pixel, 0 for none."""
    return np.concatenate([np.zeros(1, np.uint64), truth.nuclei["id"].to_numpy(np.uint64)])[truth.labels]


def test_same_seed_same_pixels_whatever_was_read_before(pixels: npt.NDArray[np.uint8]) -> None:
    other = SyntheticSlide(SPEC)
    other.read((600, 3000), (40, 40))
    part = other.read((1520, 2549), (37, 23))
    np.testing.assert_array_equal(part, pixels[119:156, 262:285])


def test_other_seeds_differ(pixels: npt.NDArray[np.uint8]) -> None:
    other = SyntheticSlide(SlideSpec(seed=8, shape=(4096, 4096))).read((1536, 2560), (60, 60))
    assert np.abs(other.astype(int) - pixels[135:195, 273:333]).mean() > 5


def test_no_seam_where_blocks_meet(slide: SyntheticSlide, pixels: npt.NDArray[np.uint8]) -> None:
    """One rendering across a seam shows what the blocks beside it show."""
    whole, regions, artefacts = SyntheticSlide(SPEC).render((1500, 2500, 1580, 2620))
    cut = slice(99, 179), slice(213, 333)
    np.testing.assert_array_equal(whole, pixels[cut])
    np.testing.assert_array_equal(regions, slide.truth((1500, 2500, 1580, 2620)).regions)
    assert not artefacts.any()


def test_truth_of_a_window_is_cut_from_the_truth_of_a_larger_one(truth: Truth) -> None:
    box = (1499, 2511, 1603, 2650)
    small = SyntheticSlide(SPEC).truth(box)
    cut = slice(box[0] - WINDOW[0], box[2] - WINDOW[0]), slice(box[1] - WINDOW[1], box[3] - WINDOW[1])
    np.testing.assert_array_equal(ids(small), ids(truth)[cut])
    np.testing.assert_array_equal(small.regions, truth.regions[cut])
    shared = truth.nuclei.set_index("id").loc[small.nuclei["id"]].reset_index()
    assert shared.equals(small.nuclei)


def test_nuclei_are_whole_across_seams(truth: Truth) -> None:
    """Nuclei on a seam are as large as their axes say: nothing is cut off at 1536 or 2560."""
    table = truth.nuclei
    reach = table["major_um"] / SPEC.mpp / 2
    on_seam = (np.abs(table["y"] - 1536) < 0.5 * reach) | (np.abs(table["x"] - 2560) < 0.5 * reach)
    inside = (table["y"] - reach > WINDOW[0]) & (table["y"] + reach < WINDOW[2])
    inside &= (table["x"] - reach > WINDOW[1]) & (table["x"] + reach < WINDOW[3])
    area = np.bincount(truth.labels.ravel(), minlength=len(table) + 1)[1:] * SPEC.mpp**2
    full = np.pi / 4 * table["major_um"] * table["minor_um"]
    ratio = (area / full).to_numpy()
    assert on_seam.sum() > 10
    assert np.median(ratio[on_seam & inside]) == pytest.approx(np.median(ratio[~on_seam & inside]), abs=0.1)
    assert np.median(ratio[on_seam & inside]) > 0.8


def test_labels_are_numbered_as_the_table(truth: Truth) -> None:
    np.testing.assert_array_equal(np.unique(truth.labels), np.arange(len(truth.nuclei) + 1))
    assert set(truth.nuclei["type_name"]) <= set(TYPES[1:])
    np.testing.assert_array_equal(truth.types > 0, truth.labels > 0)
    places = truth.nuclei[["y", "x"]].to_numpy()
    for row in (5, len(places) // 2, len(places) - 5):
        y, x = np.nonzero(truth.labels == row + 1)
        off = places[row] - (y.mean() + WINDOW[0] + 0.5, x.mean() + WINDOW[1] + 0.5)
        touches = y.min() == 0 or x.min() == 0 or y.max() == 385 or x.max() == 445
        assert touches or np.abs(off).max() < 4


def test_nuclei_hold_more_haematoxylin_than_what_surrounds_them(
    pixels: npt.NDArray[np.uint8], truth: Truth
) -> None:
    red = -np.log((pixels[..., 0].astype(float) + 1) / 243)  # haematoxylin absorbs red, eosin hardly does
    assert np.median(red[truth.labels > 0]) > np.median(red[truth.labels == 0]) + 0.3
    sums = np.bincount(truth.labels.ravel(), red.ravel()) / np.bincount(truth.labels.ravel())
    assert (sums[1:] > np.median(red[truth.labels == 0])).mean() > 0.97


def test_no_nuclei_on_glass_or_in_lumens_and_glass_is_bright() -> None:
    slide = SyntheticSlide(SPEC)
    box = (100, 1500, 500, 2300)  # the upper border of the tissue
    truth, pixels = slide.truth(box), slide.read(box[:2], (400, 800))
    glass = truth.regions == REGIONS.index("glass")
    assert 0.1 < glass.mean() < 0.9
    assert not (truth.labels[glass] > 0).any()
    assert (truth.labels[truth.regions == REGIONS.index("lumen")] > 0).mean() < 0.02
    deep = glass.copy()
    deep[:-20] &= glass[20:]
    assert pixels[deep].mean() > 225
    assert pixels[~glass].mean() < pixels[deep].mean() - 25


def test_types_live_where_they_belong(truth: Truth) -> None:
    regions = np.array(REGIONS)[truth.regions]
    tumour = np.isin(regions, ["tumour"])
    assert (tumour[truth.types == TYPES.index("neoplastic")]).mean() > 0.97
    assert (~tumour[truth.types == TYPES.index("connective")]).mean() > 0.97


def test_a_window_of_a_huge_slide_is_made_alone() -> None:
    huge = SyntheticSlide(SlideSpec(seed=3, shape=(100_000, 100_000)))
    box = (50_043, 41_207, 50_163, 41_347)
    window = huge.read(box[:2], (120, 140))
    again = SyntheticSlide(SlideSpec(seed=3, shape=(100_000, 100_000))).read((50_063, 41_227), (80, 100))
    np.testing.assert_array_equal(window[20:100, 20:120], again)
    truth = huge.truth(box)
    assert window.std() > 5
    assert truth.labels.max() == len(truth.nuclei) > 0


def test_the_same_tissue_at_twice_the_resolution() -> None:
    fine = SyntheticSlide(SlideSpec(seed=7, shape=(8192, 8192), mpp=0.25))
    coarse = SyntheticSlide(SPEC)
    a, b = fine.truth((3200, 4800, 3400, 5000)), coarse.truth((1600, 2400, 1700, 2500))
    assert set(b.nuclei["id"]) <= set(fine.truth((3196, 4796, 3404, 5004)).nuclei["id"])
    assert (a.regions[::2, ::2] == b.regions).mean() > 0.97


def test_outside_the_slide_is_white_and_empty(slide: SyntheticSlide) -> None:
    assert (slide.read((-40, -40), (40, 40)) == np.array(SPEC.scanner.white, np.uint8)).all()
    assert slide.read((4090, 10), (20, 20)).shape == (20, 20, 3)
    truth = slide.truth((-50, -50, -10, -10))
    assert not truth.labels.any()
    assert not truth.regions.any()
    assert len(truth.nuclei) == 0


def test_stain_and_scanner_change_the_picture_and_not_the_truth() -> None:
    other = SyntheticSlide(
        SlideSpec(seed=7, shape=(4096, 4096), stain=Stain(strength=(0.5, 0.5)), scanner=Scanner(blur_um=1.5))
    )
    base = SyntheticSlide(SPEC)
    box = (1600, 2400, 1660, 2460)
    assert other.read(box[:2], (60, 60)).mean() > base.read(box[:2], (60, 60)).mean() + 10
    np.testing.assert_array_equal(other.truth(box).labels, base.truth(box).labels)


@pytest.mark.parametrize(
    "wrong",
    [{"seed": -1}, {"shape": (10, 4096)}, {"mpp": 2.0}, {"grade": 4}, {"shape": (4096, 4096, 3)}],
)
def test_a_senseless_spec_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        SlideSpec(**wrong)  # type: ignore[arg-type]


def test_an_empty_window_is_refused(slide: SyntheticSlide) -> None:
    with pytest.raises(InputError, match="empty"):
        slide.read((0, 0), (0, BLOCK))
