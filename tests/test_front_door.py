"""What `import agns` offers, and the ten lines that one begins with."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import agns
from agns.attack.attack import Nets
from agns.attack.result import Reason
from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import DrawnFrames, draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.errors import AttackError, ConfigError, DataError, ImageContractError
from agns.models.dcgan import build_gan
from agns.storage import read_json
from agns.types import Faces

NEVER = 1e-9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    write_synthetic_folder(root, SyntheticConfig(identities=2, photos=4))
    return root


@pytest.fixture
def nets(generator: torch.Generator) -> Nets:
    made, judge = build_gan(rng=generator)
    return made.eval(), judge.eval()


class Redness(nn.Module):
    """Takes red faces for the first of two people."""

    def forward(self, faces: Tensor) -> Tensor:
        means = faces.mean((2, 3))
        return 30 * torch.stack([means[:, 0] - means[:, 1], means[:, 1] - means[:, 0]], 1)


def test_all_public_names_are_there_and_documented() -> None:
    assert len(agns.__all__) <= 26
    for name in agns.__all__:
        found = getattr(agns, name)
        assert name.startswith("__") or found.__doc__, name
    assert set(agns.__all__) <= set(dir(agns))
    with pytest.raises(AttributeError, match="no attribute 'Wish'"):
        _ = agns.Wish


def test_a_network_of_ones_own_is_attacked_scored_and_saved(
    folder: Path, tmp_path: Path, nets: Nets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNS_CACHE", str(tmp_path / "cache"))
    names = ("Synthetic_000", "Synthetic_001")
    victim = agns.Classifier(Redness(), names, size=56)
    craft, held_out = agns.load_faces(folder).of(names[0]).split(seed=0)
    assert (len(craft), len(held_out)) == (2, 2)
    assert not set(craft.digests) & set(held_out.digests)
    frames = draw_frames(40)
    attack = agns.AGN(kappa=0.25, batch=4, samples=4, check_every=2, precision="fp32")
    result = attack.run(
        victim, craft, agns.Dodge(names[0], stop=NEVER), seed=1, frames=frames[:8], nets=nets
    )
    assert result.goal == agns.Dodge(names[0], stop=NEVER)
    assert result.iterations == 2
    score = agns.evaluate(result, victim, held_out, frames=frames, nets=nets, control_frames=2)
    assert score.held_out.images == 2
    assert set(score.controls) == {"benign", "untrained_generator", "noise"}
    assert any("Only 2 held-out photos" in warning for warning in score.warnings)
    score.save(tmp_path / "out")
    told = read_json(tmp_path / "out" / "result.json")
    assert told["held_out"]["success_rate"] == score.held_out.success_rate
    assert (tmp_path / "out" / "frame.png").is_file()


def test_faces_may_be_a_tensor_and_people_classes(nets: Nets, generator: torch.Generator) -> None:
    victim = agns.Classifier(Redness(), ("Ann", "Bob"))
    faces = torch.rand(3, 3, 224, 224, generator=generator)
    result = agns.PGD(steps=1).run(victim, faces, agns.Impersonate("Bob", stop=0.999999))
    assert result.goal == agns.Impersonate("Bob", stop=0.999999)
    score = agns.evaluate(
        result, victim, faces, frames=draw_frames(32), nets=nets, control_frames=1
    )
    assert score.held_out.recognized.images == 0
    with pytest.raises(ConfigError, match="did you mean Bob"):
        agns.PGD().run(victim, faces, agns.Dodge("bob"))
    with pytest.raises(ConfigError, match="classes from 0 to 1, got 2"):
        agns.PGD().run(victim, faces, agns.Dodge(2))
    with pytest.raises(ConfigError, match="no victim has said which class"):
        agns.Dodge("Ann").class_probability(victim(faces))
    with pytest.raises(AttackError, match="at least one photo"):
        agns.evaluate(result, victim, faces[:0])


MISTAKEN = """
import agns, torch

