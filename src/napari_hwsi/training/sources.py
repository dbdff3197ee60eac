"""What the nucleus network learns from: images, and what is known of their nuclei."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.draw import polygon2mask

from ..slides import RGB, open_slide
from ..synthetic import ARTEFACTS, SlideSpec, SyntheticSlide
from ..units import Box

NUCLEUS_UM = 8.0  # taken as the usual diameter, where a file states no pixel size
_PATCH_PX = 512
_LARGE_PX = 1024


@dataclass(frozen=True)
class Source:
    """One image and its nuclei.

    rgb: uint8 (Y, X, 3) at ``mpp`` µm/px; labels: int32 (Y, X), 0 background; known: bool (Y, X), where
    the labels are to be believed; types: uint8 (Y, X), positions in the synthetic TYPES, 0 unknown.
    kind: 'synthetic', 'masks', 'real' or 'empty'. held_out: kept for choosing, never trained on.
    """

    name: str
    kind: str
    rgb: RGB
    mpp: float
    labels: NDArray[np.int32]
    known: NDArray[np.bool_]
    types: NDArray[np.uint8]
    held_out: bool = False

    @classmethod
    def of(
        cls, name: str, kind: str, rgb: RGB, mpp: float, labels: NDArray[np.int32] | None = None
    ) -> Source:
        """Return a source of which everything is known, types apart; without labels it has no nuclei."""
        shape = rgb.shape[:2]
        found = np.zeros(shape, np.int32) if labels is None else labels
        return cls(name, kind, rgb, mpp, found, np.ones(shape, bool), np.zeros(shape, np.uint8))

    def save(self, folder: Path) -> None:
        """Write it to ``folder`` as one file."""
        facts = np.array([self.kind, repr(self.mpp), str(int(self.held_out))])
        part, whole = (folder / f"{self.name}{end}" for end in (".part.npz", ".npz"))
        np.savez(part, rgb=self.rgb, labels=self.labels, known=self.known, types=self.types, facts=facts)
        part.rename(whole)

    @classmethod
    def load(cls, path: Path) -> Source:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            kind, mpp, held_out = file["facts"].tolist()
            return cls(
                path.stem,
                kind,
                file["rgb"],
                float(mpp),
                file["labels"],
                file["known"],
                file["types"],
                bool(int(held_out)),
            )


def synthetic_sources(seeds: range, held_out: bool = False) -> Iterator[Source]:
    """Yield a patch of 512 px of each seed's slide, at 0.5 µm/px or, one in four, 0.25, with its exact truth.

    One slide in three has artefacts: there nuclei may be hidden, and what lies under them is not
    known, unless there is nothing.
    """
    for seed in seeds:
        rng = np.random.default_rng(seed)
        mpp = 0.25 if seed % 4 == 3 else 0.5
        artefacts = ARTEFACTS if seed % 3 == 2 else ()
        slide = SyntheticSlide(SlideSpec(seed=seed, shape=(4096, 4096), mpp=mpp, artefacts=artefacts))
        box = _busy(slide, rng)
        truth = slide.truth(box)
        rgb = slide.read(box[:2], (_PATCH_PX, _PATCH_PX))
        known = (truth.artefacts == 0) | (truth.labels == 0)
        name = f"synthetic_{seed:05d}"
        yield Source(name, "synthetic", rgb, mpp, truth.labels, known, truth.types, held_out)


def _busy(slide: SyntheticSlide, rng: np.random.Generator) -> Box:
    """Return the block with most nuclei of six drawn, or the last but one in a third of the slides."""
    places = [tuple(int(v) * _PATCH_PX for v in rng.integers(0, 8, 2)) for _ in range(6)]
    boxes: list[Box] = [(y, x, y + _PATCH_PX, x + _PATCH_PX) for y, x in places]
    ordered = sorted(boxes, key=lambda box: len(slide.nuclei(box)))
    return ordered[-1] if rng.uniform() < 0.67 else ordered[1]


def mask_sources(folder: Path, hold_out: int = 5) -> Iterator[Source]:
    """Yield the images of ``folder``/images with the masks of ``folder``/labels; one in five is held out.

    No pixel size is stated: it is guessed such that the median nucleus, by area, is 8 µm wide.
    """
    for i, path in enumerate(sorted((folder / "images").glob("*.png"))):
        rgb = np.asarray(Image.open(path).convert("RGB"))
        labels = tifffile.imread(folder / "labels" / f"{path.stem}.tif").astype(np.int32)
        mpp = NUCLEUS_UM / nucleus_px(labels)
        source = Source.of(f"masks_{path.stem[:12]}", "masks", rgb, mpp, labels)
        yield replace(source, held_out=i % hold_out == 0)


def nucleus_px(labels: NDArray[np.int32]) -> float:
    """Return the median diameter of the nuclei that the border does not cut, px; 16 where there is none."""
    areas = np.bincount(labels.ravel())
    cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    areas[cut] = 0
    areas[0] = 0
    whole = areas[areas > 20]
    return float(np.clip(2 * np.sqrt(np.median(whole) / np.pi), 8, 64)) if len(whole) else 16.0


@dataclass(frozen=True)
class Picture:
    """A real picture without masks.

    path: below the data folder; mpp: µm/px, as stated or as judged from the size of its nuclei; empty: it
    shows no nucleus, as far as it lies within a polygon of (y, x) px, where one is given: dark matter that
    is easily taken for nuclei, outlined by eye.
    """

    path: str
    mpp: float
    empty: bool = False
    within: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """Name of its source."""
        stem = Path(self.path).stem.translate(str.maketrans(",", "_", "()"))
        return f"{'empty' if self.empty else 'real'}_{stem}"


def picture_sources(folder: Path, pictures: Sequence[Picture], label: Labeller) -> Iterator[Source]:
    """Yield real pictures with the labels that ``label`` finds; the last fifth of large ones is held out."""
    for picture in pictures:
        rgb = read_picture(folder / picture.path)
        if picture.empty:
            yield _empty(picture, rgb)
            continue
        labels, known = label(picture, rgb)
        source = Source(
            picture.name, "real", rgb, picture.mpp, labels, known, np.zeros(labels.shape, np.uint8)
        )
        yield from _parts(source) if min(labels.shape) >= _LARGE_PX else (source,)


def _empty(picture: Picture, rgb: RGB) -> Source:
    if not picture.within:
        return Source.of(picture.name, "empty", rgb, picture.mpp)
    (y0, x0), (y1, x1) = np.min(picture.within, axis=0), np.max(picture.within, axis=0)
    source = Source.of(picture.name, "empty", np.ascontiguousarray(rgb[y0:y1, x0:x1]), picture.mpp)
    known = polygon2mask(source.known.shape, np.array(picture.within) - (y0, x0))
    return replace(source, known=known)


Labeller = Callable[[Picture, RGB], tuple[NDArray[np.int32], NDArray[np.bool_]]]
"""Finds nuclei of a picture: labels, and where they are to be believed."""


def _parts(source: Source) -> Iterator[Source]:
    """Yield the first four fifths of the columns to train on, and the rest, held out."""
    at = int(source.labels.shape[1] * 0.8)
    for part, held_out in ((slice(None, at), False), (slice(at, None), True)):
        yield replace(
            source,
            name=f"{source.name}_{'held' if held_out else 'train'}",
            rgb=source.rgb[:, part],
            labels=source.labels[:, part],
            known=source.known[:, part],
            types=source.types[:, part],
            held_out=held_out,
        )


def read_picture(path: Path) -> RGB:
    """Return all pixels of a slide or an ordinary image, (Y, X, 3) uint8."""
    if path.suffix in (".png", ".jpg"):
        return np.asarray(Image.open(path).convert("RGB"))
    slide = open_slide(path)
    return slide.read((0, 0), slide.shape)


def distances(
    labels: NDArray[np.int32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return three maps (Y, X) float32 that describe nuclei, 0 outside.

    The distance to the nucleus' own edge as a share of its largest (1 at the middle), and the
    vertical and horizontal distances from its centre of mass as a share of its reach on
    that side, −1 to 1 (Graham et al., HoVer-Net, Medical Image Analysis 58, 2019).
    """
    depth = np.zeros(labels.shape, np.float32)
    vertical, horizontal = np.zeros_like(depth), np.zeros_like(depth)
    for i, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None:
            continue
        inside = labels[box] == i
        distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        depth[box][inside] = (distance / distance.max())[inside]
        y, x = np.nonzero(inside)
        for values, out in ((y - y.mean(), vertical), (x - x.mean(), horizontal)):
            reach = np.where(values < 0, max(-values.min(), 0.5), max(values.max(), 0.5))
            out[box][inside] = values / reach
    return depth, vertical, horizontal
