"""The universal attack on a tiny victim: groups, candidates, choice, and how it ends."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from tests.attack.conftest import build_victim, draw_coarse_photos

from agns.accessory.placement import FIXED
from agns.attack import universal
from agns.attack.agn import AGN
from agns.attack.coverage import choose_greedily, dodges, worth_to_subjects
from agns.attack.goals import Dodge
from agns.attack.search import search_frames
from agns.attack.universal import (
    Universal,
    UniversalResult,
    group_subjects,
)
from agns.data.faces import FaceSet
from agns.errors import AttackError, ConfigError
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces, Glasses, Labels, Progress, silent

QUICK = Universal(
    clusters=2,
    candidates=3,
    frames=4,
    steps=2,
    stop=1e-6,
    agn=AGN(batch=4, samples=4, generator_rate=5e-3, check_every=2),
)
SUBJECTS = torch.tensor([2, 0, 1, 1, 0, 2])


def faces_of(photos: Faces, subjects: Labels) -> FaceSet:
    names = tuple(f"{number}.png" for number in range(len(photos)))
    pixels = (255 * photos).round().byte()
    return FaceSet(
        pixels=pixels, labels=subjects, identities=("Ann", "Bob", "Cy"), photos=names, digests=names
    )


class Scene:
    """An attack's ingredients."""

    def __init__(
        self,
        gan: tuple[Generator, Discriminator],
        victim: Recognizer,
        photos: Faces,
        glasses: Glasses,
    ) -> None:
        self.gan, self.victim, self.photos, self.glasses = gan, victim, photos, glasses

    def attack(
        self, config: Universal = QUICK, *, seed: int = 0, progress: Progress = silent
    ) -> UniversalResult:
        return config.run(
            self.victim,
            faces_of(self.photos, SUBJECTS),
            frames=self.glasses,
            nets=self.gan,
            seed=seed,
            progress=progress,
        )


@dataclass(frozen=True, kw_only=True)
class Told:
    """An attack that nothing ended early, and the progress that it told of."""

    outcome: UniversalResult
    progress: list[tuple[int, int]]


@pytest.fixture(scope="module")
def told(built: tuple[Generator, Discriminator, torch.Tensor], glasses: Glasses) -> Told:
    """Of a scene like each test's."""
    draws = torch.Generator()
    draws.set_state(built[2])
    gan = copy.deepcopy(built[:2])
    scene = Scene(gan, build_victim(draws), draw_coarse_photos(draws), glasses)
    progress: list[tuple[int, int]] = []
    outcome = scene.attack(progress=lambda done, total, _: progress.append((done, total)))
    return Told(outcome=outcome, progress=progress)


