"""The case behind a slide: what kind of tumour it is, which everything else follows."""

from __future__ import annotations

from dataclasses import dataclass

from .noise import generator
from .spec import SlideSpec

# Share of tumour nests that form glands, nuclear variation and mitoses, low to high grade. The
# three scores and their sums are those of the Nottingham scheme (Elston and Ellis, 1991).
_GLANDS = {1: (0.90, 0.98), 2: (0.30, 0.55), 3: (0.01, 0.06)}
_PLEOMORPHISM = {1: (0.05, 0.12), 2: (0.22, 0.32), 3: (0.45, 0.60)}
_MITOSES = {1: (0.0003, 0.0008), 2: (0.0018, 0.0030), 3: (0.005, 0.008)}
_SCORES = {3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 8: 3, 9: 3}


@dataclass(frozen=True)
class Case:
    """Traits of one case.

    ``tubules``, ``nuclei`` and ``mitoses`` are scores 1 to 3; ``gland_share`` is the share of nests
    that form glands, ``pleomorphism`` the spread of nuclear size, ``mitotic_share`` the share of
    tumour nuclei in division, ``infiltrate`` the share of stromal cells that are lymphocytes.
    """

    grade: int
    tubules: int
    nuclei: int
    mitoses: int
    gland_share: float
    pleomorphism: float
    mitotic_share: float
    necrotic_share: float
    infiltrate: float
    aggregates: bool
    fat: bool
    haemorrhage: bool

    @classmethod
    def of(cls, spec: SlideSpec) -> Case:
        """Draw the case of a slide from its seed, at the grade the spec asks for, if any."""
        rng = generator(spec.seed, "case")
        drawn = int(rng.integers(1, 4))
        grade = spec.grade or drawn
        triples = [
            (t, n, m)
            for t in (1, 2, 3)
            for n in (1, 2, 3)
            for m in (1, 2, 3)
            if _SCORES[t + n + m] == grade and max(t, n, m) - min(t, n, m) <= 1
        ]
        tubules, nuclei, mitoses = triples[int(rng.integers(len(triples)))]
        necrotic = (0.0, float(rng.uniform(0.05, 0.10)), float(rng.uniform(0.16, 0.28)))[grade - 1]
        return cls(
            grade=grade,
            tubules=tubules,
            nuclei=nuclei,
            mitoses=mitoses,
            gland_share=float(rng.uniform(*_GLANDS[tubules])),
            pleomorphism=float(rng.uniform(*_PLEOMORPHISM[nuclei])),
            mitotic_share=float(rng.uniform(*_MITOSES[mitoses])),
            necrotic_share=necrotic,
            infiltrate=float(rng.choice([0.12, 0.3, 0.55])),
            aggregates=bool(rng.random() < 0.8),
            fat=bool(rng.random() < 0.8),
            haemorrhage=bool(rng.random() < 0.6),
        )
