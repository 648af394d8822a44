"""What the benchmark times still runs; how fast is not asserted."""

import runpy
from pathlib import Path

import pytest
import torch

from agns.models.recognizer import build_recognizer, freeze

SPEED = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "speed.py"))


@pytest.mark.parametrize("half", [False, True])
def test_a_timed_attack_gradient_is_one_for_each_frame(half: bool) -> None:
    identities = tuple("abcdefghij")
    victim = build_recognizer("of10", identities, generator=torch.Generator().manual_seed(0))
    gradients = SPEED["attack_gradient"](freeze(victim), 2, half)()
    assert gradients.shape == (2, 3, 64, 176)
    assert bool((gradients.flatten(1).norm(dim=1) > 0).all())
    assert bool(gradients.isfinite().all())