@pytest.fixture
def scene(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> Scene:
    return Scene(gan, victim, photos, glasses)


def test_every_group_draws_its_candidates_and_the_choice_is_made_among_all(
    scene: Scene, told: Told
) -> None:
    outcome = told.outcome
    assert len(outcome.clusters) == 2
    assert outcome.candidates.shape == (6, 3, 64, 176)
    assert outcome.origins.tolist() == [0, 0, 0, 1, 1, 1]
    assert sorted(own for one in outcome.clusters for own in one.subjects) == [0, 1, 2]
    assert sum(one.photos for one in outcome.clusters) == 6
    assert {one.iterations for one in outcome.clusters} == {2}
    assert outcome.subjects == (0, 1, 2)
    dodged = dodges(freeze(scene.victim), scene.photos, SUBJECTS, outcome.candidates)
    torch.testing.assert_close(outcome.worth, worth_to_subjects(dodged, SUBJECTS))
    assert list(outcome.chosen) == choose_greedily(outcome.worth, 4)
    assert torch.equal(outcome.frames, outcome.candidates[list(outcome.chosen)])
    assert not outcome.interrupted


def test_steps_make_each_photos_own_subject_less_likely(scene: Scene) -> None:
    config = AGN(
        kappa=0,
        batch=4,
        samples=4,
        generator_rate=1e-3,
        natural=False,
        saturation_margin=0,
    )
    # One of the three stays out: there must be somebody to be taken for.
    goal = Dodge(subject=(0, 1, 1, 0, 0, 1), stop=1e-6)
    outcome = config.run(scene.victim, scene.photos, goal, frames=scene.glasses, nets=scene.gan)
    assert outcome.iterations == 4
    frozen = freeze(scene.victim)

    @torch.no_grad()
    def own_probability(generator: Generator) -> float:
        frames = generator(sample_latents(8, rng=torch.Generator().manual_seed(9)))
        places = torch.arange(6)
        worn = [FIXED.wear(scene.photos, frame[None], places) for frame in frames]
        return sum(float(goal.class_probability(frozen(some)).mean()) for some in worn) / 8

    assert own_probability(outcome.generator) < own_probability(scene.gan[0]) - 0.005


@torch.no_grad()
def test_a_look_watches_each_photos_own_subject(scene: Scene) -> None:
    goal, frozen = Dodge(subject=tuple(SUBJECTS.tolist()), stop=1e-6), freeze(scene.victim)
    found = search_frames(
        scene.gan[0],
        frozen,
        scene.photos,
        goal,
        count=4,
        placement=FIXED,
        rng=torch.Generator().manual_seed(5),
        pairs=7,
    )
    for latent, frame in zip(found.latents, found.frames, strict=True):
        torch.testing.assert_close(scene.gan[0](latent[None])[0], frame)
    own = [
        sum(
            float(frozen(FIXED.wear(scene.photos, frame[None], photo)).softmax(1)[0, own])
            for photo, own in zip(torch.arange(6).split(1), SUBJECTS.tolist(), strict=True)
        )
        / 6
        for frame in found.frames
    ]
    assert found.failure == pytest.approx(min(own), rel=1e-4)
    assert own[0] == min(own)


def test_the_same_seed_gives_the_same_frames_and_another_gives_others(
    scene: Scene, told: Told
) -> None:
    torch.manual_seed(1234)
    again = scene.attack()
    assert torch.equal(told.outcome.candidates, again.candidates)
    assert told.outcome.chosen == again.chosen
    # What is drawn first differs already.
    other = scene.attack(replace(QUICK, clusters=1, steps=1), seed=1)
    assert not any(torch.equal(one, other.candidates[0]) for one in again.candidates)


def test_subjects_described_alike_are_in_one_group(scene: Scene) -> None:
    faces = torch.cat([scene.photos[:2], 0.999 * scene.photos[:2]])
    subjects = torch.tensor([5, 9, 6, 7])
    groups = group_subjects(
        freeze(scene.victim), faces, subjects, 2, rng=torch.Generator().manual_seed(0)
    )
    assert groups == [(5, 6), (7, 9)]


def test_progress_rises_to_its_end_over_steps_and_frames_tried(told: Told) -> None:
    assert [done for done, _ in told.progress] == list(range(1, 11))
    assert {total for _, total in told.progress} == {10}


@pytest.mark.parametrize(("at", "groups"), [(1, 1), (4, 1), (6, 2), (9, 1)])
def test_ctrl_c_leaves_the_frames_there_are(scene: Scene, at: int, groups: int) -> None:
    def stop(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == at:
            raise KeyboardInterrupt

    if at == 4:
        # While the first group's frames are tried on, there is no frame yet.
        with pytest.raises(KeyboardInterrupt):
            scene.attack(progress=stop)
        return
    outcome = scene.attack(progress=stop)
    assert outcome.interrupted
    assert len(outcome.clusters) == groups
    assert len(outcome.candidates) == 3 * groups
    assert len(outcome.frames) == min(4, 3 * groups)


def test_steps_never_exceed_those_asked_for_nor_what_the_eyeglasses_are_enough_for(
    scene: Scene,
) -> None:
    twice = replace(QUICK.agn, epochs=2)
    for steps, taken in ((99, len(scene.glasses) // 4), (1, 1)):
        outcome = scene.attack(replace(QUICK, clusters=1, steps=steps, agn=twice))
        assert outcome.clusters[0].iterations == taken


def test_too_few_eyeglasses_and_no_faces_are_refused(scene: Scene) -> None:
    with pytest.raises(AttackError, match="a batch of 99 needs as many real frames, got 16"):
        scene.attack(replace(QUICK, agn=replace(QUICK.agn, batch=99)))
    with pytest.raises(AttackError, match="at least one photo"):
        QUICK.run(scene.victim, faces_of(scene.photos[:0], SUBJECTS[:0]), frames=scene.glasses)


@pytest.mark.parametrize("name", ["clusters", "candidates", "frames", "steps"])
def test_counts_start_at_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
        replace(QUICK, **{name: 0})


def test_a_stop_value_is_a_probability_and_frames_are_not_moved() -> None:
    with pytest.raises(ConfigError, match="stop must lie in"):
        replace(QUICK, stop=1.0)
    with pytest.raises(ConfigError, match="no jitter"):
        replace(QUICK, agn=AGN(jitter=1))
    assert universal.UNIVERSAL_AGN.check_every > AGN().check_every
