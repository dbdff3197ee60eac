"""How levels lie on each other."""

import pytest

from napari_hwsi.slides.pyramid import exact_shapes, read_region_steps, true_ratios


@pytest.mark.parametrize(
    ("shapes", "ratios"),
    [
        ([(3567, 4443), (1783, 2221)], [1, 2]),  # the pixel left over is dropped
        ([(3567, 4443), (1784, 2222)], [1, 2]),  # or added
        ([(4096, 4096), (1024, 1024), (256, 256), (64, 64)], [1, 4, 16, 64]),
        ([(100_003, 99_999), (25_000, 24_999), (6250, 6249)], [1, 4, 16]),
        ([(1, 1)], [1]),
    ],
)
def test_a_whole_ratio_is_recognised(shapes: list[tuple[int, int]], ratios: list[int]) -> None:
    assert true_ratios(shapes) == tuple((r, r) for r in ratios)


def test_other_ratios_are_those_of_the_sizes() -> None:
    assert true_ratios([(1000, 2000), (400, 800)]) == ((1, 1), (2.5, 2.5))
    assert true_ratios([(1000, 2000), (500, 400)]) == ((1, 1), (2, 5))


def test_exact_shapes_hold_the_slide_and_have_its_ratios() -> None:
    shapes = exact_shapes((3567, 4443), [(1, 1), (2, 2), (8, 8)])
    assert shapes == [(3568, 4448), (1784, 2224), (446, 556)]
    assert exact_shapes((1000, 2000), [(1, 1), (2.5, 2.5)]) is None
    assert exact_shapes((1000, 2000), [(1, 1), (2, 2), (3, 3)]) is None
    assert exact_shapes((1000, 2000), [(1, 1), (2048, 2048)]) is None


def test_steps_are_the_means_that_openslide_reports(data) -> None:
    import openslide

    for name in ("TCGA-CR-7395-01A-01-TS1.svs", "test3-DAPI-2-387.ndpi"):
        with openslide.OpenSlide(data / "wsi" / name) as slide:
            shapes = [(h, w) for w, h in slide.level_dimensions]
            assert read_region_steps(shapes) == pytest.approx(slide.level_downsamples, rel=1e-12)
