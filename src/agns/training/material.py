"""What a recogniser is trained, chosen and tested on, and what its run leaves behind."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet, write_classes
from agns.data.splits import stratified_split
from agns.errors import ConfigError
from agns.geometry import resize
from agns.images import from_pixels
from agns.models.backbone import Start
from agns.models.recognizer import Recognizer
from agns.storage import RunDirectory, write_json
from agns.training.augmentation import erase, move_randomly, relight, wear_some
from agns.training.recipe import RecognizerTraining
from agns.training.recognizer_scores import RecognizerScores, score_recognizer
from agns.types import Glasses, Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a recogniser comes from, for its record."""

    source: str = ""
    """Where the photos came from."""

    center_crop: int | None = None
    """How the photos were cut, for those who use the recogniser."""

    precision: str = "32"
    """Of the forward and backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """Photos and frames, and who gets which; no test photo or frame is ever trained on."""

    faces: FaceSet
    """All photos."""

    training: Int64[Tensor, " training"]
    """Places of the photos to train on."""

    validation: Int64[Tensor, " validation"]
    """Places of the photos that choose the weights to keep."""

    test: Int64[Tensor, " test"]
    """Places of the photos that scores come from."""

    glasses: Glasses
    """Benign 64x176 frames to train with, as bytes."""

    unseen_glasses: UInt8[Tensor, "unseen 3 64 176"]
    """Benign frames for the scores."""

    dose: Int64[Tensor, "photos choices"]
    """For each photo, the frames that it may wear while training, as places in `glasses`."""


def gather(
    faces: FaceSet,
    glasses: Glasses,
    config: RecognizerTraining,
    *,
    start: Start | None,
    generator: torch.Generator,
) -> Material:
    """Split the photos, and give each its dose of frames; the last tenth of them is for tests.

    Raises:
        ConfigError: There are fewer than two frames, or the backbone to start from was trained
            on photos that are to be tested on.
        DataError: An identity has fewer than two different photos.
    """
    if len(glasses) < 2:
        raise ConfigError(
            f"training needs at least two eyeglass frames, one of them for testing, "
            f"got {len(glasses)}"
        )
    split = stratified_split(faces, held_fraction=config.held_fraction, seed=config.seed)
    if start is not None:
        seen = sum(faces.digests[place] in start.seen for place in split.second.tolist())
        if seen:
            raise ConfigError(
                f"{start.path} was trained on {seen} of the {len(split.second)} photos to test on: "
                f"train it without these identities, or with the same --seed"
            )
    training, validation = split.first, split.first[:0]
    if config.validation_fraction > 0:
        inner = stratified_split(
            faces.subset(split.first),
            held_fraction=config.validation_fraction,
            seed=config.seed + 1,
            at_least=0,
        )
        training, validation = split.first[inner.first], split.first[inner.second]
    kept = len(glasses) - max(1, len(glasses) // 10)
    return Material(
        faces=faces,
        training=training,
        validation=validation,
        test=split.second,
        glasses=glasses[:kept],
        unseen_glasses=glasses[kept:],
        dose=torch.randint(kept, (len(faces), config.frames_per_photo), generator=generator),
    )


def open_run(
    out: Path,
    config: RecognizerTraining,
    faces: FaceSet,
    about: Provenance,
    start: Start | None,
    *,
    resume: bool,
) -> RunDirectory:
    """Begin a recogniser's run directory, or go on with it.

    Raises:
        ConfigError: As `RunDirectory` raises it.
    """
    record = {
        **asdict(config), **asdict(about), "start": None if start is None else str(start.path),
        "identities": faces.identities, "photos": len(faces),
    }  # fmt: skip
    run = RunDirectory(out, record, resume=resume)
    write_classes(out / "classes.json", faces.identities)
    return run


def finish_run(
    out: Path,
    recognizer: Recognizer,
    material: Material,
    config: RecognizerTraining,
    about: Provenance,
    start: Start | None,
    figures: Mapping[str, float],
) -> RecognizerScores:
    """Score a recogniser on the test photos, and write scores and weights.

    Args:
        out: The run directory.
        recognizer: In evaluation mode.
        material: What it was trained on.
        config: How.
        about: Where it comes from.
        start: The backbone that it began with, whose photos count as seen too.
        figures: More to keep beside the scores, such as the seconds of training.
    """
    faces = material.faces
    scores = score_recognizer(
        recognizer, faces.subset(material.test), material.unseen_glasses, seed=config.seed
    )
    write_json(out / "scores.json", {**asdict(scores), **figures})
    # Validation photos chose the weights: to an attack, they are photos that the victim has seen.
    seen = torch.cat([material.training, material.validation]).sort().values
    digests = {faces.digests[place] for place in seen.tolist()}
    before = sorted((start.seen if start else frozenset()) - digests)
    recognizer.record = {
        "recipe": json.loads(json.dumps(asdict(config))),
        **asdict(about),
        "scores": asdict(scores),
        "start": None if start is None else str(start.path),
        "training_photos": [*(faces.digests[i] for i in seen.tolist()), *before],
    }
    recognizer.write(out / "recognizer.safetensors")
    return scores


def augment(
    material: Material,
    batch: Int64[Tensor, " batch"],
    size: int,
    *,
    glasses_share: float,
    erased_share: float,
    device: torch.device,
    generator: torch.Generator,
) -> Images:
    """Faces as training sees them: some wear a frame, all vary in place and light.

    Args:
        material: Holds photos and frames.
        batch: Places of the photos.
        size: Height and width in pixels to return.
        glasses_share: Part of the batch that wears a frame.
        erased_share: Part of it that loses a rectangle.
        device: Where to draw them.
        generator: Source of every draw.
    """
    faces = from_pixels(material.faces.pixels[batch].to(device))
    worn = wear_some(
        faces, material.glasses, material.dose[batch], share=glasses_share,
        generator=generator,
    )  # fmt: skip
    images = resize(worn, (size, size))
    images = move_randomly(images, turn=12, zoom=0.12, shift=0.06, flip=True, generator=generator)
    images = relight(images, amount=0.35, generator=generator)
    return erase(images, share=erased_share, largest=0.4, generator=generator)


@torch.no_grad()
def validate(
    recognizer: Recognizer, material: Material, *, size: int | None, seed: int
) -> dict[str, float]:
    """How a recogniser in evaluation mode does on the validation photos, half with a frame.

    Args:
        recognizer: Where it lies, the photos are brought.
        material: Holds them.
        size: As `Recognizer.forward` takes it.
        seed: Chooses the frames.

    Returns:
        `validation_loss`, the mean cross-entropy without and with a frame, and
        `validation_accuracy`, the share recognised without one.
    """
    device = next(recognizer.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    losses, right = [], []
    for batch in material.validation.split(128):
        faces = material.faces.faces(batch).to(device)
        labels = material.faces.labels[batch].to(device)
        worn = wear_some(
            faces, material.glasses, material.dose[batch], share=1, generator=generator
        )
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
