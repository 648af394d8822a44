"""Training a recogniser: one visible loop."""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from agns.data.faces import FaceSet, write_classes
from agns.data.splits import stratified_split
from agns.errors import ConfigError, DataError
from agns.geometry import resize
from agns.models.recognizer import Recognizer, build_recognizer, save_recognizer
from agns.models.weights import fill, lay_channels_last
from agns.storage import (
    RunDirectory,
    pack_optimizer,
    under,
    unpack_optimizer,
    write_json,
)
from agns.training.augmentation import erase, move_randomly, relight, wear_some
from agns.training.precision import autocast, resolve_precision
from agns.training.recognizer_scores import RecognizerScores, score_recognizer
from agns.types import Faces, Images, Pixels, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerTraining:
    """How a recogniser is trained."""

    arch: str = "of10"
    """Architecture, as `agns models` names it; `of` and `vgg` take any number of identities."""

    epochs: int = 40
    """Passes over the training photos."""

    batch: int = 64
    """Photos in a step."""

    rate: float = 2e-3
    """Largest learning rate of AdamW."""

    weight_decay: float = 0.02
    """AdamW's weight decay."""

    warm_up: float = 0.1
    """Share of the steps in which the rate rises from 0; it then falls along a cosine."""

    balance: float = 0.5
    """0 draws photos evenly, 1 draws identities evenly, in between is in between."""

    glasses_share: float = 0.5
    """Part of each batch that wears benign eyeglasses."""

    erased_share: float = 0.0
    """Part of the photos that lose a random rectangle. A defence: a recogniser that is used to it
    is much harder to fool with eyeglasses."""

    averaging: float = 0.99
    """Decay per step of the moving average of the weights, which is what is kept."""

    held_fraction: float = 0.2
    """Part of each identity's photos kept for testing."""

    precision: str = "auto"
    """Of the network's forward and backward pass; see `agns.training.precision.Precision`. Holds
    what "auto" comes to on this machine."""

    seed: int = 0
    """Seed of the split, the weights and every draw."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ConfigError(
                f"epochs must be at least 1 and batch at least 2, got {self.epochs}, {self.batch}"
            )
        for name in ("balance", "glasses_share", "erased_share", "averaging"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], got {value}")
        if not 0 < self.held_fraction < 1:
            raise ConfigError(f"held_fraction must lie in (0, 1), got {self.held_fraction}")
        if not 0 < self.rate < math.inf:
            raise ConfigError(f"rate must be positive and finite, got {self.rate}")
        if not 0 <= self.warm_up <= 1:
            raise ConfigError(f"warm_up must lie in [0, 1], got {self.warm_up}")
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError(f"weight_decay must be at least 0, got {self.weight_decay}")
        object.__setattr__(self, "precision", resolve_precision(self.precision))


def train_recognizer(
    faces: FaceSet,
    glasses: Pixels,
    config: RecognizerTraining,
    out: Path,
    *,
    resume: bool = False,
    source: str = "",
    center_crop: int | None = None,
    progress: Progress = silent,
) -> tuple[Recognizer, RecognizerScores]:
    """Train on a stratified part of the photos, test on the rest, and write the run.

    Args:
        faces: Photos of all identities.
        glasses: 64x176 benign frames as bytes; the last tenth is kept for testing.
        config: The recipe.
        out: Run directory: configuration, figures, checkpoint, `recognizer.safetensors`.
        resume: Go on from the checkpoint in `out`, to the figures of an unbroken run.
        source: Where the photos came from, for the record.
        center_crop: How the photos were cut, for those who use the recogniser.
        progress: Told of every step.

    Returns:
        The recogniser with averaged weights, and its scores on the test photos.

    Raises:
        ConfigError: The settings do not fit the faces or the directory.
        DataError: The loss is no longer finite.
    """
    if len(glasses) < 2:
        raise ConfigError(
            f"training needs at least two eyeglass frames, one of them for testing, "
            f"got {len(glasses)}"
        )
    generator = torch.Generator().manual_seed(config.seed)
    recognizer = build_recognizer(config.arch, faces.identities, generator=generator)
    run = RunDirectory(
        out,
        {**asdict(config), "source": source, "identities": faces.identities, "photos": len(faces)},
        resume=resume,
    )
    write_classes(out / "classes.json", faces.identities)
    split = stratified_split(faces, held_fraction=config.held_fraction, seed=config.seed)
    kept = len(glasses) - max(1, len(glasses) // 10)
    lay_channels_last(recognizer).train()
    averaged = build_recognizer(config.arch, faces.identities, generator=torch.Generator())
    averaged.load_state_dict(recognizer.state_dict())
    optimizer = torch.optim.AdamW(
        recognizer.parameters(), lr=config.rate, weight_decay=config.weight_decay, fused=True
    )
    steps = max(1, len(split.first) // config.batch)
    begin, step, seconds = 0, 0, 0.0
    saved = run.load_checkpoint() if resume else None
    if saved is not None:
        tensors, counters = saved
        path = out / "checkpoint.safetensors"
        fill(recognizer, under(tensors, "recognizer"), path)
        fill(averaged, under(tensors, "averaged"), path)
        unpack_optimizer(optimizer, "optimizer", tensors)
        generator.set_state(tensors["generator"])
        begin, step, seconds = int(counters["epoch"]), int(counters["step"]), counters["seconds"]

    weights = photo_weights(faces.labels[split.first], config.balance)
    for epoch in range(begin, config.epochs):
        started = time.perf_counter()
        draws = torch.multinomial(
            weights, steps * config.batch, replacement=True, generator=generator
        )
        losses = []
        for batch in split.first[draws].split(config.batch):
            worn = wear_some(
                faces.faces(batch), glasses[:kept], share=config.glasses_share, generator=generator
            )
            images = augment(
                worn, recognizer.contract.size, erased=config.erased_share, generator=generator
            )
            set_rate(optimizer, config, step, steps * config.epochs)
            with autocast(config.precision):
                logits = recognizer(images)
            loss = functional.cross_entropy(logits, faces.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(recognizer.parameters(), 5.0)
            optimizer.step()
            step += 1
            average(averaged, recognizer, min(config.averaging, step / (step + 10)))
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise DataError(f"the loss is {losses[-1]} in epoch {epoch + 1}: lower the rate")
            elapsed = time.perf_counter() - started
            progress(
                step,
                steps * config.epochs,
                {"loss": losses[-1], "images/s": len(losses) * config.batch / elapsed},
            )
        seconds += time.perf_counter() - started
        run.log({"epoch": epoch + 1, "loss": sum(losses) / len(losses)})
        run.save_checkpoint(
            {
                **{f"recognizer.{k}": v for k, v in recognizer.state_dict().items()},
                **{f"averaged.{k}": v for k, v in averaged.state_dict().items()},
                **pack_optimizer(optimizer, "optimizer"),
                "generator": generator.get_state(),
            },
            {"epoch": epoch + 1, "step": step, "seconds": seconds},
        )

    averaged.eval()
    scores = score_recognizer(
        averaged, faces.subset(split.second), glasses[kept:], seed=config.seed
    )
    write_json(out / "scores.json", {**asdict(scores), "training_seconds": round(seconds, 1)})
    save_recognizer(
        out / "recognizer.safetensors",
        averaged,
        {
            "recipe": json.loads(json.dumps(asdict(config))),
            "source": source,
            "center_crop": center_crop,
            "scores": asdict(scores),
            "training_photos": [faces.digests[i] for i in split.first.tolist()],
        },
    )
    return averaged, scores


def photo_weights(labels: Tensor, balance: float) -> Tensor:
    """How likely each photo is drawn: between evenly by photo (0) and evenly by identity (1)."""
    counts = torch.bincount(labels).double()
    return counts[labels] ** -balance


def augment(faces: Faces, size: int, *, erased: float, generator: torch.Generator) -> Images:
    """Bring faces to the network's size and vary them: place, light, a rectangle in some."""
    images = resize(faces, (size, size))
    images = move_randomly(images, turn=12, zoom=0.12, shift=0.06, flip=True, generator=generator)
    images = relight(images, amount=0.35, generator=generator)
    return erase(images, share=erased, largest=0.4, generator=generator)


def set_rate(
    optimizer: torch.optim.Optimizer, config: RecognizerTraining, step: int, total: int
) -> None:
    """Set the learning rate of a step: a linear rise, then half a cosine down to 0."""
    rise = max(1, round(config.warm_up * total))
    if step < rise:
        share = (step + 1) / rise
    else:
        share = 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
    for group in optimizer.param_groups:
        group["lr"] = config.rate * share


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the network's."""
    into, source = averaged.state_dict(), network.state_dict()
    floating = [name for name, tensor in into.items() if tensor.is_floating_point()]
    torch._foreach_lerp_(
        [into[name] for name in floating], [source[name] for name in floating], 1 - decay
    )
