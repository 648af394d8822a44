"""Searching among sampled frames, against trying every frame on every photo."""

import numpy as np
import pytest
import torch
from tests.attack.conftest import build_victim, draw_coarse_photos

from agns.accessory.frame import place, silhouette
from agns.accessory.placement import FIXED, Placement
from agns.accessory.wear import wear
from agns.attack import search
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.query import query_logits
from agns.attack.search import Candidates, draw_photos, search_frames, typicality
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces, Frames, Glasses, Latents, Logits

COUNT = 16


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def redness(frames: Frames) -> torch.Tensor:
    return frames[:, 0].mean((1, 2))


class Bench:
    """What every search here is given, and what trying out everything finds."""

    def __init__(self, generator: Generator, victim: Recognizer, photos: Faces) -> None:
        self.known: dict[Goal, np.ndarray] = {}
        self.generator, self.victim, self.photos = generator, freeze(victim), photos
        self.latents: Latents = sample_latents(COUNT, rng=draws())
        self.images: list[int] = []
        with torch.no_grad():
            self.frames: Frames = generator(self.latents)
        self.victim.register_forward_pre_hook(lambda _, faces: self.images.append(len(faces[0])))

    def means(self, goal: Goal) -> np.ndarray:
        """Each frame's mean shortfall."""
        return self.each(goal).mean(1)

    @torch.no_grad()
    def each(self, goal: Goal) -> np.ndarray:
        """Each frame's shortfall on each photo, one frame at a time."""
        if goal not in self.known:
            rows = [
                goal.failure_probability(
                    self.victim(wear(self.photos, place(frame[None]), silhouette()))
                )
                for frame in self.frames
            ]
            self.images.clear()
            self.known[goal] = torch.stack(rows).double().numpy()
        return self.known[goal]

    def stop_after(self, best: int, *, name: str) -> tuple[Goal, np.ndarray]:
        """A goal that just so many frames meet, and every frame's mean shortfall."""

        def goal(stop: float) -> Goal:
            return (
                Dodge(subject=1, stop=stop)
                if name == "dodge"
                else Impersonate(subject=0, target=1, stop=stop)
            )

        means = self.means(goal(0.5))
        ranked = np.sort(means)
        between = float(ranked[best - 1] + ranked[best]) / 2
        return goal(goal(0.5).probability(between)), means

    def search(self, goal: Goal, **settings: object) -> Candidates | None:
        return search_frames(
            self.generator,
            self.victim,
            self.photos,
            goal,
            count=COUNT,
            **{"placement": FIXED, "rng": draws(), **settings},
        )


@pytest.fixture(scope="module")
def common(built: tuple[Generator, Discriminator, torch.Tensor]) -> Bench:
    draws = torch.Generator()
    draws.set_state(built[2])
    return Bench(built[0], build_victim(draws), draw_coarse_photos(draws))


@pytest.fixture
def bench(common: Bench) -> Bench:
    common.images.clear()
    return common


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Faces, str]]:
    """What the victim is shown, and in what precision."""
    seen: list[tuple[Faces, str]] = []

    def noted(victim: Recognizer, faces: Faces, *, precision: str) -> Logits:
        seen.append((faces, precision))
        return query_logits(victim, faces, precision=precision)

    monkeypatch.setattr(search, "query_logits", noted)
    return seen


goal_names = pytest.mark.parametrize("name", ["dodge", "impersonate"])


@goal_names
@pytest.mark.parametrize("pairs", [1, 20, 1000])
def test_leaving_early_loses_no_frame_that_reaches_the_stop_value(
    bench: Bench, name: str, pairs: int
) -> None:
    goal, means = bench.stop_after(5, name=name)
    found = bench.search(goal, pairs=pairs)
    assert found.met
    assert torch.equal(found.latents, bench.latents[means.argsort()[:5].copy()])


