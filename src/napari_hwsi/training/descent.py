"""What the recipes of small networks share: their command line, and the loop with its curve."""

from __future__ import annotations

import argparse
import csv
import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def recipe_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return the command line of a recipe: the folder DATA to learn from and OUT to leave things in."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    return parser


def descend(
    parameters: Sequence[nn.Parameter] | Sequence[dict[str, Any]],
    losses: Callable[[], Tensor],
    *,
    steps: int,
    rate: float,
    names: Sequence[str],
    curve: Path,
    decay: float = 0.02,
    warm_up: int = 20,
    clip: float | None = 1.0,
    every: int = 25,
    check: tuple[Sequence[str], Callable[[], Sequence[float]]] = ((), lambda: ()),
) -> None:
    """Make the sum of ``losses()`` small by AdamW; the rate warms up, then falls as half a cosine.

    parameters: those that learn, or groups of them with a decay of their own, as torch's AdamW takes them;
    losses: called once a step, returns its parts (len(names),); curve: a CSV of the means of ``every`` steps,
    with what ``check`` (names, values) says then; clip: largest norm of the gradient, None: any.
    """
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    started, summed = time.perf_counter(), np.zeros(len(names))
    with curve.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["step", "rate", *names, *check[0], "seconds"])
        for step in range(1, steps + 1):
            now = rate * min(1, step / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))
            for group in optimizer.param_groups:
                group["lr"] = now
            parts = losses()
            optimizer.zero_grad()
            torch.autograd.backward(parts.sum())
            if clip is not None:
                nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], clip)
            optimizer.step()
            summed += parts.detach().numpy()
            if step % every == 0 or step == steps:
                values = [*(summed / (step % every or every)), *check[1]()]
                took = time.perf_counter() - started
                table.writerow([step, f"{now:.2e}", *(f"{v:.4f}" for v in values), f"{took:.0f}"])
                file.flush()
                logger.info("step %d: %s", step, " ".join(f"{v:.3f}" for v in values))
                summed[:] = 0
