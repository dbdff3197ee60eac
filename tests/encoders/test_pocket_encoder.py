"""The pocket patch encoder that ships: what its vectors are, what they see, and its recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from napari_hwsi import encoders
from napari_hwsi.encoders import DescriptorEncoder
from napari_hwsi.encoders.pocket import SHIPPED, PocketEncoder
from napari_hwsi.errors import InputError, WeightsError
from napari_hwsi.synthetic import Scanner, SlideSpec, Stain, SyntheticSlide
from napari_hwsi.training.patches import Schedule, train


@pytest.fixture(scope="module")
def pocket() -> PocketEncoder:
    encoder = encoders.load("pocket", device="cpu")
    assert isinstance(encoder, PocketEncoder)
    return encoder


@pytest.fixture(scope="module")
def stained() -> list[NDArray[np.uint8]]:
    """The same sixteen patches of a slide, twice: in another stain, under another scanner."""
    looks = (
        (Stain.of_seed(501), Scanner()),
        (Stain.of_seed(502), Scanner(blur_um=0.5, sharpening=0.2, white=(228.0, 232.0, 236.0))),
    )
    pictures = [
        SyntheticSlide(SlideSpec(9012, (2048, 2048), stain=stain, scanner=scanner)).read(
            (512, 512), (1024, 1024)
        )
        for stain, scanner in looks
    ]
    return [p.reshape(4, 256, 4, 256, 3).swapaxes(1, 2).reshape(16, 256, 256, 3) for p in pictures]


def test_a_vector_is_a_learned_and_a_measured_half(
    pocket: PocketEncoder, stained: list[NDArray[np.uint8]]
) -> None:
    images, descriptor = stained[0], DescriptorEncoder()
    found = pocket.encode(images)
    assert (pocket.mpp, pocket.input_px, found.shape, found.dtype) == (
        0.5,
        256,
        (16, pocket.width),
        np.float32,
    )
    assert encoders.models()["pocket"].width == pocket.width
    learned = pocket.width - descriptor.width
    assert found[:, :learned] / np.sqrt(0.8) == pytest.approx(pocket.encode_network(images), abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    # phrases mean what they mean to the descriptor
    words = pocket.vocabulary
    scores = descriptor.encode(images) @ descriptor.encode_text(words).T
    assert found @ pocket.encode_text(words).T == pytest.approx(scores * np.sqrt(0.2), abs=1e-6)
    assert pocket.encode(images[:0]).shape == (0, pocket.width)
    with pytest.raises(InputError, match="256"):
        pocket.encode(images[:, :128])
    with pytest.raises(InputError, match="does not understand"):
        pocket.encode_text(["carcinoma"])


def test_a_vector_does_not_depend_on_its_batch(
    pocket: PocketEncoder, stained: list[NDArray[np.uint8]]
) -> None:
    alone = np.concatenate([pocket.encode_network(image[None]) for image in stained[0][:5]])
    assert alone.tobytes() == pocket.encode_network(stained[0])[:5].tobytes()


def test_a_place_is_found_again_in_another_stain(
    pocket: PocketEncoder, stained: list[NDArray[np.uint8]]
) -> None:
    def again(encode: object) -> float:
        first, second = (encode(images) for images in stained)  # type: ignore[operator]
        return float(((first @ second.T).argmax(1) == np.arange(16)).mean())

    assert again(pocket.encode_network) >= max(0.75, again(DescriptorEncoder().encode))


def test_the_weights_are_small_and_those_of_another_network_are_refused(
    pocket: PocketEncoder, tmp_path: Path
) -> None:
    file = SHIPPED / "pocket.safetensors"
    assert file.stat().st_size < 8e6
    assert encoders.load("pocket", file, device="cpu").version == pocket.version
    state = load_file(file)
    state["stem.weight"] = torch.zeros(8, 3, 3, 3)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"stem\.weight"):
        encoders.load("pocket", tmp_path / "other.safetensors", device="cpu")


def test_the_recipe_runs_from_scenes_to_weights(tmp_path: Path) -> None:
    schedule = Schedule(steps=2, pairs=8, settled=128)
    out = train(tmp_path, tmp_path / "out", pictures=(), seeds=(0,), dyed=None, schedule=schedule)
    rows = (tmp_path / "out" / "pocket.csv").read_text().splitlines()
    assert rows[0].startswith("step,")
    assert rows[-1].startswith("2,")
    made = encoders.load("pocket", out, device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    assert np.isfinite(made.encode(images)).all()