victim = agns.Classifier(torch.nn.Flatten(), ("Ann", "Bob"))
faces, dodge, pgd = torch.rand(2, 3, 224, 224), agns.Dodge("Ann"), agns.PGD(steps=1)
found = agns.AttackResult.__new__(agns.AttackResult)
for mistaken in (
    lambda: pgd.run(victim, faces, "Ann"),
    lambda: pgd.run(torch.nn.Linear(2, 2), faces, dodge),
    lambda: agns.evaluate(found, torch.nn.Linear(2, 2), faces, goal=dodge),
    lambda: pgd.run(victim, faces, dodge, seed=None),
    lambda: pgd.run(victim, faces, dodge, seed=True),
    lambda: pgd.run(victim, faces, dodge, seed=2**70),
    lambda: agns.evaluate(found, victim, faces, goal=dodge, seed=1.5),
    lambda: agns.Classifier(torch.nn.Flatten(), range(2)),
    lambda: agns.Classifier(torch.nn.Flatten(), ("Ann", "Bob"), size="112"),
    lambda: agns.Classifier(torch.nn.Flatten(), ("Ann", "Bob"), low=None),
    lambda: agns.Classifier(torch.nn.Flatten(), ("Ann", "Bob"), mean="x"),
    lambda: agns.Classifier(torch.nn.Flatten(), ("Ann", "Bob"), chip=((1, 0, 0), (0, 1))),
    lambda: agns.Classifier(None, ("Ann", "Bob")),
    lambda: agns.BlackBox(None),
    lambda: agns.BlackBox(victim, budget=1.5),
    lambda: pgd.run(victim, faces, agns.Dodge((0,))),
    lambda: agns.AGN().run(victim, faces, dodge, frames=torch.rand(4, 3, 10, 10)),
    lambda: agns.load_faces(3),
    lambda: agns.Gallery(
        agns.Embedder(torch.nn.Flatten(), name="flat"), {"Ann": faces[:1], "Bob": faces[1:]},
        task="guess", threshold=1.0,
    ),
    lambda: agns.load("mine:victim"),
):
    try:
        mistaken()
    except agns.AgnsError as error:
        print(error)
"""


def test_what_is_no_goal_victim_or_seed_is_told_in_a_sentence() -> None:
    # In a process of its own, where nothing checks types before agns does.
    done = subprocess.run(
        [sys.executable, "-c", MISTAKEN], capture_output=True, text=True, check=True
    )
    wanted = [
        "a goal is agns.Dodge(subject) or agns.Impersonate(target), got 'Ann'",
        "Linear has none: put a network into agns.Classifier(network, names)",
        "Linear has none: put a network into agns.Classifier(network, names)",
        "seed must be a whole number, got None",
        "seed must be a whole number, got True",
        f"seed must be at most {2**64 - 1}, got {2**70}",
        "seed must be a whole number, got 1.5",
        "identities are names, one for each class, got range(0, 2)",
        "size in pixels must be a whole number, got '112'",
        "low must be a number below high, got None and 1.0",
        "mean should be one figure or three, got 'x'",
        "a chip is a 2x3 matrix of numbers, got ((1, 0, 0), (0, 1))",
        "network must be a module that takes faces, got None",
        "NoneType has none: put a network into agns.Classifier(network, names)",
        "a budget of queries must be a whole number, got 1.5",
        "the goal has a subject for each of 1 photos, and there are 2",
        "real frames are bytes, (frames, 3, 64, 176), got torch.float32, (4, 3, 10, 10)",
        "faces are read from a folder, named by its path, got 3",
        "a victim's task is closed-set, open-set, verification, got 'guess'",
        "mine:victim names a function of yours: call it, what it makes is a victim",
    ]
    told = done.stdout.splitlines()
    assert len(told) == len(wanted)
    assert all(line.endswith(end) for line, end in zip(told, wanted, strict=True)), told


def test_who_impersonates_whom_is_named() -> None:
    with pytest.raises(TypeError, match="positional"):
        agns.Impersonate("Ann", "Bob")


def test_photos_that_the_victim_was_trained_on_are_told(folder: Path, tmp_path: Path) -> None:
    ann = agns.load_faces(folder).of("Synthetic_000")
    with pytest.raises(ConfigError, match="of 2 people: choose one"):
        agns.load_faces(folder).split()
    with pytest.raises(DataError, match="no photos to split"):
        ann.subset(torch.arange(0)).split()
    craft, held_out = ann.split(seen=ann.digests[:1])
    assert craft.digests == ann.digests[:1]
    assert len(held_out) == 3

    victim = agns.Classifier(Redness(), ("Synthetic_000", "Synthetic_001"))
    victim.record = {"training_photos": list(ann.digests[:3])}
    result = agns.AttackResult(
        frames=torch.full((1, 3, 64, 176), 0.5), probability=0.5, met=True, iterations=0,
        seconds=0, stopped_because=Reason.__args__[0], goal=agns.Dodge(0),
    )  # fmt: skip
    made, judge = build_gan(rng=torch.Generator().manual_seed(0))
    score = agns.evaluate(
        result, victim, ann, frames=draw_frames(32), control_frames=1,
        nets=(made.eval(), judge.eval()),
    )  # fmt: skip
    assert "was trained on 3 of the 4 photos" in score.warnings[0]
    victim.record = {"enrolled_photos": list(ann.digests[:2])}
    score = agns.evaluate(
        result, victim, ann, frames=draw_frames(32), control_frames=1,
        nets=(made.eval(), judge.eval()),
    )  # fmt: skip
    assert "people are enrolled with 2 of the 4 photos" in score.warnings[0]


def test_drawn_frames_are_those_of_the_set_and_drawn_when_asked_for() -> None:
    drawn = DrawnFrames(30)
    assert len(drawn) == 30
    places = torch.tensor([7, 3, 7])
    assert torch.equal(drawn[places], draw_frames(8)[places])
    assert sorted(drawn._drawn) == [3, 7]
    assert drawn[places[:0]].shape == (0, 3, 64, 176)


SCRIPT = """
import agns, torch

