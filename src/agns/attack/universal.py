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

from agns.attack.agn import AGN
from agns.attack.attack import Nets, frames_of, shipped_nets
from agns.attack.clustering import cluster
from agns.attack.coverage import choose_greedily, dodges, worth_to_subjects
from agns.attack.goals import Dodge
from agns.attack.result import AttackResult, Reason
from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.models.dcgan import sample_latents
from agns.models.victim import Victim, check_identities, class_of, freeze, task_of
from agns.settings import Count, Part, check_settings, whole
from agns.types import Faces, Frames, Labels, Progress, silent

UNIVERSAL_AGN = AGN(check_every=50)
"""A sample costs more where there are photos of many subjects, so there are fewer."""


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
class UniversalResult:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Universal:
    """A few frames that many subjects can dodge with."""

    clusters: Count = 5
    """Groups of subjects, each with a generator of its own; at most one for each subject."""

    candidates: Count = 20
    """Frames of each generator that are tried on every craft photo."""

    frames: Count = 10
    """Frames chosen of all candidates."""

    steps: Count = 300
    """Most steps for each generator; fewer where the eyeglasses are used up before."""

    stop: Part = 0.01
    """Mean probability of the photos' own subjects at which a generator is done."""

    agn: AGN = UNIVERSAL_AGN
    """Each generator's attack, in one epoch."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.agn.jitter or self.agn.brightness:
            raise ConfigError("a universal attack lays frames where the canvas has them: no jitter")

    def run(
        self,
        victim: Victim,
        faces: FaceSet,
        *,
        seed: int = 0,
        frames: RealFrames | None = None,
        nets: Nets | None = None,
        progress: Progress = silent,
    ) -> UniversalResult:
        """Make frames that many subjects dodge with.

        Args:
            victim: Attacked in evaluation mode; not changed.
            faces: Craft photos of all subjects, whom the victim knows.
            seed: Of every draw.
            frames: Real eyeglasses, (frames, 3, 64, 176) bytes; None for the drawn set.
            nets: Pretrained on eyeglasses; None for those that come with agns.
            progress: Told of every step, and of every frame tried on.

        Returns:
            The frames; Ctrl-C ends the attack early with those there are.

        Raises:
            AttackError: There are no faces, or fewer real frames than a batch.
            ConfigError: The victim does not know somebody.
            KeyboardInterrupt: Ctrl-C came before there was any frame.
        """
        started = time.perf_counter()
        rng = torch.Generator().manual_seed(whole(seed, "seed"))
        check_identities(victim)
        victim, glasses, batch = freeze(victim), frames_of(frames), self.agn.batch
        photos = faces.faces(torch.arange(len(faces)))
        known = [class_of(victim, faces.identities[own]) for own in faces.labels.tolist()]
        if not known:
            raise AttackError("an attack needs at least one photo of a subject")
        if len(glasses) < batch:
            raise AttackError(f"a batch of {batch} needs as many real frames, got {len(glasses)}")
        subjects = torch.tensor(known)
        groups = group_subjects(victim, photos, subjects, self.clusters, rng=rng)
        each = min(self.steps, len(glasses) // batch)
        total = len(groups) * (each + self.candidates)
        attacks: list[ClusterAttack] = []
        drawn: list[Frames] = []
        dodged: list[Bool[Tensor, "frames photos"]] = []
        interrupted = False
        try:
            for number, group in enumerate(groups):
                own = torch.isin(subjects, torch.tensor(group))
                before = number * (each + self.candidates)
                result = replace(self.agn, epochs=1).run(
                    victim,
                    photos[own],
                    Dodge(
                        subject=tuple(subjects[own].tolist()), stop=self.stop, task=task_of(victim)
                    ),
                    frames=glasses[torch.randperm(len(glasses), generator=rng)[: each * batch]],
                    nets=shipped_nets() if nets is None else nets,
                    seed=int(torch.randint(2**31, (), generator=rng)),
                    progress=_part(progress, before, total),
                )
                some = draw_candidates(result, self.candidates, rng=rng)
                trying = _part(progress, before + each, total)
                worked = dodges(victim, photos, subjects, some, progress=trying)
                drawn.append(some)
                dodged.append(worked)
                attacks.append(_describe(result, group, int(own.sum())))
                if result.stopped_because == "interrupted":
                    interrupted = True
                    break
        except KeyboardInterrupt:
            if not drawn:
                raise
            interrupted = True
        worth = worth_to_subjects(torch.cat(dodged), subjects)
        counts = torch.tensor([len(some) for some in drawn])
        return UniversalResult(
            candidates=torch.cat(drawn),
            origins=torch.arange(len(drawn)).repeat_interleave(counts),
            subjects=tuple(sorted(set(known))),
            worth=worth,
            chosen=tuple(choose_greedily(worth, self.frames)),
            clusters=tuple(attacks),
            interrupted=interrupted,
            seconds=time.perf_counter() - started,
        )


@torch.no_grad()
def group_subjects(
    victim: Victim, faces: Faces, subjects: Labels, count: int, *, rng: torch.Generator
) -> list[tuple[int, ...]]:
    """Group subjects whom the recogniser describes alike, by their photos' mean descriptors.

    A victim without a method `describe` is grouped by its logits.

    Args:
        victim: In evaluation mode.
        faces: Their photos.
        subjects: For each photo, its subject's class.
        count: Groups wanted.
        rng: Source of the first centres.

    Returns:
        The classes of each group, ascending.
    """
    classes = sorted(set(subjects.tolist()))
    describe = getattr(victim, "describe", victim)
    described = torch.cat([describe(some).flatten(1) for some in faces.split(64)])
    means = torch.stack([described[subjects == own].mean(0) for own in classes])
    groups = cluster(means, count, rng=rng).tolist()
    return [
        tuple(own for own, its in zip(classes, groups, strict=True) if its == group)
        for group in range(max(groups) + 1)
    ]


@torch.no_grad()
def draw_candidates(result: AttackResult, count: int, *, rng: torch.Generator) -> Frames:
    """The last sample's frames, best first, filled up with fresh ones of the same generator."""
    assert result.generator is not None
    assert isinstance(result.attack, AGN)
    fresh = result.attack.draw(result.generator, sample_latents(count, rng=rng))
    return torch.cat([result.frames, fresh])[:count]


def _part(progress: Progress, before: int, whole: int) -> Progress:
    """Tells of a loop that is a part of a longer one."""
    return lambda done, _, figures: progress(before + done, whole, figures)


def _describe(result: AttackResult, group: tuple[int, ...], photos: int) -> ClusterAttack:
    return ClusterAttack(
        subjects=group,
        photos=photos,
        iterations=result.iterations,
        probability=result.probability,
        met=result.met,
        stopped_because=result.stopped_because,
    )
