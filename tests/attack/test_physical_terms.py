"""Smoothness and printing in the attacks: what the terms of Sharif et al. 2016 bring about."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.accessory.placement import FIXED
from agns.accessory.printability import assumed_palette, non_printability
from agns.accessory.total_variation import total_variation
from agns.attack import agn
from agns.attack.agn import AGN
from agns.attack.goals import Dodge, log_odds
from agns.attack.pixel_descent import CCS16, CCS16_PHYSICAL, COLORS, PixelDescent
from agns.attack.result import AttackResult
from agns.errors import ConfigError, DataError
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces, Frames, Glasses

NEVER = Dodge(subject=0, stop=1e-9)
FIRST = torch.tensor(list(COLORS.values()))[:, :, None, None].expand(-1, -1, 64, 176)


def descend(victim: Recognizer, photos: Faces, config: PixelDescent, seed: int = 0) -> AttackResult:
    return config.run(victim, photos, NEVER, seed=seed)


def figures(frames: Frames) -> tuple[float, float]:
    """Mean total variation, and mean non-printability."""
    score = non_printability(frames, assumed_palette())
    return float(total_variation(frames).mean()), float(score.mean())


def test_two_steps_are_those_that_the_three_gradients_tell(
    victim: Recognizer, photos: Faces
) -> None:
    config = PixelDescent(steps=2, step=0.02, tv_weight=0.01, nps_weight=0.015)
    known, palette, seconds = freeze(victim), assumed_palette(), 0
    found = descend(victim, photos, config).frames
    for color, first in enumerate(FIRST):
        frame, kept, passed = first[None], torch.zeros(1, 3, 64, 176), []
        for _ in range(2):
            leaf = frame.clone().requires_grad_()
            odds = log_odds(known(FIXED.wear(photos, leaf, torch.arange(len(photos)))), NEVER)
            crossed = (1 + (-odds).exp()).log().mean()
            terms = [crossed, total_variation(leaf).sum(), non_printability(leaf, palette).sum()]
            slopes = [torch.autograd.grad(term, leaf)[0] for term in terms]
            ways = [slope / slope.abs().max().clamp_min(1e-30) for slope in slopes]
            kept = 0.4 * kept + 0.02 * ways[0] + 0.01 * ways[1]
            frame = (frame - kept - 0.015 * ways[2]).clamp(0, 1)
            passed.append(frame[0])
        apart = torch.tensor([[float((x - y).abs().mean()) for y in passed] for x in found])
        assert float(apart.min()) < 1e-3, f"colour {color}"
        seconds += int(float(apart[:, 1].min()) < 1e-3)
    assert seconds > 0, "momentum and total variation begin to count at the second step"


def test_each_term_does_its_own_part(victim: Recognizer, photos: Faces) -> None:
    # Short steps, or the tiny victim's gradient saturates all colours at once.
    short = replace(CCS16(), steps=5, step=8 / 255)
    plain, physical = (
        descend(victim, photos[:2], config)
        for config in (short, replace(CCS16_PHYSICAL, steps=5, step=8 / 255))
    )
    rough, neon = figures(plain.frames)
    for index, term in enumerate(("tv_weight", "nps_weight")):
        own = descend(victim, photos[:2], replace(short, **{term: getattr(CCS16_PHYSICAL, term)}))
        assert figures(own.frames)[index] < 0.9 * (rough, neon)[index]
    assert figures(physical.frames)[0] < 0.8 * rough
    assert figures(physical.frames)[1] < 0.8 * neon
    assert physical.probability < physical.history[0]["probability"]


def test_shifts_and_turns_come_from_the_seed(victim: Recognizer, photos: Faces) -> None:
    config = PixelDescent(steps=2, shift=4, rotation=4)
    one, again, other = (
        descend(victim, photos[:2], config, seed=seed).frames for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_palette_of_ones_own_is_descended_to(
    victim: Recognizer, photos: Faces, tmp_path: Path
) -> None:
    path = tmp_path / "palette.csv"
    path.write_text("255,0,0\n", encoding="utf-8")
    red = torch.tensor([1.0, 0, 0])[:, None, None]
    config = PixelDescent(steps=5, nps_weight=0.1)
    assumed, own = (
        float((descend(victim, photos[:2], one).frames - red).abs().mean())
        for one in (config, replace(config, palette=str(path)))
    )
    assert own < assumed - 0.05


class Nets:
    """A short attack with nets, its other settings given."""

    def __init__(
        self, gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces,
        glasses: Glasses,
    ) -> None:  # fmt: skip
        self.parts = (*gan, victim, photos, glasses)

    def attack(self, **settings: float | str) -> AttackResult:
        config = AGN(**{"batch": 4, "samples": 4, "epochs": 1, "precision": "fp32", **settings})
        return config.run(*self.parts[2:4], NEVER, frames=self.parts[4], nets=self.parts[:2])


@pytest.fixture
def nets(
    gan: tuple[Generator, Discriminator], victim: Recognizer, photos: Faces, glasses: Glasses
) -> Nets:
    return Nets(gan, victim, photos, glasses)


def test_without_a_weight_nets_are_attacked_with_as_if_there_were_no_printing(
    nets: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = nets.attack()
    monkeypatch.setattr(agn, "add_nps_gradient", lambda joined, *_: joined)
    without = nets.attack(nps_weight=3.0)
    assert torch.equal(usual.frames, without.frames)
    assert usual.history == without.history


def test_with_a_weight_nets_draw_what_is_easier_to_print(nets: Nets) -> None:
    def printed(weight: float) -> float:
        settings = {"kappa": 0.0, "generator_rate": 1e-2, "natural": False}
        generator = nets.attack(nps_weight=weight, **settings).generator
        with torch.no_grad():
            latents = 2 * torch.rand(16, 25, generator=torch.Generator().manual_seed(3)) - 1
            return figures(generator(latents))[1]

    assert printed(5.0) < 0.8 * printed(0.0)


def test_an_attack_tells_a_palette_that_it_cannot_read(
    nets: Nets, victim: Recognizer, photos: Faces, tmp_path: Path
) -> None:
    path = tmp_path / "palette.csv"
    path.write_text("red\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1"):
        nets.attack(nps_weight=1, palette=str(path))
    with pytest.raises(ConfigError, match="there is no palette"):
        descend(victim, photos, replace(CCS16_PHYSICAL, palette=str(tmp_path / "none.csv")))


@pytest.mark.parametrize(
    "settings", [{"nps_weight": -1.0}, {"nps_weight": float("inf")}, {"palette": "own.csv"}]
)
def test_settings_of_printing_out_of_range_are_refused(settings: dict[str, float | str]) -> None:
    with pytest.raises(ConfigError, match="must"):
        AGN(**settings)
