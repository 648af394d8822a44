"""The attack on a tiny victim: what it reaches, what it leaves alone, and how it ends."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from tests.attack.conftest import build_victim, draw_coarse_photos
from torch import nn

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.attack.agn import AGN
from agns.attack.goals import Dodge, Goal, Impersonate, Objective
from agns.attack.result import AttackResult
from agns.errors import AttackError, ConfigError, ImageContractError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces, Frames, Glasses, Logits, Progress, silent

GOALS = [Dodge(subject=0, stop=1e-6), Impersonate(subject=0, target=1, stop=1 - 1e-6)]
NEVER = GOALS[0]
PAPER: dict[str, float | str] = {
    "objective": "logits",
    "min_fake_score": 0.0,
    "joined_length": "shorter",
    "natural": False,
    "saturation_margin": 0.0,
    "precision": "fp32",
}
"""The loop as the paper has it, without what agns adds."""


class Scene:
    """An attack's ingredients, with settings that make a step cheap and long."""

    def __init__(
        self,
        gan: tuple[Generator, Discriminator],
        victim: Recognizer,
        photos: Faces,
        glasses: Glasses,
    ) -> None:
        self.generator, self.discriminator = gan
        self.victim, self.photos, self.glasses = victim, photos, glasses

    def attack(
        self,
        goal: Goal,
        *,
        seed: int = 0,
        progress: Progress = silent,
        **settings: float | str,
    ) -> AttackResult:
        config = AGN(**{**PAPER, "batch": 4, "samples": 4, "generator_rate": 1e-3, **settings})
        return config.run(
            self.victim,
            self.photos,
            goal,
            frames=self.glasses,
            nets=(self.generator, self.discriminator),
            progress=progress,
            seed=seed,
        )

    @torch.no_grad()
    def class_probability(self, frames: Frames, goal: Goal) -> float:
        """The watched class's mean probability over all photos in all frames."""
        victim = copy.deepcopy(self.victim).eval()
        worn = [wear(self.photos, place(frame[None]), silhouette()) for frame in frames]
        return float(victim(torch.cat(worn)).softmax(1)[:, goal.index].mean())


