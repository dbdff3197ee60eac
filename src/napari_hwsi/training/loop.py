"""The loop that all stages share: steps, accumulation, validation, the curve, and going on after a kill.

Everything that a step depends on is a function of the seed and the number of the step, or is in the saved
state; so a run that was killed and started again ends with the same numbers.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..disk import write_whole, written_whole
from ..encoders.weights import optional
from ..errors import Cancelled, InputError, StoreError
from ..progress import Progress, tell
from .config import Schedule
from .examples import Example

logger = logging.getLogger(__name__)

_STATE, _BEST, _CURVE = "state.pt", "best.pt", "curve.csv"


class Learner(nn.Module):
    """What a stage fits: its forward takes examples and returns the parts of the loss, 'loss' their weighted
    sum.

    judged: the part by which checkpoints are compared, lower is better.
    """

    judged: ClassVar[str]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its steps, the step whose weights were kept, what validation said of them."""

    steps: int
    best_step: int
    best: float | None
    curve: Path


def run(
    learner: Learner,
    train: Sequence[Example],
    validation: Sequence[Example],
    schedule: Schedule,
    out: Path,
    settings: str,
    progress: Progress | None = None,
    device: str = "auto",
) -> Outcome:
    """Fit the trainable weights of a learner, and leave it with the best that validation saw.

    out: takes the state, the best weights and the curve; settings: the hash of what the run is about: a state
    with another one is refused. Runs on one CPU, one GPU or, started by accelerate, on many. Raises
    InputError where the loss is no longer a number, StoreError where files cannot be written.
    """
    return _Run(learner, train, validation, schedule, out, settings, device).go(progress)


def processes(device: str = "auto") -> Any:
    """Return which of several processes this is and its device, as accelerate's PartialState."""
    return optional("accelerate", "train").PartialState(cpu=device == "cpu")


def written_once(write: Callable[[], object], device: str) -> None:
    """Let the first of all processes write, and the others wait until it has."""
    state = processes(device)
    if state.is_main_process:
        write()
    state.wait_for_everyone()


