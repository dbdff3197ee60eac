"""Patches decoded ahead."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_hwsi.errors import InputError, SlideUnavailableError
from napari_hwsi.slides import open_slide, set_cache_size, stream_patches
from napari_hwsi.slides.cache import DEFAULT_BYTES
from napari_hwsi.slides.tiff_level import TiffLevel

GRID = np.array([(y, x) for y in range(-30, 2900, 256) for x in range(17, 2200, 256)])


@pytest.mark.parametrize("mpp", [None, 0.499, 1.2])
def test_every_patch_comes_once_and_equals_a_read(cmu: Path, mpp: float | None) -> None:
    with open_slide(cmu) as slide:
        seen: list[int] = []
        for batch in stream_patches(slide, GRID, mpp, (64, 80), batch=7):
            assert 1 <= len(batch.indices) <= 7
            assert tuple(batch.pixels.shape) == (len(batch.indices), 3, 64, 80)
            assert batch.readable.all()
            for row, index in enumerate(batch.indices):
                np.testing.assert_array_equal(batch.images[row], slide.read(GRID[index], (64, 80), mpp))
            seen += batch.indices.tolist()
    assert sorted(seen) == list(range(len(GRID)))


def test_the_order_is_the_same_whatever_the_threads(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        orders = [
            [batch.indices.tolist() for batch in stream_patches(slide, GRID, batch=9, threads=n)]
            for n in (1, 3)
        ]
    assert orders[0] == orders[1]


def test_tensors_share_memory_and_are_channels_last(cmu: Path) -> None:
    import torch

    with open_slide(cmu) as slide:
        batch = next(stream_patches(slide, GRID, batch=4))
    assert batch.pixels.dtype == torch.uint8
    assert batch.pixels.is_contiguous(memory_format=torch.channels_last)
    batch.images[0, 1, 2, 0] ^= 255
    assert batch.pixels[0, 0, 1, 2] == batch.images[0, 1, 2, 0]


def test_each_tile_is_decoded_once(cmu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    segment = TiffLevel._segment

    def counting(self: TiffLevel, index: int):
        decoded.append(index)
        return segment(self, index)

    with open_slide(cmu) as slide:
        slide.read((0, 0), (8, 8))  # the level is proved
        slide._backend._direct[0]._kept(0, 0)
        monkeypatch.setattr(TiffLevel, "_segment", counting)
        for _ in stream_patches(slide, GRID, size=(256, 256), batch=8):
            pass
    tiles = -(-2967 // 240) * -(-2220 // 240)
    assert len(decoded) == len(set(decoded)) <= tiles
    assert len(decoded) > tiles * 0.9


def test_few_batches_are_held_ahead(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        read: list[int] = []
        own = slide.read

        def counting(*args, **kwargs):
            read.append(threading.get_ident())
            return own(*args, **kwargs)

        slide.read = counting
        stream = stream_patches(slide, GRID, size=(32, 32), batch=4, threads=2)
        next(stream)
        stream.close()  # waits for the threads
        assert len(read) <= 4 * 4


def test_damaged_patches_are_marked(cmu: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(cmu, tmp_path / "damaged.svs"))
    with tifffile.TiffFile(cmu) as file:
        start, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(count))
    origins = [(0, 0), (100, 100), (240, 0), (600, 600)]
    with open_slide(path) as slide:
        (batch,) = stream_patches(slide, origins, size=(64, 64))
        readable = dict(zip(batch.indices.tolist(), batch.readable.tolist(), strict=True))
        assert readable == {0: False, 1: False, 2: True, 3: True}
        assert not batch.images[~batch.readable].any()
        path.write_bytes(b"gone")
        with pytest.raises(SlideUnavailableError):
            list(stream_patches(slide, [(1500, 1500)], size=(64, 64)))


def test_no_patches_and_senseless_numbers(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        assert list(stream_patches(slide, np.empty((0, 2)))) == []
        with pytest.raises(InputError):
            next(stream_patches(slide, GRID, batch=0))


def test_a_small_cache_changes_nothing_but_time(cmu: Path) -> None:
    try:
        set_cache_size(0)
        with open_slide(cmu) as slide:
            for batch in stream_patches(slide, GRID[:20], size=(100, 100)):
                for row, index in enumerate(batch.indices):
                    np.testing.assert_array_equal(batch.images[row], slide.read(GRID[index], (100, 100)))
    finally:
        set_cache_size(DEFAULT_BYTES)
