"""Training a detector of adversarial eyeglasses: photos of three kinds, and one visible loop."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.attack.attack import Attack, Nets
from agns.attack.goals import Dodge, Goal, Impersonate, resolve_goal
from agns.data.faces import FaceSet
from agns.defence.detector import Detected, detector_at, tapped
from agns.errors import AttackError, ConfigError, DataError
from agns.images import from_pixels
from agns.models.initialization import draw_weights
from agns.models.victim import Victim, freeze
from agns.settings import Batch, Count, Part, Rate, Seed, check_settings
from agns.storage import load_tensors, save_tensors
from agns.types import Faces, Glasses, Progress, silent

Kind: TypeAlias = Literal["clean", "benign", "adversarial"]
KINDS: tuple[Kind, ...] = ("clean", "benign", "adversarial")
"""Photos as they are, wearing a benign frame, and wearing a frame that fools the recogniser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorTraining:
    """How a detector is trained."""

    tap: str = ""
    """Layer of the recogniser that it reads; that of a sixteenth of the height and width if empty,
    where the network is VGG, OpenFace or dlib's."""

    held_subjects: Part = 0.3
    """Share of the subjects who are kept for testing."""

    photos: Count = 16
    """Photos of each subject, at most; each comes without a frame, with a benign frame, and with a
    frame that fools the recogniser."""

    epochs: Count = 60
    """Passes over the training photos."""

    batch: Batch = 64
    """Photos in a step."""

    rate: Rate = 1e-4
    """Adam's learning rate, the paper's."""

    seed: Seed = 0
    """Of the subjects, the frames and every draw."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, eq=False)
class SubjectPhotos:
    """One subject's photos of the three kinds."""

    subject: str
    photos: Mapping[Kind, Faces]
    """In [0, 1]; of adversarial ones those alone that reach the attack's goal."""
    tried: int
    """Photos that tried on an attack's frame."""
    digests: tuple[str, ...]
    """Of the photos themselves."""


