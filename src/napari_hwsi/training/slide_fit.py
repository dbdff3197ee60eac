"""Fitting a slide model: one trainer, its options, and the model that comes out."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..disk import write_whole
from ..errors import InputError, WeightsError
from ..progress import Progress, tell
from .slide_bags import Bag, LabelledSlide, LabelledSlides
from .slide_models import MODELS, Clam, Packed, Seen, entropy, make_model
from .slide_targets import Target

_WEIGHTS, _FACTS = "model.safetensors", "model.json"
_TEACHER = 0.99  # of its weights a teacher keeps at each step
_PATCH_SHARE = 0.3  # of the loss, for CLAM's patches (Lu et al. 2021)
_MIXED = 0.5  # most of a patch that latent augmentation takes from another of its slide


@dataclass(frozen=True)
class Recipe:
    """How a slide model is trained.

    model: among MODELS; epochs, at most, with a stop after ``patience`` without a better validation; rate:
    the highest; decay: of weights; batch: slides packed into a step; patches: most of a slide in a step,
    drawn anew each time, all where None; hidden, dropout: of the network; seed.
    entropy: weight of the attention's entropy, which keeps attention from resting on few patches (Zhang et
    al., AEM, 2024); mining: share of the most attended patches that is hidden, so that harder ones are
    learnt from, chosen by a teacher, the moving average of the network (Tang et al., MHIM-MIL, ICCV 2023);
    augment: strength of latent augmentation: patches mixed with others of their slide, and noise of that
    many spreads of the training vectors. Raises InputError for values out of range.
    """

    model: str = "abmil"
    epochs: int = 40
    patience: int = 10
    rate: float = 1e-3
    decay: float = 1e-3
    batch: int = 4
    patches: int | None = 4096
    hidden: int = 128
    dropout: float = 0.25
    entropy: float = 0.0
    mining: float = 0.0
    augment: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"No slide model is called {self.model!r}. There are: {', '.join(MODELS)}.")
        if min(self.epochs, self.patience, self.batch) < 1 or (self.patches is not None and self.patches < 1):
            raise InputError("Epochs, patience, batch and patches are at least 1.")
        if not (0 <= self.mining < 1 and 0 <= self.dropout < 1):
            raise InputError("The shares of mining and dropout lie from 0 to below 1.")
        if min(self.rate, self.entropy, self.augment, self.decay) < 0 or self.rate == 0:
            raise InputError("The rate is above 0; entropy, augment and decay are not below 0.")
        if self.model == "mean" and (self.entropy or self.mining):
            raise InputError("Mean pooling has no attention: leave out entropy and mining.")


@dataclass
class SlideModel:
    """A trained network, what it was trained for, and how its vectors were standardised.

    centre and spread: of the training vectors, (W,); temperature: of calibrated probabilities.
    """

    network: nn.Module
    target: Target
    recipe: Recipe
    width: int
    centre: Tensor
    spread: Tensor
    encoder: str | None = None
    temperature: float = 1.0

    @torch.no_grad()
    def look(self, bag: Bag) -> tuple[Tensor, NDArray[np.float32]]:
        """Return the output (1, K) for a slide and how much each patch counted, float32 (N,), sum one.

        Raises InputError for vectors of another width.
        """
        if bag.vectors.shape[1] != self.width:
            raise InputError(
                f"The model was trained on vectors of {self.encoder or 'an encoder'}, {self.width} wide; "
                f"these are {bag.vectors.shape[1]} wide. Encode the slide as the training slides were."
            )
        self.network.eval()
        seen: Seen = self.network(Packed.of([self.standardised(bag)]))
        return seen.output, seen.attention.numpy().astype(np.float32)

    def standardised(self, bag: Bag) -> Tensor:
        """Return the vectors of a slide as the network takes them."""
        return (torch.from_numpy(bag.vectors) - self.centre) / self.spread

    def save(self, folder: str | Path) -> str:
        """Write weights, then facts, each whole; returns the hash of the weights."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        data = save({**tensors, "centre": self.centre, "spread": self.spread})
        digest = hashlib.sha256(data).hexdigest()
        facts = {
            "target": asdict(self.target),
            "recipe": asdict(self.recipe),
            "width": self.width,
            "encoder": self.encoder,
            "temperature": self.temperature,
            "weights_sha256": digest,
        }
        write_whole(place / _WEIGHTS, data)
        write_whole(place / _FACTS, json.dumps(facts, indent=2).encode())
        return digest

    @classmethod
    def load(cls, folder: str | Path) -> SlideModel:
        """Read what :meth:`save` wrote; raises WeightsError for anything else."""
        place = Path(folder)
        try:
            facts = json.loads((place / _FACTS).read_text("utf-8"))
            tensors = load_file(place / _WEIGHTS)
            target = Target(**{**facts["target"], **_tuples(facts["target"])})
            recipe = Recipe(**facts["recipe"])
            network = make_model(recipe.model, facts["width"], target.outputs, recipe.hidden, recipe.dropout)
            centre, spread = tensors.pop("centre"), tensors.pop("spread")
            network.load_state_dict(tensors)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(f"{place} holds no slide model that can be read: {error}.") from error
        return cls(
            network, target, recipe, facts["width"], centre, spread, facts["encoder"], facts["temperature"]
        )


def _tuples(target: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(target[name]) for name in ("classes", "cuts")}