@pytest.fixture
def scene(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> Scene:
    return Scene(gan, victim, photos, glasses)


@dataclass(frozen=True, kw_only=True)
class Told:
    """An attack that went on until the eyeglasses were used up, and what it did meanwhile."""

    outcome: AttackResult
    progress: list[tuple[int, int, float]]
    asked: list[bool]
    """Whether each victim that was asked was in evaluation mode and free of gradients."""

    changed: list[str]
    """What of the given networks was another after it."""


def state_of(network: nn.Module) -> dict[str, object]:
    """Copies of all that an attack might change."""
    return {
        **{name: tensor.clone() for name, tensor in network.state_dict().items()},
        **{f"{name} learns": weight.requires_grad for name, weight in network.named_parameters()},
        **{f"{name} slopes": weight.grad for name, weight in network.named_parameters()},
        **{f"{name} trains": module.training for name, module in network.named_modules()},
    }


def differ(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return not (isinstance(other, torch.Tensor) and torch.equal(one, other))
    return one != other


@pytest.fixture(scope="module")
def told(built: tuple[Generator, Discriminator, torch.Tensor], glasses: Glasses) -> Told:
    """Of a scene like each test's."""
    draws = torch.Generator()
    draws.set_state(built[2])
    gan = copy.deepcopy(built[:2])
    scene = Scene(gan, build_victim(draws), draw_coarse_photos(draws), glasses)
    networks = [scene.generator.train(), scene.discriminator.train(), scene.victim.train()]
    scene.generator.draw[0].weight.requires_grad_(requires_grad=False)
    asked: list[bool] = []

    def note(victim: nn.Module, _: object) -> None:
        training = any(
            module.training for module in victim.modules() if not isinstance(module, nn.Identity)
        )
        learning = any(p.grad is not None or p.requires_grad for p in victim.parameters())
        asked.append(not training and not learning)

    scene.victim.register_forward_pre_hook(note)
    before = [state_of(network) for network in networks]
    progress: list[tuple[int, int, float]] = []
    torch.manual_seed(1)
    outcome = scene.attack(
        NEVER, seed=3, epochs=2, batch=7, check_every=2,
        progress=lambda done, total, figures: progress.append((done, total, figures["best"])),
    )  # fmt: skip
    changed = [
        name
        for network, kept in zip(networks, before, strict=True)
        for name, value in state_of(network).items()
        if differ(value, kept[name])
    ]
    return Told(outcome=outcome, progress=progress, asked=asked, changed=changed)


@torch.no_grad()
def drawn_by(generator: Generator) -> Frames:
    return generator(sample_latents(8, rng=torch.Generator().manual_seed(9)))


@pytest.mark.parametrize(
    ("goal", "objective"),
    [(GOALS[0], "logits"), (GOALS[1], "probabilities"), (GOALS[1], "margin")],
    ids=["dodge-logits", "impersonate-probabilities", "impersonate-margin"],
)
def test_the_watched_probability_goes_where_the_goal_wants_it(
    scene: Scene, goal: Goal, objective: Objective
) -> None:
    outcome = scene.attack(goal, objective=objective, generator_rate=3e-3)
    before = scene.class_probability(drawn_by(scene.generator), goal)
    after = scene.class_probability(drawn_by(outcome.generator), goal)
    gained = before - after if goal.name == "dodge" else after - before
    assert gained > 0.02


def test_at_kappa_1_frames_come_to_look_more_real(scene: Scene) -> None:
    outcome = scene.attack(NEVER, kappa=1, discriminator_rate=0, weight_decay=0)
    with torch.no_grad():
        before = scene.discriminator(drawn_by(scene.generator)).mean()
        after = scene.discriminator(drawn_by(outcome.generator)).mean()
    assert after > before + 0.02


def test_the_discriminator_learns_to_tell_drawn_from_real(scene: Scene) -> None:
    losses = [
        row["loss"]
        for row in scene.attack(NEVER, generator_rate=0, discriminator_rate=2e-5).history
    ]
    assert len(losses) == 4
    assert losses[-1] < losses[0] - 0.05


def test_the_discriminator_is_told_that_real_frames_are_one_and_drawn_ones_zero(
    scene: Scene,
) -> None:
    seen: list[tuple[Frames, torch.Tensor]] = []

    def remember(_: nn.Module, frames: tuple[Frames], verdicts: torch.Tensor) -> None:
        seen.append((frames[0].detach(), verdicts.detach().double()))

    scene.discriminator.register_forward_hook(remember)
    scene.glasses = scene.glasses[:4]
    (first,) = scene.attack(NEVER).history
    (drawn, on_drawn), (real, on_real), (judged, verdicts) = seen[:3]
    available = from_pixels(scene.glasses)
    assert all(bool((available == frame).flatten(1).all(1).any()) for frame in real)
    assert torch.equal(drawn, judged)
    p, q = on_real.sigmoid(), on_drawn.sigmoid()
    loss = -(0.9 * p.log() + 0.1 * (1 - p).log()).mean() - (1 - q).log().mean()
    assert first["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert first["discriminator"] == pytest.approx(float(verdicts.sigmoid().log().mean()), rel=1e-5)


def test_the_given_networks_stay_as_they_are(told: Told) -> None:
    assert told.changed == []


def test_the_victim_is_called_in_evaluation_mode_and_gets_no_gradients(told: Told) -> None:
    assert len(told.asked) > told.outcome.iterations
    assert all(told.asked)


def test_the_victims_own_statistics_and_not_the_batchs_decide(scene: Scene) -> None:
    goal = Dodge(subject=0, stop=1 - 1e-6)
    best = scene.attack(goal)
    assert best.probability == pytest.approx(
        scene.class_probability(best.frames[:1], goal), abs=1e-5
    )
    assert torch.allclose(freeze(scene.victim)(scene.photos), scene.victim.eval()(scene.photos))


def test_the_same_seed_gives_the_same_attack_and_another_gives_another(
    scene: Scene, told: Told
) -> None:
    torch.manual_seed(2)
    again = scene.attack(NEVER, seed=3, epochs=2, batch=7, check_every=2)
    assert told.outcome.history == again.history
    assert torch.equal(told.outcome.frames, again.frames)
    other = scene.attack(NEVER, seed=4, epochs=1, batch=7, check_every=2)
    assert told.outcome.history[0] != other.history[0]
    assert not torch.equal(told.outcome.latents, other.latents)


def test_the_attack_stops_where_the_stop_value_is_reached(scene: Scene, told: Told) -> None:
    best_at_first = float(scene.attack(Dodge(subject=0, stop=0.9999), seed=3, batch=7).probability)
    bests = [best for _, _, best in told.progress]
    goal = Dodge(subject=0, stop=(best_at_first + bests[1]) / 2)
    outcome = scene.attack(goal, seed=3, epochs=2, batch=7, check_every=2)
    assert outcome.stopped_because == "reached the stop value"
    assert outcome.met
    assert 0 < outcome.iterations < len(bests)
    assert outcome.iterations % 2 == 0
    assert scene.class_probability(outcome.frames[:1], goal) <= goal.stop


def test_a_stop_value_that_is_reached_at_once_takes_no_step(scene: Scene) -> None:
    outcome = scene.attack(Dodge(subject=0, stop=1 - 1e-6))
    assert (outcome.iterations, outcome.history) == (0, [])
    assert outcome.stopped_because == "reached the stop value"


def test_the_attack_gives_up_once_the_eyeglasses_are_used_up(told: Told, glasses: Glasses) -> None:
    outcome = told.outcome
    assert outcome.stopped_because == "used up the eyeglasses"
    assert outcome.iterations == len(outcome.history) == 2 * (len(glasses) // 7)
    assert [(done, total) for done, total, _ in told.progress] == [(n, 4) for n in (1, 2, 3, 4)]
    assert not outcome.met


def test_an_interrupted_attack_leaves_what_it_has(scene: Scene) -> None:
    def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == 2:
            raise KeyboardInterrupt

    outcome = scene.attack(NEVER, progress=progress)
    assert outcome.stopped_because == "interrupted"
    assert outcome.iterations == len(outcome.history) == 2
    assert outcome.frames.shape[1:] == (3, 64, 176)


class Overflowing(Dodge):
    """A goal whose objective is not a number."""

    def loss(self, logits: Logits, objective: Objective) -> torch.Tensor:
        return super().loss(logits, objective) * float("nan")


def test_an_objective_that_is_no_number_ends_the_attack(scene: Scene) -> None:
    outcome = scene.attack(Overflowing(subject=0, stop=1e-6))
    assert outcome.stopped_because == "not finite"
    assert outcome.iterations == len(outcome.history) == 0
    assert bool(outcome.frames.isfinite().all())


@pytest.mark.parametrize("rate", ["generator_rate", "discriminator_rate"])
def test_a_network_that_diverges_ends_the_attack_with_what_there_is(
    scene: Scene, rate: str
) -> None:
    outcome = scene.attack(NEVER, **{rate: 1e30})
    assert outcome.stopped_because == "not finite"
    assert bool(outcome.frames.isfinite().all())


def test_the_outcome_carries_a_generator_ready_to_draw(told: Told) -> None:
    generator = told.outcome.generator
    assert not generator.training
    assert not any(p.requires_grad for p in generator.parameters())


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"kappa": -0.1}, "kappa must lie in"),
        ({"kappa": 1.1}, "kappa must lie in"),
        ({"kappa": float("nan")}, "kappa must lie in"),
        ({"generator_rate": -1e-3}, "must be at least 0"),
        ({"discriminator_rate": -1e-3}, "must be at least 0"),
        ({"weight_decay": -1e-3}, "must be at least 0"),
        ({"generator_rate": float("inf")}, "must be at least 0"),
        ({"min_fake_score": 1.1}, "min_fake_score must lie in"),
        ({"saturation_margin": 0.5}, "saturation_margin must lie in"),
        ({"batch": 1}, "batch must be at least 2, got 1"),
        ({"check_every": 0}, "must be at least 1"),
        ({"samples": 0}, "must be at least 1"),
        ({"epochs": 0}, "must be at least 1"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AGN(**setting)


@pytest.mark.parametrize(
    ("name", "word", "known"),
    [
        ("joined_length", "longer", "shorter or real"),
        ("objective", "hinge", "logits, probabilities or margin"),
    ],
)
def test_an_unknown_word_is_refused_where_nothing_else_checks_types(
    name: str, word: str, known: str
) -> None:
    config = AGN()
    object.__setattr__(config, name, word)
    with pytest.raises(ConfigError, match=f"{name} must be {known}, got '{word}'"):
        config.__post_init__()


def test_fewer_real_frames_than_a_batch_are_refused(scene: Scene) -> None:
    with pytest.raises(AttackError, match="a batch of 17 needs as many real frames, got 16"):
        scene.attack(NEVER, batch=17)


def test_an_attack_without_photos_is_refused(scene: Scene) -> None:
    scene.photos = scene.photos[:0]
    with pytest.raises(AttackError, match="at least one photo"):
        scene.attack(NEVER)


def test_photos_in_another_range_are_refused(scene: Scene) -> None:
    scene.photos = 255 * scene.photos
    with pytest.raises(ImageContractError, match=r"expected values in \[0, 1\]"):
        scene.attack(NEVER)
