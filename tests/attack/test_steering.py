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
    config = AGN(batch=4, samples=4, check_every=4, tuned_layers=tuned, precision="fp32")
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
            precision="fp32", tv_limit_growth=0,
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