class _Run:
    def __init__(
        self,
        learner: Learner,
        train: Sequence[Example],
        validation: Sequence[Example],
        schedule: Schedule,
        out: Path,
        settings: str,
        device: str,
    ) -> None:
        accelerate = optional("accelerate", "train")
        several = accelerate.utils.DistributedDataParallelKwargs(
            find_unused_parameters=True, broadcast_buffers=False
        )
        self.accelerator = accelerate.Accelerator(
            mixed_precision="no", cpu=device == "cpu", kwargs_handlers=[several]
        )
        self.gather = accelerate.utils.gather_object
        self.learner, self.train, self.validation = learner, train, validation
        self.schedule, self.out, self.settings = schedule, out, settings
        self.judged = learner.judged
        self.model = self.accelerator.prepare(learner)
        parameters = [p for p in learner.parameters() if p.requires_grad]
        if not parameters:
            raise InputError("Nothing is to be trained: no weight of this configuration learns.")
        matrices = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": schedule.decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98), fused=True)
        self.step, self.best_step, self.best = 0, 0, math.inf
        self.curve = _Curve(out / _CURVE, self.accelerator.is_main_process)

    def go(self, progress: Progress | None) -> Outcome:
        self._resume()
        started, schedule = time.monotonic(), self.schedule
        try:
            while self.step < schedule.steps:
                rate = self._rate(self.step + 1)
                parts = self._learn(rate)
                self.step += 1
                ends = self.step == schedule.steps
                if self.validation and (ends or self.step % schedule.validate == 0):
                    parts["validation"] = self._validate()
                    if parts["validation"] < self.best:
                        self.best, self.best_step = parts["validation"], self.step
                        self._keep()
                self.curve.add(self.step, {"rate": rate, **parts, "seconds": time.monotonic() - started})
                if ends or self.step % schedule.save == 0:
                    self._save()
                tell(progress, self.step, schedule.steps, "steps")
        except Cancelled:
            self._save()
            raise
        if self.best_step:
            self._restore(_load(self.out / _BEST)["weights"])
        kept = self.best_step or self.step
        return Outcome(self.step, kept, self.best if self.best_step else None, self.out / _CURVE)

    def _learn(self, rate: float) -> dict[str, float]:
        """Take one step of the optimiser; returns the parts of the loss, means over its examples."""
        schedule, accelerator = self.schedule, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._sow(self.step)
        self.model.train()
        mine = self._share(self._chosen(self.step))
        chunks = [mine[i : i + schedule.micro] for i in range(0, len(mine), schedule.micro)]
        sums: dict[str, float] = {}
        for i, chunk in enumerate(chunks):
            with accelerator.no_sync(self.model) if i < len(chunks) - 1 else nullcontext():
                parts = self._parts(self.model, chunk)
                weight = len(chunk) / len(mine)
                accelerator.backward(parts["loss"] * weight)
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) * weight
        means = self._mean(sums, 1.0)
        if not math.isfinite(means["loss"]):
            raise InputError(
                f"The loss is {means['loss']} at step {self.step + 1} of {self.out}. Lower the rate, in a "
                "new folder."
            )
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, schedule.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return means

    def _parts(self, model: nn.Module, examples: Sequence[Example]) -> dict[str, Tensor]:
        device = self.accelerator.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.schedule.precision == "bf16"):
            parts: dict[str, Tensor] = model(examples)
        return parts

    def _validate(self) -> float:
        """Return the mean of the judged part of the loss over the validation examples."""
        self.model.eval()
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        mine = self.validation[rank::world]
        total = 0.0
        with torch.no_grad():
            for i in range(0, len(mine), self.schedule.micro):
                chunk = mine[i : i + self.schedule.micro]
                total += float(self._parts(self.learner, chunk)[self.judged]) * len(chunk)
        return self._mean({self.judged: total}, float(len(mine)))[self.judged]

    def _mean(self, sums: Mapping[str, float], count: float) -> dict[str, float]:
        """Return sums over all processes, divided by the sum of their counts."""
        names = sorted(sums)
        values = torch.tensor([*(sums[name] for name in names), count], dtype=torch.float64)
        if self.accelerator.num_processes > 1:
            values = self.accelerator.reduce(values.float().to(self.accelerator.device)).cpu().double()
        return {name: float(value / values[-1]) for name, value in zip(names, values[:-1], strict=True)}

    def _chosen(self, step: int) -> list[Example]:
        """Return the examples of a step: every epoch has an order of its own, batches run on across them."""
        count, batch = len(self.train), self.schedule.batch
        chosen = []
        for place in range(step * batch, (step + 1) * batch):
            epoch, row = divmod(place, count)
            chosen.append(self.train[int(_order(self.schedule.seed, epoch, count)[row])])
        return chosen

    def _share(self, examples: Sequence[Example]) -> list[Example]:
        """Return what this process takes of examples; at least one, so that all take part."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        return list(examples[rank::world]) or [examples[0]]

    def _sow(self, step: int) -> None:
        """Make what is random in a step depend on its number alone."""
        words = np.random.SeedSequence((self.schedule.seed, step, self.accelerator.process_index))
        torch.manual_seed(int(words.generate_state(1, np.uint64)[0] >> 1))

    def _rate(self, step: int) -> float:
        schedule = self.schedule
        if step <= schedule.warmup:
            return schedule.rate * step / schedule.warmup
        share = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
        return schedule.rate * 0.5 * (1 + math.cos(math.pi * share))

    def _weights(self) -> dict[str, Tensor]:
        return {n: p.detach().cpu().clone() for n, p in self.learner.named_parameters() if p.requires_grad}

    def _buffers(self) -> dict[str, Tensor]:
        kept = self.learner.state_dict().keys() - {name for name, _ in self.learner.named_parameters()}
        return {n: b.detach().cpu().clone() for n, b in self.learner.named_buffers() if n in kept}

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        own = {**dict(self.learner.named_parameters()), **dict(self.learner.named_buffers())}
        with torch.no_grad():
            for name, value in tensors.items():
                own[name].copy_(value)

    def _keep(self) -> None:
        if self.accelerator.is_main_process:
            _store(self.out / _BEST, {"step": self.step, "weights": self._weights()})

    def _save(self) -> None:
        buffers = self.gather([self._buffers()])  # each process remembers its own negatives
        if not self.accelerator.is_main_process:
            return
        self.curve.flush()
        _store(
            self.out / _STATE,
            {
                "settings": self.settings,
                "step": self.step,
                "best_step": self.best_step,
                "best": self.best,
                "weights": self._weights(),
                "buffers": buffers,
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def _resume(self) -> None:
        file = self.out / _STATE
        if not file.is_file():
            self.curve.begin(0)
            return
        state = _load(file)
        if state["settings"] != self.settings:
            raise InputError(
                f"{self.out} holds a run with other settings or other data. Choose another folder, or remove "
                "it."
            )
        self.step, self.best_step, self.best = state["step"], state["best_step"], state["best"]
        self._restore(state["weights"])
        rank = self.accelerator.process_index
        self._restore(state["buffers"][rank if rank < len(state["buffers"]) else 0])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve.begin(self.step)
        logger.info("goes on from step %d of %s", self.step, self.out)


class _Curve:
    """The numbers of every step, as CSV, and for TensorBoard where that is installed."""

    def __init__(self, file: Path, writes: bool) -> None:
        self._file, self._writes = file, writes
        self._rows: list[dict[str, str]] = []
        self._names: list[str] = []
        self._board: Any = None

    def begin(self, step: int) -> None:
        """Take up the rows up to a step; what was written after it is done again."""
        if not self._writes:
            return
        if step and self._file.is_file():
            with self._file.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream)
                self._names = list(reader.fieldnames or ())
                self._rows = [row for row in reader if int(row["step"]) <= step]
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            folder = str(self._file.parent / "tensorboard")
            self._board = SummaryWriter(folder, purge_step=step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take in the numbers of a step."""
        if not self._writes:
            return
        row = {"step": str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        self._rows.append(row)
        self._names = [*self._names, *(name for name in row if name not in self._names)]
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if len(self._rows) % 10 == 0:
            self.flush()

    def flush(self) -> None:
        """Write the file."""
        if not self._writes:
            return
        text = io.StringIO()
        table = csv.DictWriter(text, self._names, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        write_whole(self._file, text.getvalue().encode())
        if self._board is not None:
            self._board.flush()


def _store(file: Path, content: Mapping[str, Any]) -> None:
    try:
        with written_whole(file) as draft:
            torch.save(dict(content), draft)
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{file} cannot be written: {error}. What was saved before is kept.") from error


def _load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)
