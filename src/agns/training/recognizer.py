"""Training a recogniser: one visible loop, on one process or many."""

import copy
import functools
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.errors import ConfigError
from agns.geometry import resize
from agns.models.layers import draw_dropout_from
from agns.models.recognizer import Recognizer
from agns.models.start import Start
from agns.models.vgg import Vgg16
from agns.models.victim import Victim
from agns.run_directory import RunDirectory
from agns.training.challenge import Challenge, asked
from agns.training.growing import Growth, growth_of
from agns.training.parallel import Machines, draws_at, on_first, precision_of, share_of
from agns.training.recipe import RecognizerTraining, photo_weights
from agns.training.recognizer_run import RecognizerRun, begin_recognizer
from agns.training.recognizer_scores import RecognizerScores
from agns.training.run import Provenance, frames_as_begun, photos_as_begun
from agns.training.teacher import ask_teacher
from agns.training.trainer import Trainer
from agns.training.training_data import (
    TrainingData,
    augment,
    build_training_data,
    validate,
    wearing_in,
)
from agns.types import CANVAS, Pixels, Progress, silent

_UNKNOWN = Provenance()


def train_recognizer(
    faces: FaceSet,
    glasses: Pixels,
    config: RecognizerTraining,
    out: Path,
    *,
    fabric: Fabric | None = None,
    start: Start | None = None,
    challenge: Challenge | None = None,
    teacher: tuple[str, Victim] | None = None,
    about: Provenance = _UNKNOWN,
    resume: bool = False,
    progress: Progress = silent,
) -> tuple[Recognizer, RecognizerScores]:
    """Train on a stratified part of the photos, test on the rest, and write the run.

    All processes draw the same joint batches, and each takes its own share of them; only the
    first one writes. Every draw depends on the seed, the step and the process alone. A VGG
    that begins from nothing grows with the sizes of its faces (`agns.models.vgg_growth`).

    Args:
        faces: Photos of all identities.
        glasses: 64x176 benign frames as bytes; the last tenth is kept for testing.
        config: The recipe.
        out: Run directory: configuration, figures, checkpoint, `recognizer.safetensors`. On
            several machines, on a disk that they share.
        fabric: Where to run, launched; one process on the processor by default.
        start: A backbone to begin with.
        challenge: Makes each batch harder, as the canonical canvas has it; faces do not grow then.
        teacher: The name of a file and the victim in it, who knows the same people, to learn from.
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
    if challenge is not None and config.sizes:
        raise ConfigError("photos that are made harder are of one size: leave out --sizes")
    # Refused before anything is written.
    share_of(torch.arange(config.batch), rank=rank, processes=processes)
    split = None
    if resume:
        faces, split = photos_as_begun(out, faces)
        glasses = frames_as_begun(out, glasses)
    rng = torch.Generator().manual_seed(config.seed)
    recognizer = begin_recognizer(config.arch, faces.identities, start, rng=rng)
    data = build_training_data(faces, glasses, config, start=start, rng=rng, split=split)
    growth = growth_of(recognizer, config) if start is None else None
    if growth is not None:
        epoch = int(RunDirectory.counted(out).get("epoch", 0)) if resume else 0
        growth.begin(recognizer, config.size_in(min(epoch, config.epochs - 1)))
    if config.norms:
        _vgg_of(recognizer).add_norms()
        if start is not None:
            _settle_norms(recognizer, data, config.size_in(0), rng=rng)
    teaching = None
    if teacher is not None:
        name, victim = teacher
        teaching = ask_teacher(victim, name, faces, data.split, progress=progress)
    training = RecognizerRun(
        out=out, config=config, data=data, about=about, start=start, challenge=challenge,
        teaching=teaching, precision=precision_of(fabric), processes=processes,
    )  # fmt: skip
    run = on_first(fabric, lambda: training.open(resume=resume))
    steps = max(1, len(data.split.training) // config.batch)
    train = functools.partial(
        Trainer, fabric=fabric, config=config, run=run, name="recognizer", steps=steps,
        progress=progress, restarts=config.resized_at, slowing=config.slowing,
    )  # fmt: skip
    trainer = train(recognizer)
    state = _State()
    if resume and (counters := trainer.load(out)) is not None:
        state = _State(**{field.name: counters[field.name] for field in fields(_State)})

    weights = photo_weights(faces.labels[data.split.training], config.balance)
    while state.epoch < config.epochs:
        epoch, size = int(state.epoch), config.size_in(int(state.epoch))
        drawn = torch.multinomial(
            weights, steps * config.batch, replacement=True, generator=draws_at(config.seed, epoch)
        )
        batches = data.split.training[drawn].split(config.batch)
        # A run that was interrupted has taken some of the steps.
        for place in range(len(trainer.losses), steps):
            joint = batches[place]
            batch = share_of(joint, rank=rank, processes=processes)
            images = augment(
                data, batch, CANVAS if challenge else size or recognizer.contract.size,
                wearing=wearing_in(joint, config.glasses_share, rank=rank, processes=processes),
                erased_share=config.erased_share, device=fabric.device,
                rng=draws_at(config.seed, epoch, place, rank),
            )  # fmt: skip
            labels = faces.labels[batch].to(fabric.device)
            if challenge is not None:
                with asked(recognizer):
                    images = challenge(
                        recognizer, images, labels, rng=draws_at(config.seed, epoch, place, rank, 2)
                    )
            draw_dropout_from(recognizer, draws_at(config.seed, epoch, place, rank, 1))
            logits = trainer.forward(images, size=size)
            loss = functional.cross_entropy(logits, labels)
            if teaching is not None:
                agreeing = teaching.loss(logits, batch, temperature=config.temperature)
                loss = (1 - config.teaching) * loss + config.teaching * agreeing
            trainer.step(epoch * steps + place, loss, images=config.batch, counters=asdict(state))
        mean = trainer.end_epoch()
        if run is not None:
            with fabric.autocast():
                _end_epoch(state, run, trainer.averaged, training, growth, loss=mean)
        state = fabric.broadcast(state)
        begun = min(int(state.epoch), config.epochs - 1)
        if growth is not None and config.size_in(begun) != size:
            recognizer = growth.grown(trainer.averaged, config.size_in(begun))
            if config.norms:
                _vgg_of(recognizer).add_norms()
                rng = draws_at(config.seed, begun)
                _settle_norms(recognizer, data, config.size_in(begun), rng=rng)
            trainer = train(recognizer, seconds=trainer.spent)
        trainer.save(asdict(state))

    def finish() -> RecognizerScores:
        best = Recognizer.read(out / "best.safetensors").to(fabric.device)
        figures = {"training_seconds": round(trainer.seconds, 1), "epochs": state.done}
        return training.finish(best, figures, rounding=fabric.autocast, progress=progress)

    scores = fabric.broadcast(on_first(fabric, finish))
    assert scores is not None
    return Recognizer.read(out / "recognizer.safetensors"), scores


@torch.no_grad()
def _settle_norms(
    recognizer: Recognizer,
    data: TrainingData,
    size: int | None,
    *,
    rng: torch.Generator,
) -> None:
    """Let norms that were put into what has learnt already change nothing to begin with."""
    some = torch.randperm(len(data.split.training), generator=rng)[:64]
    size = size or recognizer.contract.size
    faces = resize(data.faces.faces(data.split.training[some]), (size, size))
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


def _end_epoch(
    state: _State,
    run: RunDirectory,
    averaged: Recognizer,
    training: RecognizerRun,
    growth: Growth | None,
    *,
    loss: float,
) -> None:
    """Log an epoch, keep its averaged weights if they are the best so far, and choose the next."""
    config, epoch = training.config, int(state.epoch)
    size = config.size_in(epoch)
    row = {"epoch": epoch + 1, "loss": loss}
    if len(training.data.split.validation):
        row |= validate(averaged, training.data, size=size, seed=config.seed)
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
        if growth is not None:
            # Whole, as files of recognisers are.
            kept = growth.grown(averaged)
        elif config.norms:
            kept = copy.deepcopy(averaged)
            _vgg_of(kept).fold_norms()
        kept.record = {**training.record(), "epoch": epoch + 1}
        kept.write(run.path / "best.safetensors")
    else:
        state.idle += 1
    state.epoch = epoch + 1
    if state.idle == config.patience:
        # What no longer learns from small faces may from larger ones.
        left = [at for at in config.resized_at if at > epoch]
        state.epoch, state.idle = left[0] if left else config.epochs, 0