def test_frames_without_a_chance_leave_after_the_first_photo(bench: Bench) -> None:
    bench.search(Dodge(subject=1, stop=1e-6), pairs=COUNT, keep=2)
    # A quarter of them sees three photos, and two of those see all.
    assert bench.images == [COUNT, COUNT // 4 * 2, 2 * (len(bench.photos) - 3)]


def test_photos_are_tried_in_the_order_asked_for_and_the_same_frames_are_found(
    bench: Bench, shown: list[tuple[Faces, str]]
) -> None:
    goal, _ = bench.stop_after(3, name="dodge")
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    found = bench.search(goal, order=order, pairs=COUNT)
    worn = FIXED.wear(bench.photos, bench.frames, torch.full((COUNT,), 4))
    torch.testing.assert_close(shown[0][0], worn)
    assert torch.equal(found.latents, bench.search(goal).latents)


def test_nothing_is_found_where_no_frame_comes_up_to_what_is_to_be_beaten(bench: Bench) -> None:
    goal = Dodge(subject=1, stop=1e-6)
    lowest = bench.means(goal).min()
    assert bench.search(goal, keep=COUNT, beat=0.99 * lowest) is None
    found = bench.search(goal, keep=COUNT, beat=1.01 * lowest)
    assert found.failure == pytest.approx(lowest, abs=1e-5)


@pytest.mark.parametrize("stop", [1e-6, None])
def test_what_is_sorted_out_in_bfloat16_is_found_in_full_precision(
    bench: Bench, shown: list[tuple[Faces, str]], stop: float | None
) -> None:
    goal = bench.stop_after(5, name="dodge")[0] if stop is None else Dodge(subject=1, stop=stop)
    found = bench.search(goal, precision="bf16", keep=COUNT)
    asked = [precision for _, precision in shown]
    exact = bench.search(goal, keep=COUNT)
    assert asked[0] == "bf16"
    assert asked[-1] == "fp32"
    assert torch.equal(found.latents, exact.latents)
    assert found.failure == pytest.approx(exact.failure, abs=1e-6)


@goal_names
def test_what_reaches_the_stop_value_is_ordered_by_rank(bench: Bench, name: str) -> None:
    goal, means = bench.stop_after(5, name=name)
    found = bench.search(goal, rank=redness)
    meeting = means.argsort()[:5]
    expected = sorted(meeting, key=lambda index: -redness(bench.frames)[index])
    assert expected != list(meeting)
    assert torch.equal(found.latents, bench.latents[expected])
    assert found.failure == pytest.approx(means[expected[0]], abs=1e-5)
    assert found.probability == pytest.approx(goal.probability(means[expected[0]]), abs=1e-5)


@goal_names
def test_where_none_reaches_it_the_nearest_come_first_whatever_is_believed(
    bench: Bench, name: str
) -> None:
    unreachable = (
        Dodge(subject=1, stop=1e-6)
        if name == "dodge"
        else Impersonate(subject=0, target=1, stop=1 - 1e-6)
    )
    means = bench.means(unreachable)
    found = bench.search(unreachable, rank=redness, keep=COUNT)
    assert not found.met
    assert torch.equal(found.latents, bench.latents[means.argsort()])
    assert found.failure == pytest.approx(means.min(), abs=1e-5)


def test_where_none_reaches_it_a_few_are_tried_on_every_photo(bench: Bench) -> None:
    goal = Dodge(subject=1, stop=1e-6)
    means = bench.means(goal)
    found = bench.search(goal, keep=3, pairs=COUNT)
    places = [int((bench.latents == latent).all(1).nonzero()) for latent in found.latents]
    assert len(set(places)) == 3
    assert list(means[places]) == sorted(means[places])
    assert found.failure == pytest.approx(means[places[0]], abs=1e-5)


def test_frames_are_what_the_generator_draws_from_their_latents(bench: Bench) -> None:
    found = bench.search(bench.stop_after(4, name="dodge")[0], rank=redness)
    with torch.no_grad():
        redrawn = bench.generator(found.latents)
    torch.testing.assert_close(found.frames, redrawn)


def test_the_victim_is_asked_in_full_batches_and_once_for_each_pair(bench: Bench) -> None:
    bench.search(Dodge(subject=1, stop=1 - 1e-6), pairs=32)
    assert sum(bench.images) == COUNT * len(bench.photos)
    assert bench.images == [32] * 3


def test_a_search_keeps_no_graph(bench: Bench) -> None:
    found = bench.search(Dodge(subject=1, stop=0.5), rank=redness)
    assert not found.frames.requires_grad


def test_what_scores_as_frames_do_without_an_attack_is_the_most_typical(
    gan: tuple[Generator, Discriminator], glasses: Glasses, generator: torch.Generator
) -> None:
    looks_typical = typicality(*gan, glasses, 8, generator)
    with torch.no_grad():
        drawn = gan[0](sample_latents(64, rng=generator))
        odd = torch.stack([torch.zeros(3, 64, 176), torch.ones(3, 64, 176)])
        typical, other = looks_typical(drawn).median(), looks_typical(odd)
    assert (other < typical).all()


@pytest.mark.parametrize("seed", range(5))
def test_photos_are_drawn_as_equally_often_as_whole_numbers_allow(seed: int) -> None:
    drawn = draw_photos(6, 16, torch.Generator().manual_seed(seed))
    times = drawn.bincount(minlength=6)
    assert times.sum() == 16
    assert set(times.tolist()) == {2, 3}


def test_as_many_photos_as_are_drawn_come_once_each() -> None:
    drawn = draw_photos(16, 16, torch.Generator().manual_seed(0))
    assert drawn.tolist() == list(range(16))


def test_of_more_photos_than_are_drawn_each_has_its_turn() -> None:
    random = torch.Generator().manual_seed(0)
    drawn = torch.cat([draw_photos(3, 2, random) for _ in range(2000)])
    shares = drawn.bincount(minlength=3) / len(drawn)
    assert torch.allclose(shares, torch.full((3,), 1 / 3).to(shares), atol=0.02)


def test_looks_disturb_neither_place_nor_light(bench: Bench) -> None:
    moved = torch.eye(3).repeat(len(bench.photos), 1, 1)
    moved[:, 1, 2] = torch.arange(len(bench.photos)) * 11.0
    goal, _ = bench.stop_after(5, name="dodge")
    still, shaky = (
        bench.search(goal, placement=Placement(homographies=moved, **disturbed))
        for disturbed in ({}, {"jitter": 3.0, "brightness": 0.4})
    )
    assert torch.equal(still.frames, shaky.frames)
    assert still.probability == shaky.probability
    fixed = bench.search(goal)
    assert fixed.probability != pytest.approx(still.probability, abs=1e-6)
