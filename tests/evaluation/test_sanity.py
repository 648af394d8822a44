"""What makes figures weaker than they look is said in words."""

from dataclasses import replace

import pytest
import torch

from agns.attack.goals import Dodge
from agns.attack.result import AttackResult
from agns.evaluation.controls import CONTROLS
from agns.evaluation.judges import Appearance
from agns.evaluation.metrics import SplitSuccess, measure_split
from agns.evaluation.sanity import find_unchecked, find_warnings
from agns.evaluation.stealth import Stealth
from agns.models.dcgan import Discriminator, Generator


def counted(successes: int, photos: int = 20) -> SplitSuccess:
    """Dodging succeeded on so many photos, all of them recognised."""
    choices = torch.arange(photos) < successes
    return measure_split(
        Dodge(subject=0), 5 * torch.eye(2)[choices.long()], torch.ones(photos, dtype=torch.bool)
    )


OFTEN, NEVER = counted(18), counted(0)


@pytest.fixture
def outcome(gan: tuple[Generator, Discriminator]) -> AttackResult:
    return AttackResult(
        generator=gan[0],
        latents=torch.zeros(1, 25),
        frames=torch.zeros(1, 3, 64, 176),
        probability=0.005,
        met=True,
        iterations=7,
        seconds=1,
        stopped_because="reached the stop value",
    )


STEALTH = Stealth(
    discriminator_score=0.6,
    discriminator_percentile=0.5,
    total_variation=0.1,
    total_variation_percentile=0.5,
    non_printability=0.1,
    non_printability_percentile=0.5,
    nearest_real=0.1,
    nearest_real_percentile=0.5,
    within_benign_90=True,
)


def warnings(
    outcome: AttackResult,
    *,
    held_out: SplitSuccess = OFTEN,
    control: SplitSuccess = NEVER,
    recognized: float = 1,
    stealth: Stealth = STEALTH,
    bare: SplitSuccess = NEVER,
    saved_anew: int = 0,
    craft: SplitSuccess | None = None,
) -> list[str]:
    controls = {**dict.fromkeys(CONTROLS, NEVER), "untrained_generator": control}
    return find_warnings(outcome, held_out, controls, recognized, stealth, bare, saved_anew, craft)


def test_photos_saved_anew_are_counted(outcome: AttackResult) -> None:
    (sentence,) = warnings(outcome, saved_anew=3)
    assert sentence.startswith("Of the subject's photos 3 look like another one saved anew")


def test_figures_without_a_weakness_have_no_warnings(outcome: AttackResult) -> None:
    assert warnings(outcome) == []


@pytest.mark.parametrize("successes", [18, 20])
def test_a_control_that_succeeds_as_often_is_said_in_words(
    outcome: AttackResult, successes: int
) -> None:
    (words,) = warnings(outcome, control=counted(successes))
    assert "'untrained generator' succeeds as often as the attack" in words
    assert "against 90%" in words


def test_a_control_that_succeeds_less_often_is_not(outcome: AttackResult) -> None:
    assert warnings(outcome, control=counted(17)) == []


def test_no_success_at_all_is_no_controls_doing(outcome: AttackResult) -> None:
    assert warnings(outcome, held_out=NEVER) == []


def test_a_stop_value_out_of_reach_is_said(outcome: AttackResult) -> None:
    outcome.met, outcome.probability = False, 0.4321
    (words,) = warnings(outcome)
    assert "No frame reached the stop value" in words
    assert "0.432" in words
    # An attack that sees decisions alone knows their share; what is told is of the frame.
    assert "photos is 0.105" in warnings(outcome, craft=OFTEN)[0]


def test_an_early_end_is_said(outcome: AttackResult) -> None:
    outcome.stopped_because = "interrupted"
    assert warnings(outcome) == ["The attack was interrupted after 7 iterations."]
    outcome.stopped_because, outcome.lost = "lost the victim", "the line is dead"
    (words,) = warnings(outcome)
    assert words.startswith("The victim failed after 7 iterations (the line is dead); ")
    outcome.stopped_because = "not finite"
    (words,) = warnings(outcome)
    assert "no longer finite after 7 iterations" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"variation": 0.98}, "of real frames 98.0% are smoother"),
        ({"sealed": -0.1}, "the sealed judge takes it for an attack's"),
    ],
)
def test_a_frame_that_judges_do_not_let_pass_is_told(
    outcome: AttackResult, change: dict[str, float], words: str | None
) -> None:
    seen = replace(Appearance(patches=0.9, whole=0.9, variation=0.97, sealed=0.1), **change)
    found = warnings(outcome, stealth=replace(STEALTH, appearance=seen))
    told = [] if words is None else [f"The frame does not pass for eyeglasses: {words}."]
    assert found == told


def test_few_held_out_photos_are_said(outcome: AttackResult) -> None:
    (words,) = warnings(outcome, held_out=counted(9, photos=9))
    assert "Only 9 held-out photos" in words
    assert warnings(outcome, held_out=counted(9, photos=10)) == []


def test_a_recogniser_that_errs_without_a_frame_is_said(outcome: AttackResult) -> None:
    (words,) = warnings(outcome, recognized=0.79)
    assert "recognises only 79% of the subject's photos" in words


def test_a_goal_that_photos_reach_as_they_are_is_named(outcome: AttackResult) -> None:
    (warning,) = warnings(outcome, bare=OFTEN)
    assert "as they are" in warning


def test_a_network_that_was_not_compared_with_its_own_runtime_is_told() -> None:
    assert find_unchecked({"checked": "differs from onnxruntime 1.32.0 by little"}) == []
    assert find_unchecked({"checked": "not compared with onnxruntime, which is not installed"}) == [
        "The recogniser's network was not compared with onnxruntime, which is not installed."
    ]
