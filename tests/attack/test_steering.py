"""What agns adds to the papers' loop: layers that stay, tv_weight, resisting photos, a lead."""

import pytest
import torch

from agns.accessory.total_variation import total_variation
from agns.attack import agn
from agns.attack.agn import AGN
from agns.attack.goals import Dodge
from agns.attack.gradients import add_tv_gradient
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Frames, Glasses

NEVER = Dodge(subject=0, stop=1e-6)


@pytest.mark.parametrize("tuned", [1, 5])
def test_the_first_layers_learn_and_the_others_stay(
    gan: tuple[Generator, Discriminator],
    victim: Recognizer,
    photos: Faces,
    glasses: Glasses,
    tuned: int,
) -> None:
    # Without a warm-up four steps go far enough to better the frames drawn before them.
    config = AGN(batch=4, samples=4, check_every=4, warm_up=0, tuned_layers=tuned, precision="fp32")
    outcome = config.run(victim, photos, NEVER, frames=glasses, nets=gan)
    moved = [
        not torch.equal(before.weight, after.weight)
        for before, after in zip(
            *(
                [layer for layer in network.modules() if hasattr(layer, "weight")]
                for network in (gan[0], outcome.generator)
            ),
            strict=True,
        )
    ]
    # Four layers have a weight and a batch norm's weight each, the last a weight alone.
    layers = min(2 * tuned, 9)
    assert moved == [True] * layers + [False] * (9 - layers)


def test_a_tuned_generator_keeps_nothing_of_the_record_it_began_with(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    gan[0].record = {"seconds": 1937.5}
    config = AGN(batch=16, samples=4, precision="fp32")
    outcome = config.run(victim, photos, NEVER, frames=glasses, nets=gan)
    assert (outcome.generator.record, gan[0].record) == ({"fine_tuned": True}, {"seconds": 1937.5})


def test_the_rate_rises_in_a_warm_up(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    """Adam's first step is as long as its rate, whatever the gradient."""

    def moved(warm_up: int) -> float:
        config = AGN(batch=16, samples=4, warm_up=warm_up, weight_decay=0, precision="fp32")
        assert len(glasses) // config.batch == 1
        outcome = config.run(victim, photos, NEVER, frames=glasses, nets=gan)
        before, after = gan[0].project[0].weight, outcome.generator.project[0].weight
        return float((after - before).abs().max().detach())

    whole = moved(0)
    assert whole == pytest.approx(AGN().generator_rate, rel=0.05)
    assert moved(10) == pytest.approx(whole / 10, rel=0.05)


def test_frames_stay_as_smooth_as_real_ones_where_they_are_told_to(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def roughness(tv_weight: float) -> float:
        steps: list[float] = []

        def watched(joined: Frames, frames: Frames, limit: float, weight: float) -> Frames:
            steps.append(float(total_variation(frames.detach()).mean()))
            return add_tv_gradient(joined, frames, limit, weight)

        monkeypatch.setattr(agn, "add_tv_gradient", watched)
        config = AGN(
            batch=4, samples=4, epochs=2, tv_weight=tv_weight, kappa=0, generator_rate=5e-3,
            precision="fp32", hard_photo_weight=0, tv_limit_growth=0,
        )  # fmt: skip
        config.run(victim, photos, NEVER, frames=glasses, nets=gan)
        assert len(steps) == 8
        return sum(steps)

    assert roughness(20.0) < 0.85 * roughness(0.0)


def test_a_discriminator_that_must_never_lead_does_not_learn(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    def losses(**settings: float) -> list[float]:
        config = AGN(
            batch=4, samples=4, generator_rate=0, weight_decay=0, precision="fp32", **settings
        )
        history = config.run(victim, photos, NEVER, frames=glasses[:8], nets=gan).history
        return [row["loss"] for row in history]

    still = losses(min_fake_score=0.0, discriminator_rate=0.0)
    assert losses(min_fake_score=1.0, discriminator_rate=1e-4) == pytest.approx(still, abs=1e-6)
    assert losses(min_fake_score=0.0, discriminator_rate=1e-4)[1] < still[1] - 0.01


def test_steps_turn_to_the_photos_that_resist(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    """With one photo that is never recognised beside others, few steps go to it."""
    with torch.no_grad():
        # Sure of itself, so that photos differ.
        victim.head.weight *= 20
        recognised = victim.eval()(photos).softmax(1)[:, 0]
    easy = photos[recognised.argmin()][None]
    hard = photos[recognised.argmax()][None]
    crowd = torch.cat([hard, easy.expand(3, -1, -1, -1)])
    settings = {"batch": 4, "samples": 4, "epochs": 2, "generator_rate": 0.0, "kappa": 0.0}

    def watched(hard_photo_weight: float) -> float:
        config = AGN(hard_photo_weight=hard_photo_weight, precision="fp32", **settings)
        history = config.run(victim, crowd, NEVER, frames=glasses, nets=gan).history
        return sum(row["probability"] for row in history[-4:]) / 4

    assert watched(1.0) > watched(0.0) + 0.1
