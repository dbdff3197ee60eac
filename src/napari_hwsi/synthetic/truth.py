"""What is known about a synthetic slide: nuclei and regions of a window, findings of the whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..units import Box
from .layout import REGIONS, Layout
from .nuclei import TYPES, Nuclei


@dataclass(frozen=True)
class Truth:
    """Truth of one window.

    ``labels`` (h, w) int32: 0, or 1 + the row of ``nuclei`` that owns the pixel; ``regions`` (h, w)
    uint8: position in REGIONS; ``nuclei``: a row per nucleus seen in the window, see `nuclei_table`;
    ``artefacts`` (h, w) uint8: 0, or 1 + the position in ARTEFACTS of what lies on the pixel.
    """

    box: Box
    labels: npt.NDArray[np.int32]
    regions: npt.NDArray[np.uint8]
    nuclei: pd.DataFrame
    artefacts: npt.NDArray[np.uint8]

    @property
    def types(self) -> npt.NDArray[np.uint8]:
        """Type (position in TYPES) of every pixel, 0 outside nuclei: (h, w)."""
        return np.concatenate([[0], self.nuclei["type"].to_numpy()]).astype(np.uint8)[self.labels]


def nuclei_table(nuclei: Nuclei, mpp: float, shape: tuple[int, int]) -> pd.DataFrame:
    """Return nuclei as a table.

    Columns: ``id`` (unique on the slide), centre ``y``, ``x`` (level-0 px), ``type`` and ``type_name``, axes
    ``major_um``, ``minor_um``, ``angle_rad`` (from x towards y), ``mitosis``, ``on_slide`` (centre on it).
    """
    y, x = nuclei.y / mpp, nuclei.x / mpp
    return pd.DataFrame(
        {
            "id": nuclei.key,
            "y": y,
            "x": x,
            "type": nuclei.type,
            "type_name": np.array(TYPES)[nuclei.type],
            "major_um": 2 * nuclei.long,
            "minor_um": 2 * nuclei.short,
            "angle_rad": np.mod(nuclei.angle, np.pi),
            "mitosis": nuclei.mitosis,
            "on_slide": (y >= 0) & (x >= 0) & (y < shape[0]) & (x < shape[1]),
        }
    )


@dataclass(frozen=True)
class Findings:
    """Facts of a whole slide, from its case and a survey of its layout.

    ``grade`` and its scores are None where the survey meets no tumour; ``shares`` are parts of the
    tissue (glass left out) by region; ``absent`` names the tissues this case cannot hold anywhere.
    """

    grade: int | None
    tubules: int | None
    nuclei: int | None
    mitoses: int | None
    shares: dict[str, float]
    absent: tuple[str, ...]
    infiltrate: str

    def as_dict(self) -> dict[str, object]:
        """Return plain values for a JSON file."""
        return asdict(self)


_PLACES = 12  # a side; the effort of a survey does not depend on the size of the slide
_POINTS = 10  # a side, at every place


def survey(layout: Layout) -> Findings:
    """Return the findings of a slide, its regions estimated from small squares spread evenly over it."""
    steps = [size / _PLACES for size in layout.zones.size]
    offsets = [(np.arange(_POINTS) + 0.5) * min(step / _POINTS, 30.0) for step in steps]
    counts = np.zeros(len(REGIONS), np.int64)
    for i in range(_PLACES):
        for j in range(_PLACES):
            y, x = i * steps[0] + offsets[0], j * steps[1] + offsets[1]
            regions = layout.at(y[:, None], x[None, :]).regions()
            counts += np.bincount(regions.ravel(), minlength=len(REGIONS))
    tissue = max(int(counts[1:].sum()), 1)
    shares = {name: float(counts[k]) / tissue for k, name in enumerate(REGIONS) if k}
    case = layout.case
    seen = shares["tumour"] > 0
    flags = {
        "necrosis": case.necrotic_share > 0, "lymphoid": case.aggregates, "fat": case.fat,
    }  # fmt: skip
    return Findings(
        grade=case.grade if seen else None,
        tubules=case.tubules if seen else None,
        nuclei=case.nuclei if seen else None,
        mitoses=case.mitoses if seen else None,
        shares=shares,
        absent=tuple(name for name, possible in flags.items() if not possible),
        infiltrate="scant" if case.infiltrate < 0.2 else "moderate" if case.infiltrate < 0.45 else "brisk",
    )
