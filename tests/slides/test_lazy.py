"""Levels that decode when looked at."""

from __future__ import annotations

import copy
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import InputError
from napari_hwsi.slides import open_slide, set_cache_size, tile_cache
from napari_hwsi.slides.cache import DEFAULT_BYTES, TileCache
from napari_hwsi.slides.lazy import LazyLevel, coarser
from napari_hwsi.slides.reader import hatched

WHITE = (255, 255, 255)
IMAGE = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)


def level_of(image: np.ndarray, padded: tuple[int, int], tile: tuple[int, int], reads: list) -> LazyLevel:
    def read(y0: int, y1: int, x0: int, x1: int):
        reads.append((y0, y1, x0, x1))
        return image[y0:y1, x0:x1], None

    return LazyLevel(read, image.shape[:2], padded, tile, WHITE)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[:],
        np.s_[10:20, 30:40],
        np.s_[5],
        np.s_[-1, 3],
        np.s_[..., 1],
        np.s_[3:600:7, 2:800:5, ::2],
        np.s_[699:5000, 890:],
        np.s_[20:10],
    ],
)
def test_slices_like_an_array(key) -> None:
    level = level_of(IMAGE, (700, 900), (100, 100), [])
    np.testing.assert_array_equal(level[key], IMAGE[key])


def test_is_an_array_to_numpy() -> None:
    level = level_of(IMAGE, (700, 900), (100, 100), [])
    np.testing.assert_array_equal(np.asarray(level), IMAGE)
    assert (level.ndim, level.dtype, len(level), level.size) == (3, np.uint8, 700, IMAGE.size)
    with pytest.raises(IndexError):
        level[700]
    with pytest.raises(IndexError):
        level[::-1]


@pytest.mark.parametrize(
    ("tile", "side"), [((240, 256), (960, 1024)), ((8, 3840), (1024, 1024)), ((700, 1), (700, 1024))]
)
def test_chunks_are_whole_tiles_of_512_to_1024_px(tile: tuple[int, int], side: tuple[int, int]) -> None:
    level = level_of(IMAGE, (5000, 6000), tile, [])
    assert (level.chunks[0][0], level.chunks[1][0]) == side
    assert (sum(level.chunks[0]), sum(level.chunks[1])) == (5000, 6000)


def test_only_what_is_looked_at_is_decoded_and_once() -> None:
    reads: list = []
    level = level_of(np.tile(IMAGE, (4, 4, 1)), (2800, 3600), (256, 256), reads)
    level[100:200, 100:200]
    level[50:900, 50:900]
    assert reads == [(0, 1024, 0, 1024)]
    level[1000:1100, 1000:1100]
    assert len(reads) == 4


