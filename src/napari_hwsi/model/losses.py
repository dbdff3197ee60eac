"""What the vectors of a slide are held to: their words, and one another (MLLM-HWSI, arXiv 2603.23067).

The paper's form compares every place with units of language and with the places above and below it. It does
not say which phrase belongs to which patch; the rule here is soft: a place belongs to all units of its own
slide's report together, log Σ exp over them, against the units of other reports (as in MIL-NCE, Miech et al.
2020). The release's form compares one pooled vector a scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from .batch import region_means
from .projectors import masked_mean
from .scales import SCALES
from .seen import Seen

TEMPERATURE = 0.02
"""τ of the paper."""

_RELEASE_TEMPERATURE = 0.07


@dataclass(frozen=True)
class Units:
    """M units of language of several reports.

    vectors: (M, D); report: int64 (M,), which report each is of, as rows of the batch, −1 for reports of
    earlier batches, which only serve as negatives; string: int64 (M,), the same number for the same string.
    """

    vectors: Tensor
    report: Tensor
    string: Tensor

    def and_earlier(self, vectors: Tensor, string: Tensor) -> Units:
        """Return the units with those of earlier batches behind them."""
        old = torch.full_like(string, -1)
        return Units(
            torch.cat([self.vectors, vectors.to(self.vectors.dtype)]),
            torch.cat([self.report, old]),
            torch.cat([self.string, string]),
        )


def paired(visual: Tensor, text: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return −(1/n) Σ_i log softmax_j(cos(v_i, t_j)/τ)[i], for visual and text (n, D) that belong together.

    L_s of the paper.
    """
    return functional.cross_entropy(
        _cosine(visual, text) / temperature, torch.arange(len(visual)).to(visual.device)
    )


def soft(visual: Tensor, mask: Tensor, units: Units, temperature: float = TEMPERATURE) -> Tensor:
    """Return L_s of the paper with the soft rule, the mean over slides of that over their places.

    visual: (B, N, D); mask: bool (B, N). For a place i of slide b: −log of Σ exp(cos(v_i, t_m)/τ) over the
    units of report b, divided by that over all units. Units of other reports with a string that report b has
    as well are no negatives. With one unit a report it is :func:`paired`. 0 where no slide has both.
    """
    scores = _cosine(visual, units.vectors) / temperature  # (B, N, M)
    rows = torch.arange(len(visual), device=visual.device)
    own = units.report[None] == rows[:, None]  # (B, M)
    same = units.string[None, :, None] == units.string[None, None, :]
    shared = (same & own[:, None, :]).any(-1)
    there = mask & own.any(1, keepdim=True)
    lowest = torch.finfo(scores.dtype).min
    mine = scores.masked_fill(~own[:, None], lowest).logsumexp(-1)
    others = scores.masked_fill((shared & ~own)[:, None], lowest).logsumexp(-1)
    return _mean_over_slides(others - mine, there)


def consistency(seen: Seen) -> Tensor:
    """Return L_c of the paper, the mean over slides, of the scales that are there.

    (1/2n_r) Σ_{s ∈ cell, patch} Σ_k ‖v_region,k − mean_i v_s,k,i‖² + (1/n_p) Σ_j ‖v_cell,j − v_patch,j‖²: n_r
    regions, in whose means what is masked does not count; n_p patches that have cells.
    """
    parts = []
    region = seen.projected.get("region")
    if region is not None:
        for scale in ("cell", "patch"):
            if scale in seen.projected:
                mean, there = region_means(
                    seen.projected[scale], seen.masks[scale], seen.regions[scale], region.shape[1]
                )
                apart = (region - mean).square().sum(-1)
                parts.append(_mean_over_slides(apart, there & seen.masks["region"]) / 2)
    if "cell" in seen.projected and "patch" in seen.projected and seen.cell_rows is not None:
        cell = seen.projected["cell"]
        patch = seen.projected["patch"].gather(1, seen.cell_rows[..., None].expand_as(cell))
        parts.append(_mean_over_slides((cell - patch).square().sum(-1), seen.masks["cell"]))
    return torch.stack(parts).sum() if parts else seen.tokens.new_zeros(())


def paper(seen: Seen, units: Mapping[str, Units], temperature: float = TEMPERATURE) -> dict[str, Tensor]:
    """Return the parts of L_HCA = (1/n_b) Σ_slides (Σ_s L_s + L_c) + L_slide, by name.

    units: for each scale the units of the reports; those of the slide are whole reports. 'cell', 'patch',
    'region': the mean over slides of L_s; 'slide': over the batch; 'consistency': L_c.
    """
    parts: dict[str, Tensor] = {
        scale: soft(seen.projected[scale], seen.masks[scale], units[scale], temperature)
        for scale in SCALES
        if scale in seen.projected and scale in units
    }
    return {**parts, "consistency": consistency(seen)}


def pooled(seen: Seen) -> dict[str, Tensor]:
    """Return one vector a slide for each scale, (B, D): the mean over what its mask lets through."""
    return {scale: masked_mean(values, seen.masks[scale]) for scale, values in seen.projected.items()}


def release_contrast(
    visual: Mapping[str, Tensor], text: Mapping[str, Tensor], temperature: float = _RELEASE_TEMPERATURE
) -> dict[str, Tensor]:
    """Return, for each scale, ½(CE(v tᵀ/τ) + CE(t vᵀ/τ)) of pooled vectors (B, D); the loss is their mean.

    With a batch of one, 1 − cos(v, t).
    """
    out: dict[str, Tensor] = {}
    for scale in (scale for scale in SCALES if scale in visual and scale in text):
        cosine = _cosine(visual[scale], text[scale])
        if len(cosine) == 1:
            out[scale] = 1 - cosine[0, 0]
            continue
        own = torch.arange(len(cosine), device=cosine.device)
        logits = cosine / temperature
        out[scale] = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    return out


def release_consistency(visual: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return 1 − cos of pooled neighbours, the mean over slides, by their names; the loss is their mean."""
    fine_to_coarse = [scale for scale in reversed(SCALES) if scale in visual]
    return {
        f"{fine}_{coarse}": (1 - functional.cosine_similarity(visual[fine], visual[coarse], -1)).mean()
        for fine, coarse in pairwise(fine_to_coarse)
    }


def mean_of(parts: Mapping[str, Tensor]) -> Tensor:
    """Return the mean of the parts of a loss; there is at least one."""
    return torch.stack(list(parts.values())).mean()


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    a, b = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x for x in (a, b))
    return functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T


def _mean_over_slides(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over slides of the means over what counts (B, N), of those where anything does."""
    counts = mask.sum(1)
    means = torch.where(mask, values, 0).sum(1) / counts.clamp(min=1)
    return means.sum() / (counts > 0).sum().clamp(min=1)
