"""Training a recogniser: one visible loop, on one process or many."""

import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.errors import DataError
from agns.models.backbone import Start
from agns.models.recognizer import Recognizer, build_recognizer, load_recognizer, save_recognizer
from agns.models.weights import average, fill, lay_channels_last
from agns.storage import RunDirectory, pack_optimizer, under, unpack_optimizer
from agns.training.material import (
    Material,
    Provenance,
    augment,
    finish_run,
    gather,
    open_run,
    validate,
)
from agns.training.parallel import Machines, draws_at, join_batch_norms, share_of
from agns.training.recipe import RecognizerTraining, photo_weights, rate_share, set_rate
from agns.training.recognizer_scores import RecognizerScores
from agns.types import Pixels, Progress, silent

_UNKNOWN = Provenance()


def train_recognizer(
    faces: FaceSet,
    glasses: Pixels,
    config: RecognizerTraining,
    out: Path,
    *,
    fabric: Fabric | None = None,
    start: Start | None = None,
    about: Provenance = _UNKNOWN,
    resume: bool = False,
    progress: Progress = silent,
) -> tuple[Recognizer, RecognizerScores]:
    """Train on a stratified part of the photos, test on the rest, and write the run.

    All processes draw the same joint batches, and each takes its own share of them; only the
    first one writes. Every draw depends on the seed, the step and the process alone.

    Args:
        faces: Photos of all identities.
        glasses: 64x176 benign frames as bytes; the last tenth is kept for testing.
        config: The recipe.
        out: Run directory: configuration, figures, checkpoint, `recognizer.safetensors`. On
            several machines, on a disk that they share.
        fabric: Where to run, launched; one process on the processor by default.
        start: A backbone to begin with.
        about: Where the photos come from, for the record.
        resume: Go on from the checkpoint in `out`, to the figures of an unbroken run.
        progress: Told of every step.

    Returns:
        The recogniser with the averaged weights that did best on the validation photos, and its
        scores on the test photos.

    Raises:
        ConfigError: The settings do not fit the faces, the directory or the machines.
        DataError: The loss is no longer finite.
    """
    fabric = fabric or Machines(accelerator="cpu", precision="32").open()
    draws = torch.Generator().manual_seed(config.seed)
    recognizer = build_recognizer(config.arch, faces.identities, generator=draws)
    if start is not None:
        start.give(recognizer)
    material = gather(faces, glasses, config, start=start, generator=draws)
    run = (
        open_run(out, config, faces, about, start, resume=resume) if fabric.is_global_zero else None
    )
    fabric.barrier()
    if fabric.world_size > 1:
        join_batch_norms(recognizer)
    lay_channels_last(recognizer).train()
    averaged = build_recognizer(config.arch, faces.identities, generator=torch.Generator())
    averaged.subtract(recognizer.average)
    averaged.load_state_dict(recognizer.state_dict())
    averaged.to(fabric.device).eval()
    stepped = fabric.setup_module(recognizer)
    optimizer = torch.optim.AdamW(
        recognizer.parameters(),
        lr=config.rate,
        weight_decay=config.weight_decay,
        # Scaled 16-bit gradients cannot be clipped with the fused form.
        fused=about.precision != "16-mixed",
    )
    stepping = fabric.setup_optimizers(optimizer)
    assert isinstance(stepping, _FabricOptimizer)
    steps = max(1, len(material.training) // config.batch)
    state = _State()
    saved = RunDirectory(out, None, resume=True).load_checkpoint() if resume else None
    if saved is not None:
        tensors, counters = saved
        fill(recognizer, under(tensors, "recognizer"), out / "checkpoint.safetensors")
        fill(averaged, under(tensors, "averaged"), out / "checkpoint.safetensors")
        unpack_optimizer(optimizer, "optimizer", tensors)
        state = _State(**{field.name: counters[field.name] for field in fields(_State)})

    weights = photo_weights(faces.labels[material.training], config.balance)
    while state.epoch < config.epochs and state.idle < config.patience:
        epoch, started, losses = int(state.epoch), time.perf_counter(), []
        size = config.size_in(epoch)
        drawn = torch.multinomial(
            weights, steps * config.batch, replacement=True,
            generator=draws_at(config.seed, epoch),
        )  # fmt: skip
        for place, joint in enumerate(material.training[drawn].split(config.batch)):
            step = epoch * steps + place
            batch = share_of(joint, rank=fabric.global_rank, processes=fabric.world_size)
            images = augment(
                material, batch, size or recognizer.contract.size,
                glasses_share=config.glasses_share, erased_share=config.erased_share,
                device=fabric.device,
                generator=draws_at(config.seed, epoch, place, fabric.global_rank),
            )  # fmt: skip
            share = rate_share(step, steps * config.epochs, config.warm_up)
            set_rate(optimizer, config.rate * share)
            logits = stepped(images, size=size)
            loss = functional.cross_entropy(logits, faces.labels[batch].to(fabric.device))
            stepping.zero_grad()
            fabric.backward(loss)
            fabric.clip_gradients(stepped, stepping, max_norm=5.0)
            stepping.step()
            average(averaged, recognizer, min(config.averaging, (step + 1) / (step + 11)))
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise DataError(f"the loss is {losses[-1]} in epoch {epoch + 1}: lower the rate")
            elapsed = time.perf_counter() - started
            progress(
                step + 1,
                steps * config.epochs,
                {"loss": losses[-1], "images/s": len(losses) * config.batch / elapsed},
            )
        mean = fabric.all_reduce(torch.tensor(losses).mean(), reduce_op="mean")
        assert isinstance(mean, Tensor)
        if run is not None:
            _end_epoch(state, run, averaged, material, config, size, loss=float(mean))
            state.seconds += time.perf_counter() - started
            run.save_checkpoint(
                {
                    **{f"recognizer.{k}": v for k, v in recognizer.state_dict().items()},
                    **{f"averaged.{k}": v for k, v in averaged.state_dict().items()},
                    **pack_optimizer(optimizer, "optimizer"),
                },
                asdict(state),
            )
        state = fabric.broadcast(state)

    scores = None
    if run is not None:
        best = load_recognizer(out / "best.safetensors")[0].to(fabric.device)
        figures = {"training_seconds": round(state.seconds, 1), "epochs": state.epoch}
        scores = finish_run(out, best, material, config, about, start, figures)
    scores = fabric.broadcast(scores)
    assert scores is not None
    return load_recognizer(out / "recognizer.safetensors")[0], scores


@dataclass(kw_only=True)
class _State:
    """Where a training stands after an epoch."""

    epoch: float = 0
    """Epochs done."""

    best: float = math.inf
    """Lowest validation loss so far."""

    idle: float = 0
    """Epochs since then."""

    seconds: float = 0.0
    """Time spent so far."""


def _end_epoch(
    state: _State,
    run: RunDirectory,
    averaged: Recognizer,
    material: Material,
    config: RecognizerTraining,
    size: int | None,
    *,
    loss: float,
) -> None:
    """Log an epoch, and keep its averaged weights if they are the best so far."""
    state.epoch += 1
    row = {"epoch": state.epoch, "loss": loss}
    if len(material.validation):
        row |= validate(averaged, material, size=size, seed=config.seed)
    run.log(row)
    # Without validation photos the last are the best. A growing picture starts a new count: what
    # is lost on smaller faces says nothing of larger ones.
    changed = config.size_in(int(state.epoch) - 2) != size if state.epoch > 1 else False
    if row.get("validation_loss", -math.inf) < state.best or changed:
        state.best, state.idle = row.get("validation_loss", math.inf), 0
        save_recognizer(run.path / "best.safetensors", averaged, {"epoch": state.epoch})
    else:
        state.idle += 1