def test_a_copy_is_the_same_level(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        level = slide.lazy_levels[0]
        assert copy.deepcopy([level])[0] is level


def test_padding_is_background() -> None:
    level = level_of(IMAGE, (1024, 1024), (512, 512), [])
    whole = np.asarray(level)
    np.testing.assert_array_equal(whole[:700, :900], IMAGE)
    assert (whole[700:] == 255).all()
    assert (whole[:, 900:] == 255).all()


def test_shapes_of_a_viewer_have_the_true_ratios(data: Path) -> None:
    with open_slide(data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        shapes = [level.shape[:2] for level in slide.lazy_levels]
        ratios = [(shapes[0][0] / y, shapes[0][1] / x) for y, x in shapes]
        assert ratios == [(1, 1), (2, 2), (8, 8)]
        assert [level.extent for level in slide.lazy_levels[:2]] == list(slide.level_shapes)
        assert [level.shape[:2] for level in slide.levels[:2]] == list(slide.level_shapes)


def test_coarser_levels_are_looked_at_from_many_threads_without_waiting_for_ever() -> None:
    """Every depth at once, whole and in single chunks, by more threads than there are workers."""
    image = np.tile(IMAGE, (7, 5, 1))
    base = level_of(image, image.shape[:2], (256, 256), [])
    levels = [base, coarser(base, (1225, 1125), WHITE)]
    levels.append(coarser(levels[1], (307, 282), WHITE))
    levels.append(coarser(levels[2], (77, 71), WHITE))
    corners = [(y, x) for y in (0, 0.5, 1) for x in (0, 0.5, 1)]
    looks = [(level, np.s_[:]) for level in levels[::-1]]
    for level in levels:
        places = [(int(y * (level.shape[0] - 8)), int(x * (level.shape[1] - 8))) for y, x in corners]
        looks += [(level, np.s_[y : y + 8, x : x + 8]) for y, x in places]
    pixels: dict[int, np.ndarray] = {}
    ready = threading.Barrier(len(looks))

    def look(i: int) -> None:
        level, key = looks[i]
        ready.wait()
        pixels[i] = np.asarray(level[key])

    threads = [threading.Thread(target=look, args=(i,), daemon=True) for i in range(len(looks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(pixels) == len(looks)
    want: np.ndarray = image
    for got in (pixels[2], pixels[1], pixels[0]):
        want = np.pad(want, [(0, -want.shape[0] % 4), (0, -want.shape[1] % 4), (0, 0)], mode="edge")
        want = want.reshape(want.shape[0] // 4, 4, want.shape[1] // 4, 4, 3).mean((1, 3))
        assert np.abs(got - want).max() <= 0.5
        want = got


def test_averaging_holds_a_band_and_keeps_only_means() -> None:
    """A chunk of a coarser level stands on 4096 px a side of the finer one."""
    reads: list = []
    image = np.tile(IMAGE, (6, 5, 1))
    fine = level_of(image, image.shape[:2], (256, 256), reads)
    set_cache_size(0)
    set_cache_size(DEFAULT_BYTES)
    coarse = np.asarray(coarser(fine, (1050, 1125), WHITE))
    assert np.abs(coarse - image.reshape(1050, 4, 1125, 4, 3).mean((1, 3))).max() <= 0.5
    assert max((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in reads) <= 1024 * 4096
    assert sum((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in reads) == 4200 * 4500  # each pixel once
    assert tile_cache().nbytes == coarse.nbytes


def test_a_mean_of_what_cannot_be_read_is_hatched_and_made_again() -> None:
    image = np.tile(IMAGE, (4, 4, 1))
    away = np.zeros(image.shape[:2], bool)
    away[1024:1100, 40:44] = True

    def read(y0: int, y1: int, x0: int, x1: int):
        readable = ~away[y0:y1, x0:x1]
        pixels = np.where(readable[..., None], image[y0:y1, x0:x1], np.uint8(7))
        return pixels, None if readable.all() else readable

    fine = LazyLevel(read, image.shape[:2], image.shape[:2], (256, 256), WHITE)
    coarse = coarser(fine, (700, 900), WHITE)
    means = image.reshape(700, 4, 900, 4, 3).mean((1, 3))
    first = np.asarray(coarse[:])
    hole = np.zeros((700, 900), bool)
    hole[256:275, 10] = True
    np.testing.assert_array_equal(first[hole], hatched((0, 0), (700, 900))[hole])
    assert np.abs(first[~hole] - means[~hole]).max() <= 0.5
    away[:] = False
    assert np.abs(np.asarray(coarse[:]) - means).max() <= 0.5


def test_the_cache_is_bounded_and_drops_the_oldest() -> None:
    cache = TileCache(limit=3000)
    tiles = {i: np.full((10, 33, 3), i, np.uint8) for i in range(5)}
    for i, tile in tiles.items():
        assert cache.get(i, lambda tile=tile: tile) is tile
        cache.get(0, lambda: pytest.fail("the tile that is used most was dropped"))
    assert cache.nbytes == 2970
    decoded: list[int] = []
    cache.get(1, lambda: decoded.append(1) or tiles[1])
    assert decoded == [1]
    cache.resize(1000)
    assert cache.nbytes == 990
    with pytest.raises(ValueError, match="read-only"):
        tiles[0][:] = 0


def test_threads_that_want_the_same_tile_decode_it_once() -> None:
    cache, decoded = TileCache(), []
    ready = threading.Barrier(8)

    def decode() -> np.ndarray:
        decoded.append(threading.get_ident())
        return np.zeros((4, 4, 3), np.uint8)

    def look() -> None:
        ready.wait()
        cache.get("tile", decode)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decoded) == 1


def test_a_failure_is_raised_and_not_kept() -> None:
    cache = TileCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("tile", lambda: 1 // 0)
    assert cache.get("tile", lambda: IMAGE) is IMAGE


def test_the_size_of_the_cache_is_a_setting(cmu: Path) -> None:
    try:
        set_cache_size(4 << 20)
        with open_slide(cmu) as slide:
            np.asarray(slide.lazy_levels[0])
            assert 0 < tile_cache().nbytes <= 4 << 20
        with pytest.raises(InputError):
            set_cache_size(-1)
    finally:
        set_cache_size(DEFAULT_BYTES)
