"""What a recogniser is trained, chosen and tested on."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.data.splits import Split, stratified_split
from agns.data.twins import NEAR_COPY, find_twins, fingerprints, were_seen
from agns.errors import ConfigError, DataError
from agns.geometry import resize
from agns.images import from_pixels
from agns.models.recognizer import Recognizer
from agns.models.start import Start
from agns.training.augmentation import erase, move_randomly, relight, wear_some
from agns.training.recipe import RecognizerTraining
from agns.types import Glasses, Images


class PhotoSplit(NamedTuple):
    """Places of photos, ascending; no picture that is tested on is in another part."""

    training: Int64[Tensor, " training"]
    validation: Int64[Tensor, " validation"]
    test: Int64[Tensor, " test"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Photos and frames, and who gets which; no test photo or frame is ever trained on."""

    faces: FaceSet
    """All photos."""

    split: PhotoSplit
    """Which of them are trained on, choose the weights to keep, and give the scores."""

    glasses: Glasses
    """Benign 64x176 frames to train with, as bytes."""

    unseen_glasses: UInt8[Tensor, "unseen 3 64 176"]
    """Benign frames for the scores."""

    frame_choices: Int64[Tensor, "photos choices"]
    """For each photo, the frames that it may wear while training, as places in `glasses`."""


def split_photos(
    faces: FaceSet, *, held_fraction: float, validation_fraction: float, seed: int
) -> PhotoSplit:
    """Split each identity's photos in three; the same seed splits an identity alike anywhere.

    `held_fraction` of them are for tests, `validation_fraction` of the others for validation;
    identities with too few photos for that give none.

    Raises:
        DataError: An identity has fewer than two different pictures, or a picture of one
            identity that is trained on is one of another that is tested on, saved anew or not.
    """
    prints = fingerprints(faces.pixels)
    twins = find_twins(faces, prints)
    outer = stratified_split(faces, held_fraction=held_fraction, seed=seed, twins=twins)
    training, validation = outer.first, outer.first[:0]
    if validation_fraction > 0:
        inner = stratified_split(
            faces.subset(outer.first),
            held_fraction=validation_fraction,
            seed=seed + 1,
            at_least=0,
            twins=twins[outer.first],
        )
        training, validation = outer.first[inner.first], outer.first[inner.second]
    _refuse_two_names(faces, prints, outer)
    return PhotoSplit(training, validation, outer.second)


def _refuse_two_names(faces: FaceSet, prints: Tensor, split: Split) -> None:
    """Refuse a picture of one identity to train on that is one of another to test on."""
    trained = {faces.digests[place]: place for place in split.first.tolist()}
    for place in split.second.tolist():
        other = trained.get(faces.digests[place])
        if other is None:
            near = prints[split.first] @ prints[place]
            # One identity's own twins are on one side.
            if float(near.max()) <= NEAR_COPY:
                continue
            other = int(split.first[near.argmax()])
        raise DataError(
            f"{faces.photos[other]} and {faces.photos[place]} are one picture under two names, one "
            "of them to train on and one to test on: remove one"
        )


def split_glasses(
    glasses: Glasses,
) -> tuple[UInt8[Tensor, "own 3 64 176"], UInt8[Tensor, "unseen 3 64 176"]]:
    """Frames to train with, and the last tenth, at least one, for tests alone.

    Raises:
        ConfigError: There are fewer than two frames.
    """
    if len(glasses) < 2:
        raise ConfigError(
            f"training needs at least two eyeglass frames, one of them for testing, "
            f"got {len(glasses)}"
        )
    kept = len(glasses) - max(1, len(glasses) // 10)
    return glasses[:kept], glasses[kept:]


def build_training_data(
    faces: FaceSet,
    glasses: Glasses,
    config: RecognizerTraining,
    *,
    start: Start | None,
    rng: torch.Generator,
    split: PhotoSplit | None = None,
) -> TrainingData:
    """Split photos and frames, and choose the frames that each photo may wear.

    A run that goes on has the split of the photos already.

    Raises:
        ConfigError: There are fewer than two frames, or the backbone to start from was trained
            on photos that are to be tested on.
        DataError: As `split_photos` raises it.
    """
    own, unseen = split_glasses(glasses)
    split = split or split_photos(
        faces,
        held_fraction=config.held_fraction,
        validation_fraction=config.validation_fraction,
        seed=config.seed,
    )
    if start is not None and start.seen:
        seen = int(were_seen(faces, start.seen)[split.test].sum())
        if seen:
            raise ConfigError(
                f"{start.path} was trained on {seen} of the {len(split.test)} photos to test on: "
                f"train it without these identities, or with the same --seed"
            )
    choices = torch.randint(len(own), (len(faces), config.frames_per_photo), generator=rng)
    return TrainingData(faces, split, own, unseen, frame_choices=choices)


def wearing_in(joint: Tensor, share: float, *, rank: int, processes: int) -> int:
    """How many of a process's share lie within the first part of the joint batch."""
    return len(range(rank, round(share * len(joint)), processes))


def augment(
    data: TrainingData,
    batch: Int64[Tensor, " batch"],
    size: int,
    *,
    wearing: int,
    erased_share: float,
    device: torch.device,
    rng: torch.Generator,
) -> Images:
    """The photos at some places as training sees them, of `size` by `size` pixels.

    The first `wearing` wear a frame, `erased_share` of them lose a rectangle, and all vary in place
    and light.
    """
    faces = from_pixels(data.faces.pixels[batch].to(device))
    worn = wear_some(faces, data.glasses, data.frame_choices[batch], count=wearing, rng=rng)
    images = resize(worn, (size, size))
    images = move_randomly(images, turn=12, zoom=0.12, shift=0.06, flip=True, rng=rng)
    images = relight(images, amount=0.35, rng=rng)
    return erase(images, share=erased_share, largest=0.4, rng=rng)


@torch.no_grad()
def validate(
    recognizer: Recognizer, data: TrainingData, *, size: int | None, seed: int
) -> dict[str, float]:
    """How a recogniser in evaluation mode does on the validation photos.

    `validation_loss` is the mean cross-entropy without and with a frame, which the seed chooses,
    `validation_accuracy` the share recognised without one.
    """
    device = next(recognizer.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    losses, right = [], []
    for batch in data.split.validation.split(128):
        faces = data.faces.faces(batch).to(device)
        labels = data.faces.labels[batch].to(device)
        worn = wear_some(faces, data.glasses, data.frame_choices[batch], count=len(batch), rng=rng)
        if size is not None:
            faces, worn = resize(faces, (size, size)), resize(worn, (size, size))
        bare = recognizer(faces, size=size)
        losses += [
            functional.cross_entropy(logits, labels, reduction="none")
            for logits in (bare, recognizer(worn, size=size))
        ]
        right.append(bare.argmax(1) == labels)
    return {
        "validation_loss": float(torch.cat(losses).mean()),
        "validation_accuracy": float(torch.cat(right).float().mean()),
    }
