"""Attacks that only ask: CMA-ES on latents, squares, and the frames that nobody crafted."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.placement import FIXED
from agns.attack.agn import AGN
from agns.attack.asking import Asking
from agns.attack.attack import FrameAttack
from agns.attack.baselines import Baseline
from agns.attack.cmaes import CMAES, LatentGrid
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.methods import METHODS, name_of
from agns.attack.pixel_descent import CCS16, PGD
from agns.attack.pixels import FreePixels
from agns.attack.result import AttackResult
from agns.attack.span import Span
from agns.attack.square import Square, paint_square
from agns.errors import AttackError, ConfigError, QueryBudgetSpent
from agns.models.black_box import BlackBox
from agns.models.dcgan import LATENT, Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces, Pixels

pytest.importorskip("cmaes")

DODGE = Dodge(subject=1, stop=1e-6)
GOALS: tuple[Goal, ...] = (DODGE, Impersonate(subject=0, target=2, stop=1 - 1e-6))
METHODS_THAT_ASK: Mapping[str, FrameAttack] = {
    "cmaes": CMAES(queries=240, population=6, first_photos=2, rows=1, columns=2),
    "square": Square(queries=240, first_photos=2),
}
Nets = tuple[Generator, Discriminator]

every_method = pytest.mark.parametrize("name", METHODS_THAT_ASK)


def loss_of(found: AttackResult, victim: Recognizer, photos: Faces, goal: Goal) -> float:
    with torch.no_grad():
        logits = freeze(victim)(FIXED.wear(photos, found.frames[:1], torch.arange(len(photos))))
    return float(goal.failure_probability(logits).mean())


class Dying:
    """Answers so many faces, and then none."""

    def __init__(self, victim: Recognizer, faces: int) -> None:
        self.victim, self.identities, self.left = freeze(victim), victim.identities, faces

    def __call__(self, faces: Faces) -> torch.Tensor:
        self.left -= len(faces)
        if self.left < 0:
            raise ConnectionError("the line is dead")
        logits: torch.Tensor = self.victim(faces)
        return logits


@every_method
def test_where_the_victim_fails_the_best_frame_so_far_is_kept(
    name: str, victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    method = METHODS_THAT_ASK[name]
    found = method.run(Dying(victim, 100), photos, DODGE, nets=gan)
    assert (found.stopped_because, found.lost) == ("lost the victim", "the line is dead")
    assert found.queries is not None
    assert 90 < found.queries <= 120
    assert found.frames.shape == (1, 3, 64, 176)
    with pytest.raises(ConnectionError, match="the line is dead"):
        method.run(Dying(victim, len(photos) - 1), photos, DODGE, nets=gan)


@every_method
@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_more_queries_come_nearer_to_the_goal(
    name: str, goal: Goal, victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    found = METHODS_THAT_ASK[name].run(victim, photos, goal, nets=gan)
    assert found.stopped_because == "used up its queries"
    assert found.queries is not None
    assert 240 - 12 <= found.queries <= 240
    first, *_, last = [step["probability"] for step in found.history]
    assert last < first if goal.name == "dodge" else last > first
    assert loss_of(found, victim, photos, goal) == pytest.approx(
        last if goal.name == "dodge" else 1 - last, abs=1e-5
    )
    assert [step["queries"] for step in found.history][-1] <= found.queries
    assert not bool((found.frames * (1 - frame_mask())).any())


@every_method
def test_the_same_seed_gives_the_same_frame(
    name: str, victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    attack = replace(METHODS_THAT_ASK[name], queries=80)
    one, again, other = (
        attack.run(victim, photos, DODGE, nets=gan, seed=seed) for seed in (3, 3, 4)
    )
    assert torch.equal(one.frames, again.frames)
    assert one.history == again.history
    assert not torch.equal(one.frames, other.frames)


@every_method
def test_few_of_the_best_frames_are_kept_and_the_last_is_the_best(
    name: str, victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    found = METHODS_THAT_ASK[name].run(victim, photos, DODGE, nets=gan)
    queries = [one.queries for one in found.best_after]
    assert queries == sorted(queries)
    assert 2 < len(queries) <= 20
    assert found.queries is not None
    assert queries[-1] <= found.queries
    assert torch.equal(found.best_after[-1].frame, found.frames)


@every_method
def test_an_easy_goal_ends_at_once(name: str, victim: Recognizer, photos: Faces, gan: Nets) -> None:
    found = METHODS_THAT_ASK[name].run(victim, photos, Dodge(subject=1, stop=0.999), nets=gan)
    assert (found.iterations, found.stopped_because, found.met) == (
        1, "reached the stop value", True
    )  # fmt: skip


@every_method
@pytest.mark.parametrize("step", [0, 3])
def test_ctrl_c_keeps_the_best_so_far(
    name: str, step: int, victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    def press(done: int, total: int, figures: Mapping[str, float]) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt

    def end() -> None:
        raise KeyboardInterrupt

    steps, box = 0, freeze(victim)
    if step == 0:
        box.register_forward_pre_hook(lambda *_: end())
        with pytest.raises(KeyboardInterrupt):
            METHODS_THAT_ASK[name].run(box, photos, DODGE, nets=gan)
        return
    found = METHODS_THAT_ASK[name].run(victim, photos, DODGE, nets=gan, progress=press)
    assert (found.iterations, found.stopped_because) == (step, "interrupted")


@every_method
def test_a_budget_that_lasts_for_no_frame_is_refused(
    name: str, victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    attack = METHODS_THAT_ASK[name]
    with pytest.raises(AttackError, match="takes as many queries, and the budget is 5"):
        replace(attack, queries=5).run(victim, photos, DODGE, nets=gan)
    with pytest.raises(QueryBudgetSpent):
        attack.run(BlackBox(victim, budget=5), photos, DODGE, nets=gan)


def test_a_black_box_ends_every_attack_that_asks_and_counts_its_queries(
    victim: Recognizer, photos: Faces, gan: Nets, glasses: Pixels
) -> None:
    attacks = {**METHODS_THAT_ASK, "benign": Baseline(kind="benign", count=30, batch=6)}
    for attack in attacks.values():
        box = BlackBox(victim, budget=100)
        found = attack.run(box, photos, DODGE, nets=gan, frames=glasses)
        assert found.stopped_because == "used up its queries"
        assert found.queries == box.queries
        assert 88 < box.queries <= 100


def test_frames_that_nobody_crafted_are_counted_too(
    victim: Recognizer, photos: Faces, glasses: Pixels
) -> None:
    found = Baseline(kind="benign", count=9, batch=6).run(victim, photos, DODGE, frames=glasses)
    assert found.queries == 9 * len(photos)
    assert torch.equal(found.best_after[-1].frame, found.frames[:1])


def test_decisions_alone_lower_the_share_of_photos_that_resist(
    victim: Recognizer, gan: Nets, generator: torch.Generator
) -> None:
    # Photos about the border between two classes, so that a frame can decide.
    faces = torch.rand(40, 3, 8, 8, generator=generator).repeat_interleave(28, 2)
    faces = faces.repeat_interleave(28, 3)
    logits = freeze(victim)(faces)
    own = int(logits.mean(0).argmax())
    margin = logits[:, own] - logits.scatter(1, torch.full((40, 1), own), -torch.inf).amax(1)
    near = faces[margin.masked_fill(margin <= 0, torch.inf).argsort()[:6]]
    goal = Dodge(subject=own)
    found = CMAES(queries=300, population=6, first_photos=6, columns=2, decisions_only=True).run(
        victim, near, goal, nets=gan
    )
    assert found.probability * 6 == pytest.approx(round(found.probability * 6))
    assert found.probability < 1
    box = BlackBox(victim, decisions_only=True)
    assert loss_of(found, box, near, goal) == found.probability  # type: ignore[arg-type]


def test_a_frame_leaves_where_it_does_no_better_than_the_best(
    frozen: Recognizer, photos: Faces
) -> None:
    asking = Asking(frozen, photos, DODGE, placement=FIXED, budget=100, batch=64)
    order = torch.arange(len(photos))
    grey = torch.full((1, 3, 64, 176), 0.5)

    def ask(frame: torch.Tensor) -> bool:
        return asking.try_on(frame, order, asking.ask(frame, order[:1])[0])

    assert ask(grey)
    assert asking.box.queries == len(photos)
    # The same again is no better on the first photo, and is tried on no other.
    assert not ask(grey)
    assert asking.box.queries == len(photos) + 1
    assert asking.failure == pytest.approx(
        float(
            DODGE.failure_probability(
                frozen(FIXED.wear(photos, grey, torch.arange(len(photos))))
            ).mean()
        ),
        abs=1e-6,
    )


def test_squares_are_on_the_frame_and_shrink(generator: torch.Generator) -> None:
    frame, mask = torch.full((1, 3, 64, 176), 0.5) * frame_mask(), frame_mask()
    for side in (3, 20, 64):
        painted = paint_square(frame, side, generator)
        changed = (painted != frame).any(1)[0]
        rows, columns = changed.nonzero().T
        assert 0 < int(changed.sum()) <= side**2
        assert int(rows.max() - rows.min()) < side
        assert int(columns.max() - columns.min()) < side
        assert not bool(changed[mask == 0].any())
    sides = [Square().side(spent) for spent in (0, 0.01, 0.3, 1)]
    assert sides == sorted(sides, reverse=True)
    assert (sides[0], sides[-1]) == (58, 4)
    assert Square(area=0.9).side(0) == 64


def test_a_grid_of_one_latent_draws_what_it_draws_alone(
    gan: Nets, generator: torch.Generator
) -> None:
    latents = sample_latents(4, rng=generator)
    with torch.no_grad():
        alone = gan[0](latents)
        same = gan[0].draw_across(latents[:, None, None].expand(-1, 2, 3, LATENT))
        mixed = gan[0].draw_across(latents.reshape(1, 2, 2, LATENT))[0]
    torch.testing.assert_close(same, alone, atol=1e-5, rtol=0)
    space = LatentGrid(gan[0], rows=2, columns=2)
    assert space.size == 4 * LATENT
    torch.testing.assert_close(space.draw(latents.reshape(1, -1))[0], mixed)
    # Each corner is drawn by its own latent: frames are black there, so nearby.
    mask = frame_mask()
    for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        rows = slice(0, 24) if row == 0 else slice(40, 64)
        columns = slice(0, 60) if column == 0 else slice(116, 176)
        apart = (mixed - alone).abs()[:, :, rows, columns].sum((1, 2, 3))
        assert float(mask[rows, columns].sum()) > 0
        assert int(apart.argmin()) == place


@pytest.mark.parametrize(
    "attack",
    [
        AGN(batch=4, samples=4, precision="fp32"),
        CCS16(steps=2),
        PGD(steps=2),
        FreePixels(steps=2),
        Span(steps=2),
    ],
    ids=name_of,
)
def test_who_follows_a_gradient_says_that_there_is_none(
    attack: FrameAttack, victim: Recognizer, photos: Faces, gan: Nets, glasses: Pixels
) -> None:
    with pytest.raises(AttackError, match="gives no gradient, which this attack follows"):
        attack.run(BlackBox(victim), photos, DODGE, frames=glasses, nets=gan)


def test_a_victim_cut_off_from_its_faces_gives_no_gradient(
    photos: Faces, victim: Recognizer
) -> None:
    class Blind:
        identities = victim.identities

        def __call__(self, faces: Faces) -> Any:
            return victim(faces.detach())

    with pytest.raises(AttackError, match="gives no gradient"):
        PGD(steps=1).run(Blind(), photos, DODGE)


def test_a_budget_that_lasts_for_no_generation_is_told_at_once(
    victim: Recognizer, photos: Faces, gan: Nets
) -> None:
    attack = CMAES(queries=len(photos), population=2 * len(photos), rows=1, columns=1)
    with pytest.raises(AttackError, match=rf"generation takes {2 * len(photos)} queries, and the"):
        attack.run(victim, photos, DODGE, nets=gan)


def test_squares_need_scores(victim: Recognizer, photos: Faces) -> None:
    with pytest.raises(AttackError, match="square needs scores"):
        Square().run(BlackBox(victim, decisions_only=True), photos, DODGE)


def test_without_the_library_the_extra_is_named(
    victim: Recognizer, photos: Faces, gan: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cmaes", None)
    with pytest.raises(ConfigError, match=r"pip install 'agns\[blackbox\]'"):
        CMAES().run(victim, photos, DODGE, nets=gan)


@pytest.mark.parametrize("name", ["cmaes", "square", "transfer"])
def test_each_is_a_method_by_its_name(name: str) -> None:
    assert name_of(replace(METHODS[name], batch=7)) == name


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (CMAES, {"queries": 0}), (CMAES, {"population": 1}), (CMAES, {"columns": 0}),
        (CMAES, {"reach": 0.0}), (CMAES, {"spread": float("nan")}), (CMAES, {"first_photos": 0}),
        (Square, {"area": 0.0}), (Square, {"first_photos": 0}), (Square, {"batch": 0}),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(
    make: Callable[..., FrameAttack], settings: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="must"):
        make(**settings)
