"""What all attacks have in common: how they are run, and what they take where nothing is named."""

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import torch

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.natural_set import NaturalSet
from agns.accessory.placement import FIXED, Placement
from agns.attack.goals import Goal, name_goal, resolve_goal
from agns.attack.result import AttackResult
from agns.data.cache import digest
from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import DrawnFrames, RealFrames
from agns.errors import AttackError, ConfigError, ImageContractError
from agns.images import check_images, to_pixels
from agns.models.black_box import BlackBox
from agns.models.dcgan import Discriminator, Generator
from agns.models.shipped import shipped_weights
from agns.models.victim import Victim, freeze
from agns.settings import whole
from agns.types import CANVAS, Faces, Progress, silent

Nets: TypeAlias = tuple[Generator, Discriminator]
"""A generator of eyeglasses, and the discriminator that was trained with it."""


@runtime_checkable
class Attack(Protocol):
    """Settings of an attack, and how it is run. An attack of one's own needs nothing else."""

    def run(
        self,
        victim: Victim,
        faces: Faces | FaceSet,
        goal: Goal,
        *,
        seed: int = 0,
        frames: RealFrames | None = None,
        nets: Nets | None = None,
        placement: Placement = FIXED,
        progress: Progress = silent,
    ) -> AttackResult:
        """Attack.

        Args:
            victim: Attacked in evaluation mode; not changed.
            faces: The attacker's own photos: a `FaceSet`, or a tensor of canonical faces, float32
                RGB, (photos, 3, 224, 224), in [0, 1].
            goal: Whom to dodge or impersonate, by name or class, and when it is enough.
            seed: Of every draw.
            frames: Real eyeglasses, (frames, 3, 64, 176) bytes; None for the drawn set, of which
                only those are drawn that the steps need.
            nets: Pretrained on eyeglasses; None for those that come with agns.
            placement: Where frames sit on these photos; the settings say how steps disturb it.
            progress: Told of every step.

        Returns:
            The frames found; Ctrl-C ends the attack early with what there is.

        Raises:
            ImageContractError: The faces are no canonical faces.
            AttackError: There are no faces, too few frames for the settings, or nothing is finite
                from the start.
            ConfigError: The victim does not know somebody, or there is no palette where the
                settings say.
            DataError: The palette cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAttack(ABC):
    """What the attacks here have in common: settings that are run by `Attack.run`."""

    def run(
        self,
        victim: Victim,
        faces: Faces | FaceSet,
        goal: Goal,
        *,
        seed: int = 0,
        frames: RealFrames | None = None,
        nets: Nets | None = None,
        placement: Placement = FIXED,
        progress: Progress = silent,
    ) -> AttackResult:
        """Attack; see `agns.attack.attack.Attack.run`."""
        goal = resolve_goal(goal, victim)
        photos = photos_of(faces)
        check_images(photos, size=(CANVAS, CANVAS))
        if len(photos) == 0:
            raise AttackError("an attack needs at least one photo of the subject")
        seed = whole(seed, "seed")
        if isinstance(goal.subject, tuple) and len(goal.subject) != len(photos):
            raise ConfigError(
                f"the goal has a subject for each of {len(goal.subject)} photos, and there are "
                f"{len(photos)}"
            )
        frozen = freeze(victim)
        before = frozen.queries if isinstance(frozen, BlackBox) else None
        result = self.find(
            frozen, photos, goal,
            frames=frames, nets=nets, placement=placement,
            rng=torch.Generator().manual_seed(seed), progress=progress,
        )  # fmt: skip
        result.attack, result.seed = self, seed
        if isinstance(frozen, BlackBox) and before is not None:
            result.queries = frozen.queries - before
        result.goal = name_goal(goal, victim)
        result.craft_digests = digests_of(faces)
        return result

    @abstractmethod
    def find(
        self,
        victim: Victim,
        faces: Faces,
        goal: Goal,
        *,
        frames: RealFrames | None,
        nets: Nets | None,
        placement: Placement,
        rng: torch.Generator,
        progress: Progress,
    ) -> AttackResult:
        """What `run` does, with a frozen victim, photos as a tensor, and a goal in classes."""


def photos_of(faces: Faces | FaceSet) -> Faces:
    """Photos as a tensor in [0, 1]."""
    if isinstance(faces, FaceSet):
        return faces.faces(torch.arange(len(faces)))
    if not isinstance(faces, torch.Tensor):
        kind = type(faces).__name__
        raise ImageContractError(f"faces are a FaceSet or a tensor of canonical faces, got {kind}")
    return faces


def digests_of(faces: Faces | FaceSet) -> tuple[str, ...]:
    """What each photo is known by: a digest of its bytes."""
    if isinstance(faces, FaceSet):
        return faces.digests
    return tuple(digest(picture) for picture in to_pixels(faces).cpu().numpy())


def frames_of(frames: RealFrames | None) -> RealFrames:
    """Real frames; the drawn set where none are named."""
    if frames is None:
        return _drawn()
    if isinstance(frames, torch.Tensor) and (
        frames.dtype != torch.uint8 or tuple(frames.shape[1:]) != (3, *FRAME_SIZE)
    ):
        got = f"{frames.dtype}, {tuple(frames.shape)}"
        raise ImageContractError(f"real frames are bytes, (frames, 3, 64, 176), got {got}")
    return frames


@functools.cache
def _drawn() -> DrawnFrames:
    return DrawnFrames()


def natural_set_at(path: str | None) -> NaturalSet:
    """The natural set in a file, or that of agns.

    Raises:
        ConfigError: There is no such file.
        DataError: It holds none.
    """
    return _shipped_set() if path is None else NaturalSet.read(Path(path))


@functools.cache
def _shipped_set() -> NaturalSet:
    return NaturalSet.read(shipped_weights("natural_set"))


@functools.cache
def shipped_nets() -> Nets:
    """The generator and the discriminator that come with agns; not to be changed."""
    return (
        Generator.read(shipped_weights("generator")),
        Discriminator.read(shipped_weights("discriminator")),
    )
