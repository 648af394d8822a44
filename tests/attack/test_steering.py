"""What agns adds to the papers' loop: layers that stay, a lead that is kept, photos that resist."""

import pytest
import torch

from agns.attack.agn import AgnConfig, attack_with_agn
from agns.attack.goals import Dodge
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Glasses

NEVER = Dodge(subject=0, stop=1e-6)


@pytest.mark.parametrize(
    ("tuned", "every", "learnt"), [(1, 0, 1), (3, 0, 3), (5, 0, 5), (1, 1, 4), (2, 3, 3)]
)
def test_the_first_layers_learn_and_the_others_open_one_by_one(
    gan: tuple[Generator, Discriminator],
    victim: Recognizer,
    photos: Faces,
    glasses: Glasses,
    tuned: int,
    every: int,
    learnt: int,
) -> None:
    """Four steps: a layer opened after the last of them learns nothing."""
    config = AgnConfig(
        batch=4, samples=4, check_every=1, tuned_layers=tuned, open_every=every, precision="fp32"
    )
    assert len(glasses) // config.batch == 4
    outcome = attack_with_agn(*gan, victim, photos, glasses, NEVER, config)
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
    layers = min(2 * learnt, 9)
    assert moved == [True] * layers + [False] * (9 - layers)


def test_a_discriminator_that_must_never_lead_does_not_learn(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    settings = {"batch": 4, "samples": 4, "generator_rate": 0.0, "precision": "fp32"}
    rates = {"discriminator_rate": 2e-5, "weight_decay": 0.0}

    def losses(lead: float) -> list[float]:
        config = AgnConfig(lead=lead, **settings, **rates)
        still = AgnConfig(lead=lead, **settings, discriminator_rate=0.0, weight_decay=0.0)
        runs = [
            attack_with_agn(*gan, victim, photos, glasses, NEVER, each).history
            for each in (config, still)
        ]
        return [a["loss"] - b["loss"] for a, b in zip(*runs, strict=True)]

    assert losses(1.0) == pytest.approx([0.0] * 4, abs=1e-6)
    assert losses(0.0)[-1] < -0.01


def test_steps_turn_to_the_photos_that_resist(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    """With one photo that is never recognised beside others, few steps go to it."""
    with torch.no_grad():
        recognised = victim.eval()(photos).softmax(1)[:, 0]
    easy = photos[recognised.argmin()][None]
    hard = photos[recognised.argmax()][None]
    crowd = torch.cat([hard, easy.expand(7, -1, -1, -1)])
    settings = {"batch": 8, "samples": 4, "passes": 20, "generator_rate": 0.0, "kappa": 0.0}

    def watched(focus: float) -> float:
        config = AgnConfig(focus=focus, precision="fp32", **settings)
        history = attack_with_agn(*gan, victim, crowd, glasses, NEVER, config).history
        return sum(row["probability"] for row in history[-20:]) / 20

    assert watched(1.0) > watched(0.0)
