"""How long attacks take."""

import pytest

from agns.attack.agn import AGN
from agns.attack.methods import METHODS
from agns.attack.pixel_descent import COLORS, PixelDescent
from agns.attack.pixels import FreePixels
from agns.attack.universal import Universal
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.campaign.estimate import Speed, measure_speed, seconds_of, seconds_of_crowd
from agns.evaluation.campaign.plan import Crowd
from agns.evaluation.universal import UniversalSpec

SPEED = Speed(look=1, gradient=10, nets=100)
CELL = {"craft": 3, "held_out": 7, "control_frames": 2, "glasses": 50}
SCORING = (2 + 3 * 2) * 7


def test_an_agn_attack_takes_its_looks_and_its_steps() -> None:
    method = AGN(batch=16, samples=4, check_every=2)
    look, step = 4 * 3, 16 * (10 + 100)
    assert seconds_of(method, SPEED, **CELL) == (SCORING + look, SCORING + look + 3 * (step + 6))


@pytest.mark.parametrize(("jitter", "times"), [(0, 1), (1, 2)])
def test_a_descent_takes_a_gradient_of_each_colour_and_photo(jitter: float, times: int) -> None:
    method = PixelDescent(steps=9, jitter=jitter)
    look = len(COLORS) * 3 * 10
    assert seconds_of(method, SPEED, **CELL) == (SCORING + look, SCORING + (1 + 9 * times) * look)


def test_optimised_pixels_never_end_early() -> None:
    least, most = seconds_of(FreePixels(steps=9), SPEED, **CELL)
    assert least == most == SCORING + 9 * 3 * 10


def test_frames_for_many_take_each_groups_steps_and_all_that_is_tried() -> None:
    crowd = Crowd(
        name="few",
        experiment=UniversalSpec(subjects=4, craft=3),
        method=Universal(
            clusters=2, candidates=5, frames=6, steps=10,
            agn=AGN(batch=16, samples=4, check_every=2),
        ),
    )  # fmt: skip
    least, most = seconds_of_crowd(crowd, SPEED, subjects=9, held_out=7, glasses=500)
    # Two subjects to craft with, three photos each, so that a group has three.
    trying, scoring, looks = 2 * (2 * 5) * 6, 2 * 6 * 4 * (3 + 7), 4 * 6
    assert least == trying + scoring + looks
    assert most == least + 2 * 10 * (16 * (10 + 100) + 4 * 3 / 2)


def test_every_method_has_an_estimate() -> None:
    for method in METHODS.values():
        least, most = seconds_of(method, SPEED, **CELL)
        assert 0 < least <= most


def test_speeds_are_measured_without_touching_the_nets(setup: AttackSetup) -> None:
    before = [weight.requires_grad for weight in setup.generator.parameters()]
    speed = measure_speed(setup)
    assert min(speed.look, speed.gradient, speed.nets) > 0
    assert [weight.requires_grad for weight in setup.generator.parameters()] == before
    assert all(weight.grad is None for weight in setup.generator.parameters())