def split_subjects(
    names: Sequence[str], config: DetectorTraining
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Subjects to train on, and others to test on.

    Raises:
        ConfigError: There are fewer than two.
    """
    if len(names) < 2:
        raise ConfigError(f"a detector needs at least two subjects, got {len(names)}")
    rng = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(names), generator=rng).tolist()
    held = min(len(names) - 1, max(1, round(config.held_subjects * len(names))))
    chosen = set(order[:held])
    return (
        tuple(name for at, name in enumerate(names) if at not in chosen),
        tuple(name for at, name in enumerate(names) if at in chosen),
    )


def photos_of_subject(
    victim: Victim,
    faces: FaceSet,
    goals: Sequence[Goal],
    attack: Attack,
    config: DetectorTraining,
    glasses: Glasses,
    *,
    kept: Path,
    nets: Nets | None = None,
    progress: Progress = silent,
) -> SubjectPhotos:
    """Make one subject's photos of the three kinds; the attacks take their time.

    Args:
        victim: To be guarded.
        faces: The subject's, to attack and to show.
        goals: What is attacked; photos take turns in wearing their frames.
        attack: Makes frames on these photos.
        config: How many.
        glasses: Benign frames as bytes, one for each of the victim's identities at least.
        kept: File of the frames found; read where it is there already.
        nets: As `Attack.run` takes them.
        progress: Told of the attack's steps.

    Raises:
        AttackError: The attack cannot start.
        ConfigError: There are fewer frames than identities.
        KeyboardInterrupt: An attack was interrupted; no frame is kept of it.
    """
    subject = faces.identities[int(faces.labels[0])]
    if len(glasses) < len(victim.identities):
        raise ConfigError(
            f"each of {len(victim.identities)} people wears frames of their own, and there are "
            f"{len(glasses)}"
        )
    own = faces.faces(torch.arange(len(faces)))[: config.photos]
    names = [goal.name for goal in goals]
    frames = _kept_frames(kept, names)
    if frames is None:
        found = []
        for goal in goals:
            result = attack.run(
                victim, own, goal, seed=config.seed, frames=glasses, nets=nets, progress=progress
            )
            if result.stopped_because == "interrupted":
                raise KeyboardInterrupt
            found.append(result)
        frames = torch.cat([result.frames[:1] for result in found])
        save_tensors(kept, {"frames": frames}, {"goals": json.dumps(names)})
    # Others for every subject, so that none is learnt from one and tested on another.
    rng = torch.Generator().manual_seed(config.seed)
    everybody = sorted(victim.identities)
    order = torch.randperm(len(glasses), generator=rng)
    share = order.tensor_split(len(everybody))[everybody.index(subject)]
    drawn = share[torch.arange(len(own)) % len(share)]
    mask = silhouette()
    adversarial, reached = [], []
    for turn, goal in enumerate(goals):
        some = own[turn :: len(goals)]
        worn = wear(some, place(frames[turn : turn + 1]), mask)
        with torch.no_grad():
            reached.append(resolve_goal(goal, victim).succeeded(victim(worn)).cpu())
        adversarial.append(worn)
    worn = torch.cat(adversarial)
    benign = wear(own, place(from_pixels(glasses[drawn])), mask)
    photos: dict[Kind, Faces] = {
        "clean": own, "benign": benign, "adversarial": worn[torch.cat(reached)]
    }  # fmt: skip
    return SubjectPhotos(subject, photos, len(worn), faces.digests[: config.photos])


def goals_of(subject: str, names: Sequence[str]) -> tuple[Goal, ...]:
    """A subject's goals: to dodge, and to be taken for whoever comes next among the names."""
    after = names[(names.index(subject) + 1) % len(names)]
    return Dodge(subject), Impersonate(after, subject=subject)


def _kept_frames(kept: Path, names: Sequence[str]) -> Tensor | None:
    if not kept.is_file():
        return None
    tensors, metadata = load_tensors(kept)
    if metadata.get("goals") != json.dumps(list(names)) or "frames" not in tensors:
        raise DataError(f"{kept} holds other frames than this run's: name another directory")
    return tensors["frames"]


def train_detector(
    victim: Victim,
    subjects: Sequence[SubjectPhotos],
    config: DetectorTraining,
    *,
    tap: str,
    progress: Progress = silent,
) -> tuple[Detected, list[float]]:
    """Train a detector on features that are computed once.

    Photos as they should be, with and without frames, count together as much as adversarial ones.

    Args:
        victim: In evaluation mode.
        subjects: To train on.
        config: The recipe.
        tap: The layer that is read.
        progress: Told of every epoch.

    Returns:
        The victim, guarded, and the mean loss of each epoch.

    Raises:
        AttackError: No adversarial photo fools the recogniser.
        ConfigError: There is no such layer.
    """
    # As it will be read: what is frozen computes the same otherwise.
    victim = freeze(victim)
    features, labels = [], []
    for own in subjects:
        for kind in KINDS:
            for some in own.photos[kind].split(32):
                features.append(features_of(victim, tap, some))
                labels.append(torch.full((len(some),), int(kind == "adversarial")))
    shown, label = torch.cat(features), torch.cat(labels)
    adversarial = int(label.sum())
    if adversarial == 0:
        raise AttackError("no adversarial photo fools the recogniser: there is nothing to detect")
    rng = torch.Generator().manual_seed(config.seed)
    network = draw_weights(detector_at(victim, tap), rng=rng).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.rate)
    weights = len(label) / torch.tensor([2.0 * (len(label) - adversarial), 2.0 * adversarial])
    losses = []
    for epoch in range(config.epochs):
        order, total = torch.randperm(len(label), generator=rng), 0.0
        for chosen in order.split(config.batch):
            # A batch norm learns nothing from a single photo.
            if len(chosen) < 2:
                continue
            loss = functional.cross_entropy(network(shown[chosen]), label[chosen], weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(chosen)
        losses.append(total / len(label))
        progress(epoch + 1, config.epochs, {"loss": losses[-1]})
    learnt = [digest for own in subjects for digest in own.digests]
    return Detected(victim, network.eval(), tap, learnt).eval(), losses


@torch.no_grad()
def features_of(victim: Victim, tap: str, faces: Faces) -> Float[Tensor, "batch _ _ _"]:
    """What a detector reads of faces, on the processor."""
    return tapped(victim, tap, faces)[1].cpu()
