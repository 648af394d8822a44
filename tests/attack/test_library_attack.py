"""Other libraries' attacks on a frame's pixels."""

import sys
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from agns.accessory.frame import frame_mask
from agns.accessory.placement import FIXED
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.library_attack import FrameClassifier, Kind, LibraryAttack, quiet_import
from agns.errors import AttackError, ConfigError
from agns.models.black_box import BlackBox
from agns.models.recognizer import Recognizer
from agns.models.victim import Classifier
from agns.types import Faces, Frames, Logits

NEVER = 1e-6
GOALS = [Dodge(subject=0, stop=NEVER), Impersonate(subject=0, target=1, stop=1 - NEVER)]


def installed(kind: Kind) -> LibraryAttack:
    library = kind.partition("-")[0]
    pytest.importorskip(library, reason="the extra interop is not installed")
    return LibraryAttack(kind=kind, steps=40 if kind == "art-square" else 8)


def mean_logits(victim: Recognizer, faces: Faces, frames: Frames) -> Logits:
    with torch.no_grad():
        worn = [FIXED.wear(faces, one[None], torch.arange(len(faces))) for one in frames]
        return torch.stack([victim(some).mean(0) for some in worn])


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
@pytest.mark.parametrize("kind", get_args(Kind))
def test_each_attack_comes_nearer_to_each_goal_with_one_frame_for_all_photos(
    kind: Kind, goal: Goal, frozen: Recognizer, noise: Faces
) -> None:
    state, attack = np.random.get_state()[1].copy(), installed(kind)  # noqa: NPY002
    found = attack.run(frozen, noise, goal)
    assert (found.iterations, found.stopped_because, found.met) == (
        attack.steps,
        "used up its steps",
        False,
    )
    first = found.history[0]["probability"]
    assert (first - found.probability) * (1 if goal.name == "dodge" else -1) > (
        0.0005 if kind == "art-square" else 0.005
    )
    with torch.no_grad():
        logits = frozen(FIXED.wear(noise, found.frames, torch.arange(3)))
    assert float(goal.class_probability(logits).mean()) == pytest.approx(
        found.probability, abs=1e-5
    )
    assert (found.frames[..., frame_mask() == 0] == 0.5).all()
    assert torch.equal(attack.run(frozen, noise, goal).frames, found.frames)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_bound_is_kept_around_the_grey_that_frames_begin_with(
    kind: Kind, frozen: Recognizer, noise: Faces
) -> None:
    attack = installed(kind)
    tight = LibraryAttack(kind=attack.kind, steps=4, bound=0.1).run(frozen, noise, GOALS[0])
    assert float((tight.frames - 0.5).abs().max()) == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_stop_value_ends_a_librarys_loop(kind: Kind, frozen: Recognizer, noise: Faces) -> None:
    found = installed(kind).run(frozen, noise, Dodge(subject=0, stop=0.999))
    assert (found.iterations, found.stopped_because, found.met) == (
        0, "reached the stop value", True
    )  # fmt: skip


def test_the_square_attack_asks_for_no_gradient_and_for_no_frame_twice(noise: Faces) -> None:
    attack, asked = installed("art-square"), []

    class Counts(nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            asked.append(len(faces))
            red = faces.detach().round().mean((2, 3))
            return torch.cat([red, -red], 1)

    found = attack.run(
        Classifier(Counts(), ("Ann", "Bob", "Cy", "Di", "Ed", "Flo")), noise, GOALS[0]
    )
    assert found.probability < found.history[0]["probability"]
    assert asked == [3] * len(found.history)


def test_an_interruption_leaves_the_best_frame_so_far(frozen: Recognizer, noise: Faces) -> None:
    def interrupt(done: int, total: int, figures: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    found = installed("foolbox-pgd").run(frozen, noise, GOALS[0], progress=interrupt)
    assert (found.iterations, found.stopped_because) == (3, "interrupted")


def test_a_black_box_is_asked_within_its_budget_and_followed_by_none(
    frozen: Recognizer, noise: Faces
) -> None:
    box = BlackBox(frozen, budget=31)
    found = installed("art-square").run(box, noise, GOALS[0])
    assert (found.queries, found.stopped_because) == (30, "used up its queries")
    for kind in ("art-apgd", "foolbox-pgd"):
        with pytest.raises(AttackError, match="gives no gradient, which this attack follows"):
            installed(kind).run(BlackBox(frozen), noise, GOALS[0])


def test_logits_that_are_not_finite_are_told(noise: Faces) -> None:
    broken = Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), ("Ann", "Bob"))
    broken(noise)
    nn.init.constant_(broken.network[1].weight, torch.nan)
    with pytest.raises(AttackError, match="cannot begin"):
        installed("foolbox-pgd").run(broken, noise, GOALS[0])


def test_frames_are_classified_by_mean_logits_with_their_gradient(
    frozen: Recognizer, noise: Faces, generator: torch.Generator
) -> None:
    frames = 0.2 + 0.6 * torch.rand(2, 3, 64, 176, generator=generator)
    classifier = FrameClassifier(frozen, noise).eval()
    expected = mean_logits(frozen, noise, frames)
    assert torch.allclose(classifier(frames), expected, atol=1e-5)
    assert list(classifier.parameters()) == []
    leaf = frames.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier(leaf)[:, 1].sum(), leaf)
    step = 0.01 * gradient / gradient.abs().max()
    risen = mean_logits(frozen, noise, frames + step)[:, 1] - expected[:, 1]
    assert torch.allclose(risen, (gradient * step).sum((1, 2, 3)), rtol=0.2)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_missing_library_is_told_with_the_extra_that_brings_it(
    kind: Kind, frozen: Recognizer, noise: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = kind.partition("-")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r'pip install "agns\[interop\]"'):
        LibraryAttack(kind=kind).run(frozen, noise, GOALS[0])


def test_a_library_that_cannot_be_imported_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^foolbox cannot be imported: no git$"):
        with quiet_import("foolbox"):
            raise ImportError("no git\nand a page more")
