"""Where networks run, and what happens when memory does not suffice."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from napari_hwsi.encoders.batches import choose_device, in_batches, in_batches_by_size
from napari_hwsi.errors import InputError


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("MPS backend out of memory")])
def test_out_of_memory_halves_the_batch_and_goes_on(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []

    def run(rows: slice) -> list[int]:
        tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > 3:
            raise error
        return list(range(rows.start, rows.stop))

    with caplog.at_level(logging.WARNING):
        parts = list(in_batches(run, 11, 8))
    assert [i for _, part in parts for i in part] == list(range(11))
    assert [(rows.start, rows.stop) for rows, _ in parts] == [(i, min(i + 2, 11)) for i in range(0, 11, 2)]
    assert tried == [8, 4, 2, 2, 2, 2, 2, 1]  # never again with what was too much
    assert "8 at a time; going on with 4" in caplog.text


def test_one_row_too_large_and_other_errors_are_not_hidden() -> None:
    def full(rows: slice) -> None:
        raise torch.OutOfMemoryError("CUDA")

    with pytest.raises(torch.OutOfMemoryError):
        list(in_batches(full, 4, 4))
    tried = []

    def broken(rows: slice) -> None:
        tried.append(rows)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches(broken, 4, 4))
    assert len(tried) == 1
    with pytest.raises(InputError, match="at least one"):
        list(in_batches(broken, 4, 0))


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for wrong in ("toaster", "cuda:99"):
        with pytest.raises(InputError, match=f"Device '{wrong}' cannot be used"):
            choose_device(wrong)


def test_images_of_one_size_go_together_and_come_back_in_their_order() -> None:
    images = [np.full((side, side, 3), i, np.uint8) for i, side in enumerate((4, 6, 4, 4, 6, 4))]
    seen: list[tuple[int, int]] = []

    def run(stack: np.ndarray, rows: slice) -> list[int]:
        if rows.stop - rows.start > 2:
            raise torch.OutOfMemoryError
        seen.append((stack.shape[1], rows.stop - rows.start))
        return [int(image.max()) for image in stack[rows]]

    said, size = in_batches_by_size(run, images, 4, lambda: None)
    assert said == [0, 1, 2, 3, 4, 5]
    assert seen == [(4, 2), (4, 2), (6, 2)]
    assert size == 2
