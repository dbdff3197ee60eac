"""The recipe of the nucleus network: its labels for real tissue, and a run of a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_hwsi.cells.pocket import PocketSegmenter
from napari_hwsi.synthetic import SlideSpec, SyntheticSlide
from napari_hwsi.training.batches import Prepared, make_batch
from napari_hwsi.training.fit import Schedule
from napari_hwsi.training.nuclei import train
from napari_hwsi.training.sources import Picture, Source, distances
from napari_hwsi.training.teacher import agreed


def test_only_what_most_votes_have_is_believed() -> None:
    votes = [np.zeros((20, 40), np.int32) for _ in range(4)]
    for i, vote in enumerate(votes):
        vote[5:15, 5:15] = i + 3  # all see it, under other numbers
        if i < 2:
            vote[5:15, 25:35] = i + 1  # half see it
    labels, known = agreed(votes, 0.65)
    assert np.array_equal(labels > 0, votes[2] > 0)
    assert not known[5:15, 25:35].any()
    assert known[:, :20].all()


def test_distances_are_turned_with_their_crop() -> None:
    labels = np.zeros((400, 400), np.int32)
    labels[::40, ::40] = np.arange(1, 101).reshape(10, 10)
    labels = np.kron(labels[::40, ::40], np.pad(np.ones((20, 30), np.int32), ((10, 10), (5, 5))))
    source = Source.of("squares", "synthetic", np.full((*labels.shape, 3), 200, np.uint8), 0.5, labels)
    prepared = Prepared.of(source)
    for seed in range(8):
        batch = make_batch([prepared], np.random.default_rng(seed))
        seen = batch.nucleus[0, 0].numpy() > 0
        for axis in (0, 1):
            rising = np.diff(batch.offsets[0, axis].numpy(), axis=axis)
            both = seen[1:] & seen[:-1] if axis == 0 else seen[:, 1:] & seen[:, :-1]
            assert np.percentile(rising[both], 5) >= 0  # from −1 to 1 along its own axis


def test_offsets_reach_one_at_the_edges() -> None:
    labels = np.zeros((30, 30), np.int32)
    labels[5:16, 8:23] = 4
    depth, vertical, horizontal = distances(labels)
    assert depth.max() == 1
    assert depth[5, 8] < 0.2
    np.testing.assert_allclose([vertical[5, 15], vertical[15, 15], horizontal[10, 8]], [-1, 1, -1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_few_steps_run_from_folder_to_weights(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    masks = data / "nuclei_train" / "dsb2018_histology"
    (masks / "images").mkdir(parents=True)
    (masks / "labels").mkdir()
    slide = SyntheticSlide(SlideSpec(seed=5, shape=(2048, 2048)))
    for i in range(2):
        box = (512, 512 * (i + 1), 768, 512 * (i + 1) + 256)
        image = Image.fromarray(slide.read(box[:2], (256, 256)))
        image.save(masks / "images" / f"{i}.png")
        tifffile.imwrite(masks / "labels" / f"{i}.tif", slide.truth(box).labels)
    image.save(data / "tissue.png")
    schedules = Schedule(2, 1e-3, crops=2), Schedule(1, 1e-3, crops=2), Schedule(1, 1e-3, crops=2)
    weights = train(data, out, (Picture("tissue.png", 0.5),), range(1), schedules)
    assert (out / "pocket.csv").read_text().splitlines()[1].startswith("1,")
    found = PocketSegmenter(weights).segment(np.asarray(image), (0.5, 0.5))
    assert found.labels.shape == (256, 256)
