"""Frames made against surrogates."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from agns.accessory.total_variation import total_variation
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.transfer import Transfer, vary_faces
from agns.errors import AttackError, ConfigError
from agns.models.black_box import BlackBox
from agns.models.recognizer import Recognizer
from agns.models.victim import Classifier
from agns.types import Faces

NEVER = 1e-6
GOALS: tuple[Goal, ...] = (
    Dodge("Bob", stop=NEVER),
    Impersonate("Cy", subject="Ann", stop=1 - NEVER),
)


def another(victim: Recognizer) -> Classifier:
    """The same network with its people in another order, under another name."""
    order = [2, 1, 0]

    class Turned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = victim

        def forward(self, faces: Faces) -> torch.Tensor:
            logits: torch.Tensor = self.inner(faces)[:, order]
            return logits

    return Classifier(Turned(), [victim.identities[place] for place in order])


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_a_frame_made_against_a_surrogate_works_on_a_victim_alike_that_nobody_asked(
    goal: Goal, victim: Recognizer, photos: Faces
) -> None:
    box = BlackBox(victim)
    attack = Transfer(steps=8, varied=0, victims=[another(victim), victim])
    found = attack.run(box, photos, goal)
    assert (found.queries, box.queries) == (0, 0)
    assert (found.iterations, found.stopped_because) == (8, "used up its steps")
    first = found.history[0]["probability"]
    assert found.probability < first if goal.name == "dodge" else found.probability > first
    [best] = found.best_after
    assert (best.queries, torch.equal(best.frame, found.frames)) == (0, True)


def test_surrogates_are_named_as_recognisers_are(
    victim: Recognizer, photos: Faces, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("agns.attack.transfer.open_victim", lambda name, place: victim)
    attack = Transfer(steps=3, varied=0, surrogates=("one.safetensors",))
    named = attack.run(victim, photos, GOALS[0])
    passed = replace(attack, surrogates=(), victims=[victim]).run(victim, photos, GOALS[0])
    assert torch.equal(named.frames, passed.frames)
    # What results and plans hold has no victim in it, and what is changed keeps them.
    assert "victims" not in asdict(attack)
    kept = replace(Transfer(steps=3, varied=0, victims=[victim]), momentum=0.5)
    assert kept.run(victim, photos, GOALS[0]).iterations == 3


def test_total_variation_smooths(victim: Recognizer, photos: Faces) -> None:
    rough, smooth = (
        Transfer(steps=12, tv_weight=weight, victims=[victim]).run(victim, photos, GOALS[0])
        for weight in (0.0, 0.1)
    )
    assert float(total_variation(smooth.frames)) < 0.9 * float(total_variation(rough.frames))


def test_the_seed_draws_how_faces_are_shown(victim: Recognizer, photos: Faces) -> None:
    attack = Transfer(steps=3, victims=[victim])
    one, again, other = (
        attack.run(victim, photos, GOALS[0], seed=seed).frames for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_faces_are_shown_smaller_with_black_around(generator: torch.Generator) -> None:
    faces = torch.full((40, 3, 224, 224), 0.5)
    shown = vary_faces(faces, share=0.5, smallest=0.8, rng=generator)
    black = (shown == 0).all(1).float().mean((1, 2))
    assert 10 < int((black > 0).sum()) < 30
    assert float(black.max()) <= 1 - 0.79**2
    torch.testing.assert_close(shown[black == 0], faces[black == 0])
    leaf = faces[:1].clone().requires_grad_()
    vary_faces(leaf, share=1, smallest=0.8, rng=generator).sum().backward()
    assert leaf.grad is not None


def test_what_cannot_be_followed_is_refused(victim: Recognizer, photos: Faces) -> None:
    with pytest.raises(ConfigError, match="none is named"):
        Transfer().run(victim, photos, GOALS[0])
    strangers = Classifier(torch.nn.Flatten(), ("Xi", "Yo"))
    with pytest.raises(ConfigError, match=r"of the surrogate Classifier: .* does not know 'Bob'"):
        Transfer(victims=[strangers]).run(victim, photos, GOALS[0])
    with pytest.raises(ConfigError, match="there is no weight file none"):
        Transfer(surrogates=("none",)).run(victim, photos, GOALS[0])
    with pytest.raises(AttackError, match="gives no gradient"):
        Transfer(victims=[BlackBox(victim)]).run(victim, photos, GOALS[0])
    for settings in ({"steps": 0}, {"momentum": 1.1}, {"varied": 2.0}, {"smallest": 0.0}):
        with pytest.raises(ConfigError, match="must"):
            Transfer(**settings)
