"""Training a recogniser's head alone, on descriptors that its backbone computes once."""

import copy
import math
import time
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.errors import DataError
from agns.geometry import resize
from agns.images import from_pixels
from agns.models.recognizer import Recognizer
from agns.models.start import Start
from agns.models.victim import freeze
from agns.training.augmentation import wear_some
from agns.training.parallel import draws_at
from agns.training.recipe import RecognizerTraining, photo_weights, rate_share, set_rate
from agns.training.recognizer_run import RecognizerRun, begin_recognizer
from agns.training.recognizer_scores import RecognizerScores
from agns.training.run import Provenance
from agns.training.training_data import TrainingData, build_training_data
from agns.types import Pixels, Progress, silent


def train_head(
    faces: FaceSet,
    glasses: Pixels,
    config: RecognizerTraining,
    out: Path,
    *,
    start: Start,
    about: Provenance,
    device: torch.device,
    progress: Progress = silent,
) -> tuple[Recognizer, RecognizerScores]:
    """Train a head on a frozen backbone, test it, and write the run as `train_recognizer` does.

    The backbone sees each photo without a frame and with each frame that it may wear, as they are
    and mirrored: there is no other augmentation. It takes minutes, so there is no checkpoint.

    The recipe's sizes, averaging and erasing have no part in this. Progress is told of every batch
    of descriptors, then of every epoch, then of the tests. Errors are those of `train_recognizer`.
    """
    rng = torch.Generator().manual_seed(config.seed)
    recognizer = begin_recognizer(config.arch, faces.identities, start, rng=rng).eval()
    data = build_training_data(faces, glasses, config, start=start, rng=rng)
    training = RecognizerRun(
        out=out, config=config, data=data, about=about, start=start, precision="32-true"
    )
    run = training.open(resume=False)
    begun = time.perf_counter()
    # Validation photos are described with the training photos, and kept apart by their places.
    places = torch.cat([data.split.training, data.split.validation])
    described = describe(recognizer.to(device), data, places, progress=progress).to(device)
    labels = faces.labels[places].to(device)
    count = len(data.split.training)

    head, best = recognizer.head.train(), copy.deepcopy(recognizer.head)
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=config.rate, weight_decay=config.weight_decay, fused=True
    )
    weights = photo_weights(faces.labels[data.split.training], config.balance)
    steps = max(1, count // config.batch)
    lowest, idle = math.inf, 0
    for epoch in range(config.epochs):
        rng = draws_at(config.seed, epoch)
        drawn = torch.multinomial(weights, steps * config.batch, replacement=True, generator=rng)
        losses = []
        for place, batch in enumerate(drawn.split(config.batch)):
            seen = choose_views(len(batch), described.shape[1], config.glasses_share, rng=rng)
            loss = functional.cross_entropy(head(described[batch, seen]), labels[batch])
            share = rate_share(epoch * steps + place, steps * config.epochs, config.warm_up)
            set_rate(optimizer, config.rate * share)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        row = {"epoch": epoch + 1, "loss": sum(losses) / len(losses)}
        if not math.isfinite(row["loss"]):
            raise DataError(f"the loss is {row['loss']} in epoch {epoch + 1}: lower the rate")
        if len(data.split.validation):
            row["validation_loss"] = _loss_on(head, described[count:], labels[count:])
        run.log(row)
        progress(epoch + 1, config.epochs, {"loss": row["loss"]})
        if row.get("validation_loss", -math.inf) < lowest:
            lowest, idle = row.get("validation_loss", math.inf), 0
            best.load_state_dict(head.state_dict())
        else:
            idle += 1
        if idle == config.patience:
            break
    head.load_state_dict(best.state_dict())
    seconds = round(time.perf_counter() - begun, 1)
    figures = {"training_seconds": seconds, "epochs": epoch + 1}
    scores = training.finish(recognizer.eval(), figures, progress=progress)
    return recognizer.cpu(), scores


@torch.no_grad()
def describe(
    recognizer: Recognizer,
    data: TrainingData,
    places: Int64[Tensor, " photos"],
    *,
    progress: Progress = silent,
) -> Float[Tensor, "photos views descriptor"]:
    """Descriptors of the photos at some places by a backbone in evaluation mode.

    Each is described as it is and mirrored, then so with each frame that it may wear.
    """
    device = next(recognizer.parameters()).device
    frozen = freeze(recognizer)
    frozen.head = torch.nn.Identity()
    choices = data.frame_choices.shape[1]
    described = []
    batches = places.split(max(1, 64 // (2 * (choices + 1))))
    for done, batch in enumerate(batches):
        bare = from_pixels(data.faces.pixels[batch].to(device))
        views = []
        for choice in range(choices + 1):
            worn = bare
            if choice:
                own = data.frame_choices[batch, choice - 1 : choice]
                # One frame leaves nothing to draw.
                worn = wear_some(bare, data.glasses, own, count=len(bare), rng=torch.Generator())
            views += [worn, worn.flip(3)]
        size = recognizer.contract.size
        stacked = resize(torch.stack(views, 1).flatten(0, 1), (size, size))
        described.append(frozen(stacked).reshape(len(batch), len(views), -1))
        progress(done + 1, len(batches), {})
    return torch.cat(described)


def choose_views(
    count: int, views: int, glasses_share: float, *, rng: torch.Generator
) -> Int64[Tensor, " count"]:
    """For each photo of a batch, which of its descriptors to train on: the first two are bare."""
    wearing = round(glasses_share * count)
    return torch.cat(
        [
            torch.randint(2, views, (wearing,), generator=rng),
            torch.randint(2, (count - wearing,), generator=rng),
        ]
    )


@torch.no_grad()
def _loss_on(
    head: torch.nn.Module,
    described: Float[Tensor, "photos views descriptor"],
    labels: Int64[Tensor, " photos"],
) -> float:
    """Mean cross-entropy, bare photos and those with a frame counting alike."""
    losses = [
        functional.cross_entropy(head(part.flatten(0, 1)), labels.repeat_interleave(part.shape[1]))
        for part in (described[:, :2], described[:, 2:])
    ]
    return float(torch.stack(losses).mean())
