"""Stage 1: vectors of each scale and units of language come to lie together.

The encoders of pixels stay as they are; what is learned of them is a correction to the vectors of each scale
(an adapter), with which stage 2 begins, and a text encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import InputError
from ..model.aligned import FORMAT, Aligned, save_aligned
from ..model.batch import as_batch
from ..model.folder import facts_of
from ..model.language import new_tokenizer, open_text
from ..model.losses import Units, paper
from ..model.scales import SCALES
from ..progress import Progress
from .config import Config, Losses
from .examples import Example
from .loop import Learner, processes, run, written_once
from .queue import Queue
from .shelf import Shelf
from .stages import Material, Trained, gather, plain, settings_of, write_data
from .wording import embedded


class Aligning(Learner):
    """The parts of L_HCA [paper] of reports: one a scale, and 'consistency'; 'matching' is their sum."""

    judged = "matching"

    def __init__(self, network: Aligned, shelf: Shelf, losses: Losses, budget: int) -> None:
        super().__init__()
        self.network, self._shelf, self._losses, self._budget = network, shelf, losses, budget
        width = int(network.settings["width"])  # type: ignore[call-overload]
        self._queues = {scale: Queue(losses.queue, width) for scale in network.widths} if losses.queue else {}
        self.queues = nn.ModuleDict(self._queues)

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return the parts of the loss, and 'loss', their weighted sum."""
        network, losses = self.network, self._losses
        used = [scale for scale in SCALES if scale in network.widths]
        slides = [self._shelf.atlas(e.slide).see(e.box, self._budget, used) for e in examples]
        seen = network.see(as_batch(slides, network.widths).to(network.device))
        texts = [e.answer for e in examples]
        units: dict[str, Units] = {}
        for scale in network.widths:
            queue = self._queues.get(scale)
            found = embedded(texts, scale, network.encode_text, queue, self.training)
            if found is not None:
                units[scale] = found
        parts = paper(seen, units, losses.temperature)
        consistency = parts.pop("consistency")
        matching = torch.stack([value.float() for value in parts.values()]).sum()
        loss = losses.contrast * matching + losses.consistency * consistency
        return {"loss": loss, "matching": matching, **parts, "consistency": consistency}


def train_stage1(config: Config, progress: Progress | None = None, device: str = "auto") -> Trained:
    """Run stage 1; see :func:`~napari_hwsi.training.stages.train`."""
    if config.start is not None:
        raise InputError("Stage 1 is the first: leave start out.")
    if config.losses.form != "paper" or config.losses.contrast <= 0:
        raise InputError(
            "Stage 1 learns by the paper's form of the losses: losses: form: paper, contrast: 1."
        )
    out, material = Path(config.out), gather(config, progress=progress)
    written_once(lambda: write_data(out, material), device)
    torch.manual_seed(config.schedule.seed)
    network = _network(config, material).to(processes(device).device)
    settings = settings_of("stage1", config, material, None)
    learner = Aligning(network, material.shelf, config.losses, config.tokens.budget)
    outcome = run(
        learner, material.train, material.validation, config.schedule, out, settings, progress, device
    )
    about = {
        "stage": "stage1",
        "settings": settings,
        "config": plain(config),
        "data": material.counts,
        "best_step": outcome.best_step,
        "validation": outcome.best,
        "version": __version__,
    }
    folder = out / "model"
    written_once(lambda: save_aligned(network.eval(), folder, about), device)
    return Trained(folder, facts_of(folder, FORMAT)["hash"], outcome, material.counts)


def _network(config: Config, material: Material) -> Aligned:
    encoders = config.encoders
    widths = {scale: material.widths[scale] for scale in config.tokens.scales if material.widths.get(scale)}
    text, tokenizer = None, None
    if encoders.text is not None:
        text = encoders.text, int(open_text(encoders.text)[0].config.hidden_size)
    else:
        tokenizer = new_tokenizer((e.answer for e in material.train), encoders.vocabulary).backend_tokenizer
    return Aligned(
        widths,
        tokenizer,
        encoders.width,
        encoders.hidden,
        encoders.dropout,
        encoders.layers,
        encoders.heads,
        encoders.longest,
        text,
    )
