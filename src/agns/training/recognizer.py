"""Training a recogniser: one visible loop, on one process or many."""

import copy
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.geometry import resize
from agns.models.layers import draw_dropout_from
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.start import Start
from agns.models.vgg import Vgg16
from agns.run_directory import RunDirectory
from agns.training.material import Material, augment, gather, validate, wearing_in
from agns.training.parallel import (
    Machines,
    draws_at,
    on_first,
    precision_of,
    share_of,
)
from agns.training.recipe import RecognizerTraining, photo_weights
from agns.training.recognizer_scores import RecognizerScores
from agns.training.recorded import frames_as_begun, photos_as_begun
from agns.training.run import Provenance, RecognizerRun
from agns.training.stepping import Stepper
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
        resume: Go on from the checkpoint in `out`, to the figures of an unbroken run on as many
            processes; photos and frames are known by content, under any names. (In 16-mixed the
            scale of the loss starts anew.)
        progress: Told of every step, then of the tests. Where one process trains, a
            `KeyboardInterrupt` that this raises leaves a checkpoint; else the last epoch's is left.

    Returns:
        The recogniser with the averaged weights that did best on the validation photos, and its
        scores on the test photos.

    Raises:
        ConfigError: The settings do not fit the faces, the directory or the machines.
        DataError: The loss is no longer finite.
    """
    fabric = fabric or Machines(accelerator="cpu", precision="32").open()
    rank, processes = fabric.global_rank, fabric.world_size
    # Refused before anything is written.
    share_of(torch.arange(config.batch), rank=rank, processes=processes)
    split = None
    if resume:
        faces, split = photos_as_begun(out, faces)
        glasses = frames_as_begun(out, glasses)
    draws = torch.Generator().manual_seed(config.seed)
    recognizer = begin_recognizer(config.arch, faces.identities, start, generator=draws)
    material = gather(faces, glasses, config, start=start, generator=draws, split=split)
    if config.norms:
        _vgg_of(recognizer).add_norms()
        if start is not None:
            _settle_norms(recognizer, material, config, generator=draws)
    training = RecognizerRun(
        out=out, config=config, material=material, about=about, start=start,
        precision=precision_of(fabric), processes=processes,
    )  # fmt: skip
    run = on_first(fabric, lambda: training.open(resume=resume))
    steps = max(1, len(material.training) // config.batch)
    stepper = Stepper(
        recognizer, fabric, name="recognizer", rate=config.rate, warm_up=config.warm_up,
        weight_decay=config.weight_decay, averaging=config.averaging,
        steps=steps, epochs=config.epochs, stages=config.stages, slowing=config.slowing,
    )  # fmt: skip
    state = _State()
    if resume and (counters := stepper.load(out)) is not None:
        state = _State(**{field.name: counters[field.name] for field in fields(_State)})

    weights = photo_weights(faces.labels[material.training], config.balance)
    while state.epoch < config.epochs:
        epoch, started, before = int(state.epoch), time.perf_counter(), len(stepper.losses)
        size = config.size_in(epoch)
        drawn = torch.multinomial(
            weights, steps * config.batch, replacement=True,
            generator=draws_at(config.seed, epoch),
        )  # fmt: skip
        # A run that was interrupted has taken some of the steps.
        for place, joint in list(enumerate(material.training[drawn].split(config.batch)))[before:]:
            step = epoch * steps + place
            batch = share_of(joint, rank=rank, processes=processes)
            images = augment(
                material, batch, size or recognizer.contract.size,
                wearing=wearing_in(joint, config.glasses_share, rank=rank, processes=processes),
                erased_share=config.erased_share, device=fabric.device,
                generator=draws_at(config.seed, epoch, place, rank),
            )  # fmt: skip
            draw_dropout_from(recognizer, draws_at(config.seed, epoch, place, rank, 1))
            logits = stepper.forward(images, size=size)
            loss = functional.cross_entropy(logits, faces.labels[batch].to(fabric.device))
            stepper.take(step, loss)
            elapsed = time.perf_counter() - started
            speed = (place + 1 - before) * config.batch / elapsed
            counters = {**asdict(state), "seconds": state.seconds + elapsed}
            stepper.tell(progress, step, speed, run, counters)
        mean = stepper.end_epoch()
        if run is not None:
            with fabric.autocast():
                _end_epoch(state, run, stepper.averaged, training, loss=mean)
            state.seconds += time.perf_counter() - started
            stepper.save(run, asdict(state))
        state = fabric.broadcast(state)

    def finish() -> RecognizerScores:
        best = Recognizer.read(out / "best.safetensors").to(fabric.device)
        figures = {"training_seconds": round(state.seconds, 1), "epochs": state.done}
        return training.finish(best, figures, rounding=fabric.autocast, progress=progress)

    scores = fabric.broadcast(on_first(fabric, finish))
    assert scores is not None
    return Recognizer.read(out / "recognizer.safetensors"), scores


def begin_recognizer(
    arch: str, identities: tuple[str, ...], start: Start | None, *, generator: torch.Generator
) -> Recognizer:
    """An untrained recogniser, in the form of the backbone to start from, and with its weights.

    Raises:
        ConfigError: The backbone is of another family.
    """
    if start is None:
        return build_recognizer(arch, identities, generator=generator)
    recognizer = build_recognizer(
        arch, identities, generator=generator, pooling=start.network.pooling,
        convention=start.network.convention,
    )  # fmt: skip
    start.give(recognizer)
    return recognizer


@torch.no_grad()
def _settle_norms(
    recognizer: Recognizer,
    material: Material,
    config: RecognizerTraining,
    *,
    generator: torch.Generator,
) -> None:
    """Let norms that were put into what has learnt already change nothing to begin with."""
    some = torch.randperm(len(material.training), generator=generator)[:64]
    size = config.size_in(0) or recognizer.contract.size
    faces = resize(material.faces.faces(material.training[some]), (size, size))
    with _vgg_of(recognizer).settling_norms():
        recognizer(faces, size=size)


def _vgg_of(recognizer: Recognizer) -> Vgg16:
    """The backbone of a VGG recogniser."""
    assert isinstance(recognizer.backbone, Vgg16)
    return recognizer.backbone


@dataclass(kw_only=True)
class _State:
    """Where a training stands after an epoch."""

    epoch: float = 0
    """The next epoch, counted from 0."""

    done: float = 0
    """Epochs trained; fewer where a size was left early."""

    best: float = math.inf
    """Lowest validation loss so far."""

    idle: float = 0
    """Epochs since then."""

    seconds: float = 0.0
    """Time spent so far."""


def _end_epoch(
    state: _State, run: RunDirectory, averaged: Recognizer, training: RecognizerRun, *, loss: float
) -> None:
    """Log an epoch, keep its averaged weights if they are the best so far, and choose the next."""
    config, epoch = training.config, int(state.epoch)
    size = config.size_in(epoch)
    row = {"epoch": epoch + 1, "loss": loss}
    if len(training.material.validation):
        row |= validate(averaged, training.material, size=size, seed=config.seed)
    run.log(row)
    state.done += 1
    # Without validation photos the last are the best. A growing picture starts a new count: what
    # is lost on smaller faces says nothing of larger ones.
    grown = epoch > 0 and config.size_in(epoch - 1) != size
    found = row.get("validation_loss", -math.inf)
    if epoch == 0 or grown or found < state.best:
        # After no figure at all, or one that is no number, whatever comes is better.
        state.best, state.idle = found if math.isfinite(found) else math.inf, 0
        kept = averaged
        if config.norms:
            kept = copy.deepcopy(averaged)
            _vgg_of(kept).fold_norms()
        kept.record = {**training.record(), "epoch": epoch + 1}
        kept.write(run.path / "best.safetensors")
    else:
        state.idle += 1
    state.epoch = epoch + 1
    if state.idle == config.patience:
        # What no longer learns from small faces may from larger ones.
        state.epoch, state.idle = config.next_size(epoch), 0
