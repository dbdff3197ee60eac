"""A synthetic slide: pixels, truth and report of any window, each made without the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from ..units import Box, Mpp, as_box, intersect
from .artefacts import Artefacts
from .layout import REGIONS, Layout
from .nuclei import Nuclei, Population
from .nucleus import footprint
from .paint import Painter, ground_of, territories
from .report import write_report
from .scanner import MARGIN_UM, photograph
from .spec import SlideSpec, Stain
from .textures import Textures, window
from .truth import Findings, Truth, nuclei_table, survey

Block = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]

BLOCK = 512  # px; pixels are always made in these blocks of the slide, so every window shows the same ones
_NUCLEUS_UM = 16.0  # no nucleus or cell colours a pixel farther from its centre


class SyntheticSlide:
    """One synthetic slide; the same spec gives the same pixels, whatever window is read first.

    Time and memory of a call depend on the window, not on the slide.
    """

    def __init__(self, spec: SlideSpec) -> None:
        self.spec = spec
        self.shape = spec.shape
        self.mpp: Mpp = (spec.mpp, spec.mpp)
        self.stain = spec.stain or Stain.of_seed(spec.seed)
        self.layout = Layout(spec)
        self.population = Population(spec.seed, self.layout)
        self._textures = Textures(spec.seed, spec.mpp)
        self._painter = Painter(spec.seed, spec.mpp, self._textures)
        self._artefacts = Artefacts(spec)
        self._block = lru_cache(maxsize=16)(self._made)

    @cached_property
    def findings(self) -> Findings:
        """Facts of the whole slide."""
        return survey(self.layout)

    @property
    def grade(self) -> int | None:
        """Grade of the tumour, 1 to 3; None where a survey of the slide meets no tumour."""
        return self.findings.grade

    @property
    def report(self) -> str:
        """A pathologist's report, written from the findings."""
        return write_report(self.findings)

    def read(self, origin: Sequence[int], size: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Return (h, w, 3) uint8 from ``origin`` (y, x) on, both in level-0 px; white outside the slide.

        Raises InputError for an empty size.
        """
        box = as_box((*origin, origin[0] + size[0], origin[1] + size[1]))
        out = np.empty((box[2] - box[0], box[3] - box[1], 3), np.uint8)
        out[:] = np.asarray(self.spec.scanner.white, np.uint8)
        for to, (image, _, _) in self._pieces(box):
            out[to] = image
        return out

    def truth(self, box: Sequence[float]) -> Truth:
        """Return the truth of a box (y0, x0, y1, x1), level-0 px: glass without nuclei outside the slide.

        Nuclei are whole nuclei of the slide: one that the box cuts has the same ``id``, centre and
        axes in every window that shows it. Raises InputError for an empty box.
        """
        whole = as_box(box)
        shape = whole[2] - whole[0], whole[3] - whole[1]
        labels, regions = np.zeros(shape, np.int32), np.full(shape, REGIONS.index("glass"), np.uint8)
        artefacts = np.zeros(shape, np.uint8)
        nuclei = self._near(whole)
        inside = intersect(whole, (0, 0, *self.shape))
        if inside is not None:
            owner = footprint(nuclei, whole[:2], shape, self.spec.mpp, None).owner
            to = _within(inside, whole[:2])
            labels[to] = owner[to] + 1
            for to, (_, classes, kinds) in self._pieces(whole):
                regions[to], artefacts[to] = classes, kinds
        seen, flat = np.unique(labels, return_inverse=True)
        rows = seen[seen > 0].astype(np.int64) - 1
        labels = (flat.reshape(shape) + (0 if seen[0] == 0 else 1)).astype(np.int32)
        table = nuclei_table(nuclei[rows], self.spec.mpp, self.shape)
        return Truth(whole, labels, regions, table, artefacts)

    def nuclei(self, box: Box) -> Nuclei:
        """Return the nuclei whose centre lies in a half-open box of level-0 px, ordered by y, then x."""
        y0, x0, y1, x1 = (v * self.spec.mpp for v in box)
        return self.population.inside(y0, x0, y1, x1)

    def block(self, i: int, j: int) -> Block:
        """Return pixels, region classes and artefacts of block row i, column j: (BLOCK, BLOCK) each."""
        return self._block(i, j)

    def render(self, box: Box) -> Block:
        """Return pixels, region classes and artefacts of a box computed at one go, not from blocks.

        Equal to `read`: what is drawn depends on the place, not on the window.
        """
        y0, x0, y1, x1 = box
        mpp = self.spec.mpp
        margin = int(np.ceil((MARGIN_UM + self._artefacts.reach(box)) / mpp))
        rows, columns = np.arange(y0 - margin, y1 + margin), np.arange(x0 - margin, x1 + margin)
        nuclei = self._near((y0 - margin, x0 - margin, y1 + margin, x1 + margin))
        ground = ground_of(self.layout, rows, columns, mpp)
        drawn = footprint(nuclei, (y0 - margin, x0 - margin), (len(rows), len(columns)), mpp, self._textures)
        dyes = self._painter.paint(ground, territories(nuclei, rows, columns, mpp), drawn, rows, columns)
        grain = np.stack([window(self._textures.speckle, rows, columns + 170 * c) for c in range(3)])
        damage = self._artefacts.over(rows, columns, ground.edge)
        image = photograph(dyes, grain, self.stain, self.spec.scanner, mpp, damage)
        core = slice(margin, -margin), slice(margin, -margin)
        kinds = np.zeros(ground.edge.shape, np.uint8) if damage is None else damage.kinds
        return image[core], ground.regions()[core], kinds[core]

    def _made(self, i: int, j: int) -> Block:
        return self.render((i * BLOCK, j * BLOCK, (i + 1) * BLOCK, (j + 1) * BLOCK))

    def _pieces(self, box: Box) -> Iterator[tuple[tuple[slice, slice], Block]]:
        """Yield where in a window each piece of a block belongs, and the piece."""
        on_slide = intersect(box, (0, 0, *self.shape))
        if on_slide is None:
            return
        for i in range(on_slide[0] // BLOCK, -(-on_slide[2] // BLOCK)):
            for j in range(on_slide[1] // BLOCK, -(-on_slide[3] // BLOCK)):
                corner = i * BLOCK, j * BLOCK
                piece = intersect(on_slide, (*corner, corner[0] + BLOCK, corner[1] + BLOCK))
                if piece is not None:
                    image, regions, kinds = self._block(i, j)
                    cut = _within(piece, corner)
                    yield _within(piece, box[:2]), (image[cut], regions[cut], kinds[cut])

    def _near(self, box: Box) -> Nuclei:
        """Return the nuclei that may colour a pixel of a box."""
        y0, x0, y1, x1 = (v * self.spec.mpp for v in box)
        return self.population.inside(y0 - _NUCLEUS_UM, x0 - _NUCLEUS_UM, y1 + _NUCLEUS_UM, x1 + _NUCLEUS_UM)


def _within(box: Box, origin: tuple[int, int]) -> tuple[slice, slice]:
    """Return the slices of a box in an array that starts at ``origin``."""
    return slice(box[0] - origin[0], box[2] - origin[0]), slice(box[1] - origin[1], box[3] - origin[1])