class Own:
    identities = ("Ann", "Bob")
    def __call__(self, faces):
        return 20 * faces.mean((2, 3))[:, :2]

faces = torch.full((2, 3, 224, 224), 0.5)
result = agns.AGN(batch=2, samples=2, epochs=1, precision="fp32").run(
    Own(), faces, agns.Dodge("Ann", stop=0.9), seed=0
)
print(result.met, result.iterations)
"""


def test_it_works_from_standard_input_and_draws_no_more_frames_than_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-"], input=SCRIPT, capture_output=True, text=True, check=False,
        timeout=100,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("True 0\n", "", 0)


def test_a_faceset_is_what_it_says(folder: Path) -> None:
    faces = agns.load_faces(str(folder), names=("Synthetic_001",))
    assert isinstance(faces, FaceSet)
    assert faces.identities == ("Synthetic_001",)
    whole: Faces = faces.faces(torch.arange(len(faces)))
    assert whole.shape == (4, 3, 224, 224)


class Plain:
    """A victim that is no network, of whatever people and figures."""

    def __init__(self, identities: tuple[str, ...], sign: float = 1.0, classes: int = 2) -> None:
        self.identities, self.sign, self.classes = identities, sign, classes

    def __call__(self, faces: Faces) -> Tensor:
        red = self.sign * faces.mean((2, 3))[:, :1]
        return torch.cat([red, -red] * self.classes, 1)[:, : self.classes]


def told(goal: agns.Dodge) -> agns.AttackResult:
    return agns.AttackResult(
        frames=torch.full((1, 3, 64, 176), 0.5), probability=0.5, met=True, iterations=0,
        seconds=0, stopped_because="used up its steps", goal=goal,
    )  # fmt: skip


def test_another_victims_classes_may_stand_in_another_order(nets: Nets) -> None:
    faces, frames = torch.full((2, 3, 224, 224), 0.5), draw_frames(32)
    made = agns.PGD(steps=1).run(Plain(("Ann", "Bob")), faces, agns.Dodge(0))
    other = Plain(("Bob", "Ann"), sign=-1)
    score = agns.evaluate(made, other, faces, frames=frames, nets=nets, control_frames=1)
    assert score.held_out.success_rate == 0


def test_scoring_leaves_nets_alone_and_refuses_what_is_no_face_or_no_logit(
    tmp_path: Path, generator: torch.Generator
) -> None:
    nets = build_gan(rng=generator)
    before = [value.clone() for net in nets for value in net.state_dict().values()]
    faces, frames = torch.full((2, 3, 224, 224), 0.5), draw_frames(32)
    given = {"frames": frames, "nets": nets, "control_frames": 1}
    score = agns.evaluate(told(agns.Dodge("Ann")), Plain(("Ann", "Bob")), faces, **given)
    after = [value for net in nets for value in net.state_dict().values()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    with pytest.raises(ImageContractError, match=r"values in \[0, 1\]"):
        agns.evaluate(told(agns.Dodge("Ann")), Plain(("Ann", "Bob")), faces * 255, **given)
    with pytest.raises(AttackError, match=r"\(2, 2\) logits, got \(2, 4\)"):
        agns.evaluate(told(agns.Dodge("Ann")), Plain(("Ann", "Bob"), classes=4), faces, **given)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        score.save(tmp_path / "file")


def test_a_part_in_training_mode_is_frozen_too() -> None:
    net = nn.BatchNorm2d(3)
    victim = agns.Classifier(
        nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)), ("Ann", "Bob")
    ).requires_grad_(requires_grad=False)
    victim.eval()
    net.train()
    agns.PGD(steps=1).run(victim, torch.full((2, 3, 224, 224), 0.5), agns.Dodge("Ann"))
    assert int(net.num_batches_tracked) == 0


def test_scoring_on_copies_of_the_craft_photos_is_told(nets: Nets) -> None:
    victim = agns.Classifier(Redness(), ("Ann", "Bob"))
    craft = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    result = agns.PGD(steps=1).run(victim, craft, agns.Dodge("Ann", stop=NEVER))
    frames = draw_frames(32)

    def told(held_out: Faces, craft: Faces | None = None) -> list[str]:
        score = agns.evaluate(
            result, victim, held_out, craft=craft, frames=frames, nets=nets, control_frames=1
        )
        return [one for one in score.warnings if "was made on" in one]

    fresh = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert told(fresh, craft) == []
    assert "made on 2 of the 3 photos" in told(torch.cat([craft, fresh[:1]]))[0]
    darker = (craft * 0.9).contiguous()
    assert told(darker) == []
    assert "made on 2 of the 2 photos" in told(darker, craft)[0]


@pytest.mark.parametrize("change", [{"frames": torch.full((1, 3, 64, 176), 5.0)},
                                    {"frames": torch.full((1, 3, 64, 176), torch.nan)},
                                    {"stopped_because": "because"}])  # fmt: skip
def test_results_that_no_attack_could_give_are_not_scored(
    change: dict[str, Any], nets: Nets
) -> None:
    victim = agns.Classifier(Redness(), ("Ann", "Bob"))
    faces = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    usual = {"frames": torch.full((1, 3, 64, 176), 0.5), "probability": 0.5, "met": True,
             "iterations": 0, "seconds": 0, "stopped_because": Reason.__args__[0],
             "goal": agns.Dodge(0)}  # fmt: skip
    result = agns.AttackResult(**usual)
    for name, value in change.items():
        setattr(result, name, value)
    with pytest.raises((AttackError, ImageContractError)):
        agns.evaluate(result, victim, faces, frames=draw_frames(32), nets=nets, control_frames=1)


def test_a_victim_that_writes_to_its_faces_spoils_no_score(nets: Nets) -> None:
    class Writing:
        identities = ("Ann", "Bob")

        def __call__(self, faces: Faces) -> torch.Tensor:
            return Redness()(faces.mul_(0.6))

    faces = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    before = faces.clone()
    result = agns.AttackResult(
        frames=torch.full((1, 3, 64, 176), 0.5), probability=0.5, met=True, iterations=0,
        seconds=0, stopped_because=Reason.__args__[0], goal=agns.Dodge(0),
    )  # fmt: skip
    agns.evaluate(result, Writing(), faces, frames=draw_frames(32), nets=nets, control_frames=1)
    assert torch.equal(faces, before)
