"""What agns adds to the papers' loop: a record of its own, a lead."""

import pytest

from agns.attack.agn import AGN
from agns.attack.goals import Dodge
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Glasses

NEVER = Dodge(subject=0, stop=1e-6)


def test_a_tuned_generator_keeps_nothing_of_the_record_it_began_with(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    gan[0].record = {"seconds": 1937.5}
    config = AGN(batch=16, samples=4, precision="fp32")
    outcome = config.run(victim, photos, NEVER, frames=glasses, nets=gan)
    assert (outcome.generator.record, gan[0].record) == ({"fine_tuned": True}, {"seconds": 1937.5})


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
