"""Stain normalisation: fitted to tissue alone, and what it does to a slide stained otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_hwsi.errors import InputError, TissueError
from napari_hwsi.slides import Slide, open_slide, slide_from_array
from napari_hwsi.tissue import HE_MATRIX, NORMALISERS, fit_normaliser, tissue_mask
from napari_hwsi.tissue.normalisation import REFERENCE_MACENKO, REFERENCE_REINHARD, fit_macenko

GLASS = 243


def stained(vectors: np.ndarray, strength: float, seed: int = 0) -> np.ndarray:
    """Tissue of known stain vectors and amounts (900, 900, 3): mixtures of both, beside plain glass."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.18, (900, 900, 2)) * strength
    share = rng.random((900, 900))
    amounts[..., 0] *= share < 0.6
    amounts[..., 1] *= share > 0.4
    density = amounts @ vectors
    image = np.clip(np.rint(256 * 10**-density - 1), 0, GLASS).astype(np.uint8)
    image[:, :200] = GLASS
    return image


def slide_of(image: np.ndarray) -> Slide:
    return slide_from_array(image, mpp=0.5, name="made")


def colours(image: np.ndarray) -> np.ndarray:
    return image[:, 200:].reshape(-1, 3).astype(float).mean(0)


@pytest.mark.parametrize(("name", "left"), [("macenko", 0.25), ("reinhard", 0.75)])
def test_two_stainings_of_one_tissue_come_together_and_glass_stays_glass(name: str, left: float) -> None:
    turned = HE_MATRIX @ np.array([[0.9, 0.1, 0.05], [0.05, 1.0, 0.0], [0.1, 0.0, 0.85]])
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    first, second = stained(HE_MATRIX, 1.0), stained(turned, 1.5)
    made = []
    for image in (first, second):
        slide = slide_of(image)
        normaliser = fit_normaliser(name, slide, tissue_mask(slide))
        assert normaliser == fit_normaliser(name, slide, tissue_mask(slide))
        made.append(normaliser(image))
    before = np.abs(colours(first) - colours(second)).max()
    after = np.abs(colours(made[0]) - colours(made[1])).max()
    assert before > 20
    assert after < before * left
    for image in made:
        assert np.abs(image[:, :200].astype(int) - GLASS).max() <= 2


def test_stain_vectors_are_found() -> None:
    pixels = stained(HE_MATRIX, 1.0)[:, 200:].reshape(-1, 3)
    fitted = fit_macenko(pixels[pixels.max(1) < 190])
    cosines = (np.array(fitted.vectors) * HE_MATRIX / np.linalg.norm(HE_MATRIX, axis=1)[:, None]).sum(1)
    assert cosines.min() > 0.99
    with pytest.raises(TissueError, match="one stain only"):
        fit_macenko(np.repeat(np.linspace(20, 180, 999, dtype=np.uint8)[:, None], 3, 1))


def test_the_reference_is_a_public_slide_as_this_module_sees_it(cmu: Path) -> None:
    with open_slide(cmu) as slide:
        tissue = tissue_mask(slide)
        macenko, reinhard = (fit_normaliser(name, slide, tissue) for name in NORMALISERS)
        patch = slide.read((1000, 850), (256, 256), mpp=0.5)
    np.testing.assert_allclose(macenko.vectors, REFERENCE_MACENKO.vectors, atol=2e-3)
    np.testing.assert_allclose(macenko.amounts, REFERENCE_MACENKO.amounts, atol=2e-2)
    np.testing.assert_allclose(reinhard.mean, REFERENCE_REINHARD.mean, atol=2e-3)
    # normalised to itself a slide stays what it is, but for what is neither of the two stains
    assert np.abs(reinhard(patch).astype(int) - patch).mean() < 1
    assert np.abs(macenko(patch).astype(int) - patch).mean() < 9


def test_what_cannot_be_fitted_is_refused() -> None:
    slide = slide_of(np.full((400, 400, 3), GLASS, np.uint8))
    with pytest.raises(TissueError, match="too little"):
        fit_normaliser("reinhard", slide, tissue_mask(slide))
    with pytest.raises(InputError, match="macenko, reinhard"):
        fit_normaliser("vahadane", slide, tissue_mask(slide))
