"""The best of frames that nobody crafted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
import torch

from agns.accessory.placement import FIXED
from agns.attack.baselines import Baseline, Kind, draw_uncrafted
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.methods import METHODS, name_of
from agns.attack.result import AttackResult
from agns.errors import AttackError, ConfigError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces, Pixels, Progress, silent

DODGE = Dodge(subject=1, stop=1e-6)
GOALS: tuple[Goal, ...] = (DODGE, Impersonate(subject=0, target=2, stop=0.5))
KINDS: tuple[Kind, ...] = get_args(Kind)


def drawn(kind: Kind, glasses: Pixels, count: int = 12, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return draw_uncrafted(kind, count, glasses=glasses, rng=draws)


def choose(
    victim: Recognizer, photos: Faces, glasses: Pixels, goal: Goal, progress: Progress = silent,
    **settings: object,
) -> AttackResult:  # fmt: skip
    config = Baseline(**{"count": 12, **settings})
    return config.run(victim, photos, goal, frames=glasses, progress=progress)


@pytest.mark.parametrize(
    ("kind", "goal", "batch"),
    [
        ("benign", GOALS[0], 1),
        ("noise", GOALS[1], 13),
        ("solid", GOALS[0], 64),
        ("untrained_generator", GOALS[1], 64),
    ],
    ids=["benign-dodge-1", "noise-impersonate-13", "solid-dodge-64", "untrained-impersonate-64"],
)
def test_it_is_the_frame_that_comes_nearest_on_all_photos(
    victim: Recognizer, photos: Faces, glasses: Pixels, goal: Goal, kind: Kind, batch: int
) -> None:
    found = choose(victim, photos, glasses, goal, kind=kind, batch=batch)
    frames = drawn(kind, glasses)
    everybody = torch.arange(len(photos))
    means = torch.stack(
        [
            goal.failure_probability(
                freeze(victim)(FIXED.wear(photos, frame[None], everybody))
            ).mean()
            for frame in frames
        ]
    )
    assert torch.equal(found.frames[0], frames[means.argmin()])
    assert found.probability == pytest.approx(goal.probability(float(means.min())), abs=1e-5)
    assert found.met == bool(means.min() <= goal.max_failure)
    assert (found.iterations, found.stopped_because) == (12, "used up its frames")


def test_each_kind_is_what_it_is_called(glasses: Pixels) -> None:
    benign = drawn("benign", glasses)
    real = from_pixels(glasses)
    assert all(any(torch.equal(frame, one) for one in real) for frame in benign)
    solid = drawn("solid", glasses)
    assert float(solid.std((2, 3)).max()) < 1e-6
    assert float(solid[:, :, 0, 0].std(0).min()) > 0.1
    noise = drawn("noise", glasses)
    assert 0.28 < float(noise.std()) < 0.3
    untrained = drawn("untrained_generator", glasses, 1)
    assert untrained.shape == (1, 3, 64, 176)
    for kind in KINDS:
        assert torch.equal(drawn(kind, glasses), drawn(kind, glasses))
        assert not torch.equal(drawn(kind, glasses), drawn(kind, glasses, seed=1))


def test_each_is_a_method_by_its_name(
    victim: Recognizer, photos: Faces, gan: tuple[Generator, Discriminator], glasses: Pixels
) -> None:
    for name in ("benign", "untrained-generator", "noise", "solid"):
        method = METHODS[name]
        assert isinstance(method, Baseline)
        assert name_of(method) == name
        few = replace(method, count=3)
        found = few.run(victim, photos, DODGE, frames=glasses, nets=gan)
        assert found.iterations == 3


def test_ctrl_c_keeps_the_best_so_far(victim: Recognizer, photos: Faces, glasses: Pixels) -> None:
    def press(done: int, total: int, figures: Mapping[str, float]) -> None:
        assert total == 12
        if done == 4:
            raise KeyboardInterrupt

    found = choose(victim, photos, glasses, DODGE, press, batch=2 * len(photos))
    assert (found.iterations, found.stopped_because) == (4, "interrupted")
    best = choose(victim, photos, glasses, DODGE, batch=2 * len(photos))
    assert found.probability >= best.probability


def test_what_cannot_be_tried_is_refused(
    victim: Recognizer, photos: Faces, glasses: Pixels
) -> None:
    with pytest.raises(AttackError, match="at least one photo"):
        choose(victim, photos[:0], glasses, DODGE)
    with pytest.raises(AttackError, match="no real frame"):
        choose(victim, photos, glasses[:0], DODGE)
    with pytest.raises(ConfigError, match="count must be at least 1, got 0"):
        Baseline(count=0)
    with torch.no_grad():
        victim.head.weight.fill_(torch.nan)
    with pytest.raises(AttackError, match="not finite"):
        choose(victim, photos, glasses, DODGE)
