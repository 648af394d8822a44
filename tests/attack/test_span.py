"""Frames of the natural set that are sought by descent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.accessory.natural_set import NaturalSet
from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import FrameAttack, natural_set_at
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.span import Span
from agns.data.simulation.drawn_frames import draw_frames
from agns.errors import AttackError, ConfigError, DataError
from agns.models.recognizer import Recognizer
from agns.storage import save_tensors
from agns.types import Faces, Glasses

GOALS = [Dodge(subject=0, stop=1e-9), Impersonate(subject=0, target=1, stop=1 - 1e-9)]


@pytest.fixture(scope="module")
def natural_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    drawn = draw_frames(90, start=100)
    path = tmp_path_factory.mktemp("natural") / "set.safetensors"
    NaturalSet.fit(drawn[:60], drawn[60:], directions=12).write(path, {})
    return str(path)


@pytest.fixture(params=[0.0, 0.4], ids=["on the plane", "off the plane"])
def attack(request: pytest.FixtureRequest, natural_file: str) -> Span:
    return Span(
        steps=6, candidates=2, batch=4, real_frames=4, natural_set=natural_file,
        off_plane=request.param,
    )  # fmt: skip


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_the_best_frame_is_natural_and_does_what_the_result_says(
    attack: Span, goal: Goal, frozen: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    found = attack.run(frozen, photos, goal, frames=glasses)
    natural = NaturalSet.read(Path(str(attack.natural_set)))
    assert bool(natural.contains(found.frames).all())
    worn = FIXED.wear(photos, found.frames[:1], torch.arange(6))
    probability = float(frozen(worn).softmax(1)[:, goal.index].mean())
    assert probability == pytest.approx(found.probability, abs=1e-5)
    assert (found.iterations, found.stopped_because) == (6, "used up its steps")
    first = found.history[0]["probability"]
    assert (found.probability < first) == (goal.name == "dodge")


def test_the_first_success_ends_it_near_the_mean_frame(
    attack: Span, frozen: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    found = attack.run(frozen, photos, Dodge(subject=0, stop=0.999), frames=glasses)
    assert (found.met, found.iterations) == (True, 0)
    natural = NaturalSet.read(Path(str(attack.natural_set)))
    assert float(natural.room(found.frames).min()) >= 1 / attack.first_share - 1e-2


def test_the_same_seed_finds_the_same_frame(
    attack: Span, frozen: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    one, again, other = (
        replace(attack, steps=2).run(frozen, photos, GOALS[0], frames=glasses, seed=seed).frames
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_frames_are_sought_where_they_are_worn(
    attack: Span, frozen: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    low = Placement(homographies=torch.tensor([[[1.0, 0, 0], [0, 1, 60], [0, 0, 1]]] * 6))
    moving = replace(attack, steps=2, jitter=1.0, brightness=0.1)
    found = moving.run(frozen, photos, GOALS[1], frames=glasses, placement=low)
    worn = low.wear(photos, found.frames[:1], torch.arange(6))
    probability = float(frozen(worn).softmax(1)[:, 1].mean())
    assert probability == pytest.approx(found.probability, abs=1e-5)


def test_worse_candidates_leave(
    frozen: Recognizer, photos: Faces, glasses: Glasses, natural_file: str
) -> None:
    attack = Span(steps=10, candidates=4, batch=4, check_every=2, natural_set=natural_file)
    assert len(attack.run(frozen, photos, GOALS[0], frames=glasses).frames) == 1


def test_an_interrupted_search_keeps_its_best_frame(
    attack: Span, frozen: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    def interrupt(done: int, total: int, told: object) -> None:
        raise KeyboardInterrupt

    found = attack.run(frozen, photos, GOALS[0], frames=glasses, progress=interrupt)
    assert (found.stopped_because, found.iterations) == ("interrupted", 1)
    assert len(found.frames) == 2


def test_without_finite_logits_or_real_frames_it_does_not_begin(
    attack: FrameAttack, frozen: Recognizer, photos: Faces, glasses: Glasses
) -> None:
    with pytest.raises(AttackError, match="no real frame"):
        attack.run(frozen, photos, GOALS[0], frames=glasses[:0])
    weight = next(frozen.parameters())
    weight.data.fill_(torch.nan)
    with pytest.raises(AttackError, match="not finite"):
        attack.run(frozen, photos, GOALS[0], frames=glasses)


def test_another_natural_set_is_refused_where_there_is_none(
    attack: Span, frozen: Recognizer, photos: Faces, glasses: Glasses, tmp_path: Path
) -> None:
    path = tmp_path / "set.safetensors"
    with pytest.raises(ConfigError, match="there is no natural set"):
        replace(attack, natural_set=str(path)).run(frozen, photos, GOALS[0], frames=glasses)
    save_tensors(path, {"mean": torch.zeros(3)}, {})
    with pytest.raises(DataError, match="holds no natural set"):
        replace(attack, natural_set=str(path)).run(frozen, photos, GOALS[0], frames=glasses)


@pytest.mark.parametrize("settings", [{"first_share": 0.0}, {"steps": 0}, {"rate": 0.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Span(**settings)


def test_the_natural_set_that_comes_along_serves_where_none_is_named() -> None:
    assert len(natural_set_at(None).deviations) == 160
