from pathlib import Path
from typing import get_args

import pytest
import torch

from agns.accessory.natural_set import NaturalSet
from agns.data.simulation.drawn_frames import PARTS, draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, identity_name, synthetic_faces
from agns.errors import WeightsError
from agns.images import from_pixels
from agns.models import shipped
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.shipped import shipped_weights
from agns.training.recognizer_scores import classify

NAMES = get_args(shipped.Shipped)


def test_the_weights_together_take_at_most_twenty_megabytes() -> None:
    assert sum(shipped_weights(name).stat().st_size for name in NAMES) <= 20e6


@pytest.mark.parametrize("name", NAMES)
def test_each_file_has_a_card(name: shipped.Shipped) -> None:
    card = shipped_weights(name).with_suffix(".md").read_text(encoding="utf-8")
    for word in ("command", "seed", "data", "licence", "Figures", "Recipe"):
        assert word in card


def test_the_recogniser_knows_the_drawn_identities_in_photos_it_never_saw() -> None:
    recognizer = Recognizer.read(shipped_weights("of10_synthetic"))
    metadata = recognizer.record
    assert recognizer.identities == tuple(identity_name(index) for index in range(10))
    fresh = synthetic_faces(SyntheticConfig(photos=3, first_photo=90))
    assert not set(fresh.digests) & set(metadata["training_photos"])
    right = classify(recognizer, fresh).argmax(1) == fresh.labels
    assert float(right.float().mean()) >= 0.97


def test_the_training_photos_on_record_are_the_drawn_ones() -> None:
    metadata = Recognizer.read(shipped_weights("of10_synthetic")).record
    drawn = synthetic_faces(SyntheticConfig(photos=10), only=identity_name(0))
    trained = set(metadata["training_photos"])
    # Those left out were for validation and testing.
    assert [place for place in range(10) if drawn.digests[place] not in trained] == [0, 4, 5, 7]


def test_the_discriminator_believes_real_frames_most() -> None:
    generator = Generator.read(shipped_weights("generator"))
    discriminator = Discriminator.read(shipped_weights("discriminator"))
    random = torch.Generator().manual_seed(0)
    real = from_pixels(draw_frames(64))
    noise = torch.rand(32, 3, 64, 176, generator=random)
    with torch.no_grad():
        drawn = generator(sample_latents(32, rng=random))
        scores = [
            discriminator.judge_among(frames, real[32:]).sigmoid().mean()
            for frames in (real[:32], drawn, noise)
        ]
    assert scores[0] > max(scores[1:]) + 0.05


def test_an_installation_without_weights_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(shipped, "files", lambda package: tmp_path)
    with pytest.raises(WeightsError, match=r"lacks .*generator\.safetensors"):
        shipped_weights("generator")


def test_fresh_real_frames_lie_in_the_natural_set_and_noise_does_not() -> None:
    natural = NaturalSet.read(shipped_weights("natural_set"))
    rng = torch.Generator().manual_seed(0)
    fresh = from_pixels(draw_frames(400, start=PARTS["judges"].start))
    # 95 % by its making; of 400, two standard errors are 2 %.
    assert 0.93 <= float(natural.contains(fresh).float().mean()) <= 0.97
    with torch.no_grad():
        drawer = Generator.read(shipped_weights("generator"))
        benign = drawer(sample_latents(64, rng=rng))
    assert float(natural.contains(benign).float().mean()) >= 0.95
    coarse = torch.rand(16, 3, 16, 44, generator=rng).round()
    confetti = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)
    noise = torch.rand(16, 3, 64, 176, generator=rng)
    assert not bool(natural.contains(torch.cat([noise, confetti])).any())
