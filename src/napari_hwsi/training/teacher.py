"""Labels for real tissue without masks: nuclei that are found again however the picture is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.transform import resize

from ..cells.segmenter import Segmenter
from ..metrics import overlaps
from ..slides import RGB
from ..tissue import HE_MATRIX, optical_density

Labels = NDArray[np.int32]


@dataclass(frozen=True)
class View:
    """One way of changing a picture that leaves its nuclei where they are.

    scale: µm/px it is shown at, relative to what it is; haematoxylin, eosin: factors of the stains;
    blur_um: sigma; turn: quarter turns.
    """

    scale: float = 1.0
    haematoxylin: float = 1.0
    eosin: float = 1.0
    blur_um: float = 0.0
    turn: int = 0


VIEWS = (
    View(),
    View(scale=0.85),
    View(scale=1.2),
    View(haematoxylin=0.8, eosin=1.15, turn=1),
    View(haematoxylin=1.2, eosin=0.85, turn=2),
    View(blur_um=0.5, turn=3),
)

_DOUBTFUL = 0.2  # share of the votes from which a pixel may be one


def agreed(votes: Sequence[Labels], share: float = 0.65) -> tuple[Labels, NDArray[np.bool_]]:
    """Return the nuclei most of the label images ``votes`` of one picture have, and where that is sure.

    A nucleus of one of the first three votes that a ``share`` of all have as well (IoU above 0.5)
    is believed, with the pixels that half of those agree on; where single votes see others,
    nothing is known.
    """
    labels = np.zeros(votes[0].shape, np.int32)
    boxes = [ndimage.find_objects(vote) for vote in votes]
    for base in votes[:3]:
        partners = np.stack([_partners(base, vote) for vote in votes])
        trusted = (partners > 0).mean(0) >= share
        trusted[np.unique(base[labels > 0])] = False  # an earlier vote has brought it already
        trusted[0] = False
        for i in np.flatnonzero(trusted):
            own = [(v, p) for v, p in enumerate(partners[:, i]) if p]
            spans = [boxes[v][p - 1] for v, p in own]
            box = tuple(
                slice(min(s[axis].start for s in spans), max(s[axis].stop for s in spans)) for axis in (0, 1)
            )
            inside = np.mean([votes[v][box] == p for v, p in own], axis=0) >= 0.5
            inside &= labels[box] == 0
            labels[box][inside] = labels.max() + 1
    support = np.mean([vote > 0 for vote in votes], axis=0)
    return labels, (labels > 0) | (support < _DOUBTFUL)


def _partners(base: Labels, vote: Labels) -> NDArray[np.int64]:
    """Return, by label of ``base`` from 0 on, the label of ``vote`` with an IoU above 0.5, or 0."""
    table = overlaps(base, vote)
    match = table.iou > 0.5
    partner = np.zeros(int(base.max(initial=0)) + 1, np.int64)
    names, others = (np.unique(image[image > 0]) for image in (base, vote))
    partner[names[table.truth[match]]] = others[table.predicted[match]]
    return partner


def votes_of(rgb: RGB, mpp: float, segmenter: Segmenter, views: Sequence[View] = VIEWS) -> list[Labels]:
    """Return what a segmenter finds in each view of a picture, label images of the picture's own shape."""
    return [_seen(rgb, mpp, segmenter, view) for view in views]


def _seen(rgb: RGB, mpp: float, segmenter: Segmenter, view: View) -> Labels:
    shape = rgb.shape[:2]
    working = max(mpp, segmenter.mpp)
    size = [max(8, round(n * mpp / working / view.scale)) for n in shape]
    shown = np.stack(
        [
            resize(optical_density(rgb[..., c]), size, order=1, anti_aliasing=True, preserve_range=True)
            for c in range(3)
        ],
        axis=-1,
    )
    if view.haematoxylin != 1 or view.eosin != 1:
        basis = np.vstack([HE_MATRIX, np.cross(*HE_MATRIX)])
        basis /= np.linalg.norm(basis, axis=1, keepdims=True)
        amounts = shown @ np.linalg.inv(basis)
        shown = (amounts * (view.haematoxylin, view.eosin, 1.0)) @ basis
    if view.blur_um:
        sigma = view.blur_um / working
        shown = ndimage.gaussian_filter(shown, (sigma, sigma, 0))
    image = np.clip(np.rint(256 * 10.0**-shown - 1), 0, 255).astype(np.uint8)
    found = segmenter.segment(np.ascontiguousarray(np.rot90(image, view.turn)), (working, working)).labels
    found = np.rot90(found, -view.turn)
    rows, columns = ((np.arange(n) + 0.5) * m / n for n, m in zip(shape, found.shape, strict=True))
    return np.ascontiguousarray(found[rows.astype(int)[:, None], columns.astype(int)])