def fit(
    slides: LabelledSlides,
    train: Sequence[LabelledSlide],
    validation: Sequence[LabelledSlide],
    target: Target,
    recipe: Recipe,
    progress: Progress | None = None,
) -> tuple[SlideModel, list[dict[str, float]]]:
    """Train on some slides and keep the state that is best on others; returns it, and the curve by epoch.

    The vectors are standardised by the training slides. The learning rate falls along a cosine. Class
    probabilities are calibrated by one temperature on the validation slides (Guo et al., ICML 2017).
    Raises InputError for CLAM on a target without classes, and Cancelled.
    """
    if recipe.model == "clam" and not (target.kind == "class"):
        raise InputError("CLAM tells patches of classes apart: it learns classes alone. Choose abmil.")
    torch.manual_seed(recipe.seed)
    generator = torch.Generator().manual_seed(recipe.seed)
    centre, spread = _moments(slides, train)
    network = make_model(recipe.model, slides.width, target.outputs, recipe.hidden, recipe.dropout)
    model = SlideModel(network, target, recipe, slides.width, centre, spread, slides.encoder)
    wanted = torch.from_numpy(target.numbers([slide.values for slide in train])).float()
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate, weight_decay=recipe.decay)
    teacher = copy.deepcopy(network).eval() if recipe.mining else None
    curve: list[dict[str, float]] = []
    best, best_state, since = math.inf, copy.deepcopy(network.state_dict()), 0
    for epoch in range(recipe.epochs):
        tell(progress, epoch, recipe.epochs, "epochs")
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
        network.train()
        order = torch.randperm(len(train), generator=generator)
        losses = []
        for step in torch.split(order, recipe.batch):
            bags = [_drawn(model, slides.bag(train[i]), generator) for i in step.tolist()]
            loss = _loss(model, teacher, Packed.of(bags), wanted[step])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            losses.append(float(loss.detach()))
            if teacher is not None:
                with torch.no_grad():
                    for own, other in zip(teacher.parameters(), network.parameters(), strict=True):
                        own.lerp_(other, 1 - _TEACHER)
        checked = _validation_loss(model, slides, validation)
        curve.append({"epoch": epoch, "loss": float(np.mean(losses)), "validation": checked})
        if checked < best:
            best, best_state, since = checked, copy.deepcopy(network.state_dict()), 0
        else:
            since += 1
        if since >= recipe.patience:
            break
    network.load_state_dict(best_state)
    if target.classes:
        outputs = torch.cat([model.look(slides.bag(slide))[0] for slide in validation])
        truth = torch.from_numpy(target.numbers([slide.values for slide in validation])).float()
        model.temperature = fit_temperature(target, outputs, truth)
    return model, curve


def fit_temperature(target: Target, outputs: Tensor, wanted: Tensor) -> float:
    """Return the temperature, 0.05 to 20, that makes outputs (B, K) likeliest."""
    grid = torch.logspace(math.log10(0.05), math.log10(20), 200)
    losses = [target.loss(outputs / temperature, wanted).mean() for temperature in grid]
    return float(grid[int(torch.stack(losses).argmin())])


def _moments(slides: LabelledSlides, train: Sequence[LabelledSlide]) -> tuple[Tensor, Tensor]:
    total, squares, count = np.zeros(slides.width), np.zeros(slides.width), 0
    for slide in train:
        vectors = slides.bag(slide).vectors.astype(np.float64)
        total, squares, count = (
            total + vectors.sum(0),
            squares + np.square(vectors).sum(0),
            count + len(vectors),
        )
    mean = total / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    return torch.from_numpy(mean).float(), torch.from_numpy(spread).float()


def _drawn(model: SlideModel, bag: Bag, generator: torch.Generator) -> Tensor:
    """Return the patches of a slide for one step: some of them, augmented as the recipe says."""
    vectors, recipe = model.standardised(bag), model.recipe
    if recipe.patches is not None and len(vectors) > recipe.patches:
        vectors = vectors[torch.randperm(len(vectors), generator=generator)[: recipe.patches]]
    if recipe.augment:
        partner = vectors[torch.randint(len(vectors), (len(vectors),), generator=generator)]
        share = torch.rand(len(vectors), 1, generator=generator) * min(_MIXED, recipe.augment)
        noise = torch.randn(vectors.shape, generator=generator)
        vectors = vectors + share * (partner - vectors) + recipe.augment * noise
    return vectors


def _loss(model: SlideModel, teacher: nn.Module | None, packed: Packed, wanted: Tensor) -> Tensor:
    recipe = model.recipe
    if teacher is not None:
        packed = packed.keep(_less_attended(teacher, packed, recipe.mining))
    seen: Seen = model.network(packed)
    loss = model.target.loss(seen.output, wanted).mean()
    if isinstance(model.network, Clam):
        patches = model.network.patch_loss(seen, packed, wanted[:, 0].long())
        loss = (1 - _PATCH_SHARE) * loss + _PATCH_SHARE * patches
    if recipe.entropy:
        loss = loss - recipe.entropy * entropy(seen.attention, packed)
    return loss


@torch.no_grad()
def _less_attended(teacher: nn.Module, packed: Packed, share: float) -> Tensor:
    """Return which patches stay, bool (M,), when the most attended share of each slide is hidden."""
    attention = teacher(packed).attention
    stay = torch.ones(len(attention), dtype=torch.bool)
    for slide in range(packed.count):
        rows = torch.nonzero(packed.slide == slide)[:, 0]
        hidden = int(share * len(rows))  # never all: the share is below one
        stay[rows[attention[rows].argsort(descending=True)[:hidden]]] = False
    return stay


@torch.no_grad()
def _validation_loss(model: SlideModel, slides: LabelledSlides, some: Sequence[LabelledSlide]) -> float:
    wanted = torch.from_numpy(model.target.numbers([slide.values for slide in some])).float()
    outputs = torch.cat([model.look(slides.bag(slide))[0] for slide in some])
    return float(model.target.loss(outputs, wanted).mean())
