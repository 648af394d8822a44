"""A few frames that many subjects can dodge with, made on some of them.

After the universal attack of Sharif et al. 2019: subjects are grouped by the recogniser's own
descriptors with k-means++, a generator is fine-tuned for each group, and of the frames that the
generators draw a few are chosen greedily so that as many subjects as can be are served.

The settings are this project's own. So are what a frame is worth to a subject, the share of craft
photos that it dodges on, and where a subject lies among others, at the photos' mean descriptor.
"""

import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from agns.attack.agn import AGN, attack_with_agn
from agns.attack.clustering import cluster
from agns.attack.coverage import choose_greedily, dodges, worth_to_subjects
from agns.attack.goals import DodgeEach
from agns.attack.result import AttackResult, Reason
from agns.attack.search import check_photos
from agns.errors import AttackError, ConfigError
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.victim import Victim, freeze
from agns.types import Faces, Frames, Glasses, Labels, Progress, silent

UNIVERSAL_AGN = AGN(check_every=50)
"""A look costs more where there are photos of many subjects, so there are fewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UniversalConfig:
    """How a universal attack runs."""

    clusters: int = 5
    """Groups of subjects, each with a generator of its own; at most one for each subject."""

    candidates: int = 20
    """Frames of each generator that are tried on every craft photo."""

    frames: int = 10
    """Frames chosen of all candidates."""

    steps: int = 300
    """Most steps for each generator; fewer where the eyeglasses are used up before."""

    stop: float = 0.01
    """Mean probability of the photos' own subjects at which a generator is done."""

    agn: AGN = UNIVERSAL_AGN
    """Each generator's attack, in one pass; its seed is drawn from this attack's own."""

    seed: int = 0
    """Seed of every draw."""

    def __post_init__(self) -> None:
        for name in ("clusters", "candidates", "frames", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.agn.jitter or self.agn.brightness:
            raise ConfigError("a universal attack lays frames where the canvas has them: no jitter")
        if not 0 < self.stop < 1:
            raise ConfigError(f"a stop value must lie in (0, 1), got {self.stop}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAttack:
    """One group's attack."""

    subjects: tuple[int, ...]
    """Classes of the group's subjects."""

    photos: int
    """Craft photos of them."""

    iterations: int
    """Steps taken."""

    probability: float
    """Mean probability of the photos' own subjects that the best frame left."""

    met: bool
    """Whether that reaches the stop value."""

    stopped_because: Reason
    """Why the loop ended."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UniversalOutcome:
    """What a universal attack leaves, before it is scored on other photos."""

    candidates: Frames
    """Every frame that was tried, in [0, 1]."""

    origins: Int64[Tensor, " frames"]
    """The group that each came from."""

    subjects: tuple[int, ...]
    """Classes of all subjects crafted on, ascending."""

    worth: Float[Tensor, "frames subjects"]
    """Share of each subject's craft photos that each candidate dodges on."""

    chosen: tuple[int, ...]
    """Places of the chosen frames among the candidates; the first are the choice of fewer."""

    clusters: tuple[ClusterAttack, ...]
    """Each group's attack, in order; those before the interruption, if there was one."""

    interrupted: bool
    """Whether Ctrl-C ended the attack before every group had its turn in full."""

    seconds: float
    """Time it took."""

    @property
    def frames(self) -> Frames:
        """The chosen frames, in their order."""
        return self.candidates[list(self.chosen)]


def attack_universally(
    generator: Generator,
    discriminator: Discriminator,
    victim: Victim,
    faces: Faces,
    subjects: Labels,
    glasses: Glasses,
    config: UniversalConfig,
    *,
    progress: Progress = silent,
) -> UniversalOutcome:
    """Make frames that many subjects dodge with.

    Args:
        generator: Pretrained on eyeglasses; not changed.
        discriminator: Pretrained with it; not changed.
        victim: Attacked in evaluation mode; not changed.
        faces: Craft photos of all subjects, (photos, 3, 224, 224), in [0, 1].
        subjects: For each photo, its subject's class.
        glasses: Real 64x176 frames as bytes.
        config: The settings.
        progress: Told of every step, and of every frame tried on.

    Returns:
        The frames; Ctrl-C ends the attack early with those there are.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces, or fewer real frames than a batch.
        KeyboardInterrupt: Ctrl-C came before there was any frame.
    """
    check_photos(faces)
    started = time.perf_counter()
    draws = torch.Generator().manual_seed(config.seed)
    victim = freeze(victim)
    classes = sorted(set(subjects.tolist()))
    groups = group_subjects(victim, faces, subjects, config.clusters, draws=draws)
    batch = config.agn.batch
    if len(glasses) < batch:
        raise AttackError(f"a batch of {batch} needs as many real frames, got {len(glasses)}")
    each = min(config.steps, len(glasses) // batch)
    whole = len(groups) * (each + config.candidates)
    attacks: list[ClusterAttack] = []
    frames: list[Frames] = []
    dodged: list[Bool[Tensor, "frames photos"]] = []
    interrupted = False
    try:
        for place, group in enumerate(groups):
            own = torch.isin(subjects, torch.tensor(group))
            before = place * (each + config.candidates)
            outcome = attack_with_agn(
                generator,
                discriminator,
                victim,
                faces[own],
                glasses[torch.randperm(len(glasses), generator=draws)[: each * batch]],
                DodgeEach(subjects=subjects[own], stop=config.stop),
                replace(config.agn, passes=1, seed=_seed(draws)),
                progress=_part(progress, before, whole),
            )
            drawn = draw_candidates(outcome, config.candidates, draws=draws)
            trying = _part(progress, before + each, whole)
            worked = dodges(victim, faces, subjects, drawn, progress=trying)
            frames.append(drawn)
            dodged.append(worked)
            attacks.append(_describe(outcome, group, int(own.sum())))
            if outcome.stopped_because == "interrupted":
                interrupted = True
                break
    except KeyboardInterrupt:
        if not frames:
            raise
        interrupted = True
    worth = worth_to_subjects(torch.cat(dodged), subjects)
    counts = torch.tensor([len(some) for some in frames])
    return UniversalOutcome(
        candidates=torch.cat(frames),
        origins=torch.arange(len(frames)).repeat_interleave(counts),
        subjects=tuple(classes),
        worth=worth,
        chosen=tuple(choose_greedily(worth, config.frames)),
        clusters=tuple(attacks),
        interrupted=interrupted,
        seconds=time.perf_counter() - started,
    )


@torch.no_grad()
def group_subjects(
    victim: Victim, faces: Faces, subjects: Labels, count: int, *, draws: torch.Generator
) -> list[tuple[int, ...]]:
    """Group subjects whom the recogniser describes alike, by their photos' mean descriptors.

    A victim without a method `describe` is grouped by its logits.

    Args:
        victim: In evaluation mode.
        faces: Their photos.
        subjects: For each photo, its subject's class.
        count: Groups wanted.
        draws: Source of the first centres.

    Returns:
        The classes of each group, ascending.
    """
    classes = sorted(set(subjects.tolist()))
    describe = getattr(victim, "describe", victim)
    described = torch.cat([describe(some).flatten(1) for some in faces.split(64)])
    means = torch.stack([described[subjects == own].mean(0) for own in classes])
    groups = cluster(means, count, generator=draws).tolist()
    return [
        tuple(own for own, its in zip(classes, groups, strict=True) if its == group)
        for group in range(max(groups) + 1)
    ]


@torch.no_grad()
def draw_candidates(outcome: AttackResult, count: int, *, draws: torch.Generator) -> Frames:
    """The best look's frames, best first, filled up with fresh ones of the same generator."""
    assert outcome.generator is not None
    fresh = outcome.generator(sample_latents(count, generator=draws))
    return torch.cat([outcome.frames, fresh])[:count]


def _seed(draws: torch.Generator) -> int:
    return int(torch.randint(2**31, (), generator=draws))


def _part(progress: Progress, before: int, whole: int) -> Progress:
    """Tells of a loop that is a part of a longer one."""
    return lambda done, _, figures: progress(before + done, whole, figures)


def _describe(outcome: AttackResult, group: tuple[int, ...], photos: int) -> ClusterAttack:
    return ClusterAttack(
        subjects=group,
        photos=photos,
        iterations=outcome.iterations,
        probability=outcome.probability,
        met=outcome.met,
        stopped_because=outcome.stopped_because,
    )
