"""Faces that a detector refuses: who is then taken for whom, and what an attacker must do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.defence.conftest import NAMES, Blocks
from torch import Tensor, nn

import agns
from agns.attack.closed_set import as_closed_set
from agns.attack.coverage import dodges
from agns.attack.goals import Dodge, Goal, Impersonate, log_odds, resolve_goal, taken_for
from agns.data.faces import faces_from_pixels
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.splits import Split
from agns.defence import detector_training
from agns.defence.defended import Defended
from agns.defence.detector import (
    REFUSED,
    Detected,
    DetectorNetwork,
    detector_at,
    find_tap,
    tapped,
)
from agns.defence.detector_training import (
    DetectorTraining,
    SubjectPhotos,
    features_of,
    goals_of,
    photos_of_subject,
    split_subjects,
    train_detector,
)
from agns.defence.masking import Masking
from agns.defence.methods import DefenceFile, defend
from agns.errors import AttackError, ConfigError, WeightsError
from agns.evaluation.detection import score_detection
from agns.evaluation.metrics import wilson_interval
from agns.evaluation.universal_score import Participants, score_frames
from agns.images import from_pixels, to_pixels
from agns.models.dlib_resnet import DlibResNet
from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.openface import OpenFace
from agns.models.opening import make_victim
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.record import photos_seen
from agns.models.vgg import Vgg16
from agns.models.victim import Classifier, Victim, people_known
from agns.types import Faces


class Featured(nn.Module):
    """A convolution to read, and blocks of it to recognise by."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 4, 4, 4)
        self.blocks = Blocks(3, rng, blocks=4)
        with torch.no_grad():
            self.features.weight.normal_(0, 0.2, generator=rng)

    def forward(self, faces: Tensor) -> Tensor:
        scores: Tensor = self.blocks(self.features(faces)[:, :3] + 0.5)
        return scores


@pytest.fixture
def featured(generator: torch.Generator) -> Classifier:
    return Classifier(Featured(generator), NAMES, size=56).eval().requires_grad_(False)


class Told(DetectorNetwork):
    """A detector that says what it is told to, of one photo after the other."""

    def __init__(self, odds: list[float]) -> None:
        super().__init__(4)
        self.odds = torch.tensor(odds)

    def forward(self, features: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(self.odds), self.odds], 1)


class Always(DetectorNetwork):
    """A detector that takes every face for adversarial."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.tensor([0.0, 50.0]).expand(len(features), 2)


def test_features_of_all_three_families_come_to_two_logits() -> None:
    for channels, side in ((512, 14), (640, 6), (128, 8)):
        network = DetectorNetwork(channels).eval()
        assert network(torch.rand(2, channels, side, side)).shape == (2, 2)
        assert network[-1].in_features == 196


def test_taps_lie_at_a_sixteenth_of_the_side() -> None:
    blocks = ((2, 1), (2, 1), (2, 1), (5, 1), (3, 1))
    networks = (
        (Vgg16(blocks=blocks, width=8), 224, (5, 14, 14)),
        (OpenFace(), 96, (640, 6, 6)),
        (DlibResNet(), 150, (128, 8, 8)),
    )
    for network, size, shape in networks:
        victim = Classifier(nn.Sequential(network, nn.LazyLinear(3)), NAMES, size=size).eval()
        _, features = tapped(victim, find_tap(victim), torch.rand(1, 3, 224, 224))
        assert features.shape[1:] == shape
    with pytest.raises(ConfigError, match="name a layer as tap"):
        find_tap(Classifier(Blocks(3, torch.Generator()), NAMES))


def test_a_layer_that_is_none_is_told(featured: Classifier, photos: Faces) -> None:
    for tap in ("nowhere", "", "network.blocks"):
        with pytest.raises(ConfigError, match="to read"):
            tapped(featured, tap, photos)
    assert not featured.network.features._forward_hooks


def test_a_layer_that_runs_for_one_region_after_another_is_not_read(
    featured: Classifier, photos: Faces
) -> None:
    masked = Masking(shift=20, parts=2, filling="grey").around(featured).eval()
    with pytest.raises(ConfigError, match=r"runs \d+ times for a face"):
        tapped(masked, "victim.network.features", photos)


def test_features_too_small_for_a_detector_are_told(featured: Classifier) -> None:
    featured.network.features = nn.Conv2d(3, 4, 28, 28)
    with pytest.raises(ConfigError, match="gives features of 2x2"):
        detector_at(featured, "network.features")


def verdicts(inner: Victim, photos: Faces, odds: list[float]) -> tuple[Detected, Tensor]:
    victim = Detected(inner, Told(odds), _TAPS[type(inner)]).eval()
    with torch.no_grad():
        return victim, victim(photos)


_TAPS: dict[type, str] = {Classifier: "network.features", Gallery: "embedder.network.features"}


def gallery_of(task: str, photos: Faces, rng: torch.Generator) -> Gallery:
    embedder = Embedder(Featured(rng), size=56).eval()
    enrolled = {name: photos[at : at + 1] for at, name in enumerate(NAMES)}
    with torch.no_grad():
        threshold = 0.8 * float(Gallery(embedder, enrolled).distances(photos)[:3].median())
    made = Gallery(embedder, enrolled, task=task, threshold=threshold)  # type: ignore[arg-type]
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("task", ["closed-set", "open-set", "verification"])
def test_a_goal_is_reached_where_it_was_and_the_face_is_not_refused(
    task: str, featured: Classifier, photos: Faces, generator: torch.Generator
) -> None:
    inner = featured if task == "closed-set" else gallery_of(task, photos, generator)
    odds = [-3.0, -0.1, 0.1, 3.0, -5.0, 5.0]
    victim, logits = verdicts(inner, photos, odds)
    assert victim.identities == (*NAMES, REFUSED)
    assert people_known(victim) == NAMES
    with torch.no_grad():
        bare = inner(photos)
    passed = torch.tensor(odds) < 0
    for goal in (Dodge("Ann"), Dodge("Bob"), Impersonate("Cy", subject="Ann")):
        own, plain = resolve_goal(goal, victim), resolve_goal(goal, inner)
        assert torch.equal(own.succeeded(logits), plain.succeeded(bare) & passed)
    if task != "verification":
        assert torch.equal(taken_for(logits, 3, victim.task), ~passed)


@pytest.mark.parametrize("task", ["closed-set", "open-set", "verification"])
def test_probabilities_and_odds_agree_with_a_closed_set_of_what_decides(
    task: str, featured: Classifier, photos: Faces, generator: torch.Generator
) -> None:
    inner = featured if task == "closed-set" else gallery_of(task, photos, generator)
    victim, logits = verdicts(inner, photos, [-3.0, -0.1, 0.1, 3.0, -5.0, 5.0])
    goals: tuple[Goal, ...] = (Dodge("Ann"), Impersonate("Bob"))
    for goal in goals:
        own = resolve_goal(goal, victim)
        failure = own.failure_probability(logits)
        assert torch.allclose(1 - log_odds(logits, own).sigmoid(), failure, atol=1e-5)
        decisive, plain = as_closed_set(victim, own)
        with torch.no_grad():
            again = plain.failure_probability(decisive(photos))
        assert torch.allclose(again, failure, atol=1e-5)
    # Who is surely refused has surely not dodged.
    assert float(resolve_goal(Dodge("Ann"), victim).class_probability(logits)[5]) > 0.9


def test_an_attack_follows_recogniser_and_detector_together(
    featured: Classifier, photos: Faces, generator: torch.Generator
) -> None:
    network = DetectorNetwork(4).eval()
    with torch.no_grad():
        for part in network.parameters():
            part.normal_(0, 0.15, generator=generator)
    victim = Detected(featured, network, "network.features").eval()
    goal = agns.Dodge(NAMES[int(featured(photos[:1]).argmax())], stop=1e-4)
    found = agns.PGD(steps=15).run(victim, photos[:1], goal, seed=0)
    own = resolve_goal(goal, victim)
    assert own.refuses
    with torch.no_grad():
        before = float(own.class_probability(victim(photos[:1]))[0])
    assert found.probability < before


def split_kinds(rng: torch.Generator, name: str, count: int = 12) -> SubjectPhotos:
    """Adversarial frames are striped, and benign ones plain."""
    bare = torch.rand(count, 3, 1, 1, generator=rng).expand(-1, -1, 224, 224).clone()
    benign, striped = bare.clone(), bare.clone()
    benign[:, :, 50:110, 20:200] = 0.2
    striped[:, :, 50:110, 20:200] = (torch.arange(60) // 4 % 2).float()[:, None]
    kinds = {"clean": bare, "benign": benign, "adversarial": striped}
    return SubjectPhotos(name, kinds, count, (f"{name}'s",))  # type: ignore[arg-type]


def test_a_detector_learns_what_tells_them_apart_and_is_kept(
    featured: Classifier, tmp_path: Path, generator: torch.Generator, photos: Faces
) -> None:
    subjects = [split_kinds(generator, name) for name in NAMES]
    config = DetectorTraining(epochs=12, batch=12, rate=2e-3)
    victim, losses = train_detector(featured, subjects[:2], config, tap="network.features")
    assert losses[-1] < losses[0] / 2
    held = [{kind: victim.suspect(some) for kind, some in subjects[2].photos.items()}]
    scores = score_detection(held)
    assert scores.auc > 0.9
    again, _ = train_detector(featured, subjects[:2], config, tap="network.features")
    assert torch.equal(again(photos), victim(photos))

    path = tmp_path / "defence.safetensors"
    victim.write(path, victim=featured, source="victim.safetensors")
    read = defend(featured, str(path), torch.device("cpu"))
    assert isinstance(read, Defended)
    assert torch.equal(read(photos), victim(photos))
    # What it learnt from is nothing to score on.
    assert photos_seen(read.record) == {f"{name}'s" for name in NAMES[:2]}
    other = Classifier(Featured(torch.Generator().manual_seed(8)), NAMES, size=56).eval()
    with pytest.raises(ConfigError, match="fits no other"):
        defend(other, str(path), torch.device("cpu"))


def test_photos_of_three_kinds_are_made_and_the_frames_kept(
    featured: Classifier, photos: Faces, tmp_path: Path
) -> None:
    names = [f"{at}.png" for at in range(len(photos))]
    known = NAMES[int(featured(photos[:1]).argmax())]
    labels = torch.full((len(photos),), NAMES.index(known))
    faces = faces_from_pixels(to_pixels(photos), labels, NAMES, names)
    goals = goals_of(known, NAMES)
    assert [goal.name for goal in goals] == ["dodge", "impersonate"]
    kept = tmp_path / "frames" / "0.safetensors"
    given = (featured, faces, goals, agns.PGD(steps=2), DetectorTraining(photos=4), draw_frames(4))
    made = photos_of_subject(*given, kept=kept)
    assert made.tried == 4
    assert made.photos["clean"].shape == made.photos["benign"].shape == (4, 3, 224, 224)

    # One that is broken off is no frame to learn from.
    def break_off(done: int, total: int, figures: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        photos_of_subject(*given, kept=tmp_path / "1.safetensors", progress=break_off)
    assert not (tmp_path / "1.safetensors").exists()
    # Found once, they are not looked for again.
    given = (*given[:3], agns.PGD(steps=10**9), *given[4:])
    again = photos_of_subject(*given, kept=kept)
    assert torch.equal(again.photos["adversarial"], made.photos["adversarial"])


def test_subjects_are_held_out_and_none_is_lost() -> None:
    names = [f"Person {at}" for at in range(10)]
    training, held = split_subjects(names, DetectorTraining())
    assert (len(training), len(held)) == (7, 3)
    assert sorted((*training, *held)) == names
    with pytest.raises(ConfigError, match="at least two subjects"):
        split_subjects(names[:1], DetectorTraining())


def test_nothing_adversarial_is_nothing_to_learn_from(featured: Classifier) -> None:
    rng = torch.Generator().manual_seed(0)
    one = split_kinds(rng, "Ann", 2)
    none = SubjectPhotos("Ann", {**one.photos, "adversarial": one.photos["clean"][:0]}, 2, ())
    with pytest.raises(AttackError, match="no adversarial photo"):
        train_detector(featured, [none], DetectorTraining(), tap="network.features")


def test_scores_are_shares_of_subjects_held_out() -> None:
    one = {
        "clean": torch.tensor([-2.0, -1.0, 1.0, -3.0]),
        "benign": torch.tensor([-2.0, 2.0, 1.5, -1.0]),
        "adversarial": torch.tensor([3.0, 4.0, -4.0, 5.0]),
    }
    scores = score_detection([one, one])
    assert (scores.recall.share, scores.false_alarms.share) == (0.75, 0.25)
    assert scores.false_alarms_benign.share == 0.5
    assert scores.precision == pytest.approx(3 / 6)
    assert scores.precision_interval is not None
    assert scores.precision_interval[0] < 0.5 < scores.precision_interval[1]
    # Two subjects who are alike say little of a third.
    assert scores.recall.interval == wilson_interval(1.5, 2)


def test_few_subjects_leave_a_wide_interval_however_alike_they_are() -> None:
    calm, alarmed = torch.full((16,), -1.0), torch.cat([torch.ones(1), torch.full((15,), -1.0)])
    subjects = [
        {"clean": own, "benign": calm, "adversarial": torch.ones(4)}
        for own in (calm, calm, alarmed)
    ]
    none = score_detection([{**one, "clean": calm} for one in subjects]).false_alarms
    one = score_detection(subjects).false_alarms
    assert none.share < one.share
    assert none.interval[1] <= one.interval[1]


def test_sure_alarms_are_still_told_apart() -> None:
    odds = {"clean": torch.tensor([18.0, -3.0]), "benign": torch.tensor([-2.0]),
            "adversarial": torch.tensor([30.0, 40.0])}  # fmt: skip
    scores = score_detection([odds])
    assert (scores.auc, scores.eer) == (1.0, 0.0)


@pytest.mark.parametrize("wrap", ["black box", "masked", "own", "universal"])
def test_being_refused_is_no_success_behind_whatever_stands_around(
    featured: Classifier, photos: Faces, wrap: str
) -> None:
    refusing = Detected(featured, Told([50.0] * len(photos)), "network.features").eval()
    with torch.no_grad():
        known = NAMES[int(featured(photos[:1]).argmax())]
    frame = torch.full((1, 3, 64, 176), 0.3)
    if wrap == "universal":
        labels = torch.full((len(photos),), NAMES.index(known))
        assert not dodges(refusing, photos, labels, frame).any()
        refusing.network = Always(4)
        faces = faces_from_pixels(
            to_pixels(photos), labels, NAMES, [str(at) for at in range(len(photos))]
        )
        first, second = torch.arange(len(photos)).tensor_split(2)
        people = Participants(
            groups={"unseen": [known]}, splits={known: Split(first, second)}, left_out=[]
        )
        score = score_frames(refusing, faces, people, {"attack": frame}, (1,))
        assert {point.all.success_rate for point in score.points} == {0}
        assert score.without_frame["unseen"].success_rate == 0
        return
    victim = {
        "black box": lambda: agns.BlackBox(refusing),
        "masked": lambda: Masking(filling="grey").around(refusing),
        "own": lambda: make_victim(f"{__name__}:around", torch.device("cpu"), refusing),
    }[wrap]()
    assert people_known(victim) == NAMES
    goal = resolve_goal(agns.Dodge(known), victim)
    with torch.no_grad():
        assert not goal.succeeded(victim(photos)).any()
    for nobody in (REFUSED, len(NAMES)):
        with pytest.raises(ConfigError, match=r"does not know|classes from 0 to 2"):
            resolve_goal(agns.Impersonate(nobody), victim)


class Bare:
    """Somebody's own victim around a victim."""

    def __init__(self, victim: Victim) -> None:
        self.victim, self.identities = victim, victim.identities

    def __call__(self, faces: Faces) -> Tensor:
        return self.victim(faces)


def around(victim: Victim) -> Victim:
    """Puts one around another."""
    return Bare(victim)


def test_a_detector_learns_what_it_will_read(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = build_recognizer("of", NAMES, rng=generator)
    # Norms that nothing has gone through yet would change nothing.
    victim.train()(torch.rand(8, 3, 224, 224, generator=generator))
    victim.eval()
    learnt: list[Tensor] = []

    def noted(*given: Any) -> Tensor:
        learnt.append(features_of(*given))
        return learnt[-1]

    monkeypatch.setattr(detector_training, "features_of", noted)
    # A convolution, into which its norm is folded when the victim is frozen, and written over.
    tap, own = "backbone.stem.0.0", split_kinds(generator, "Ann", 4)
    detected, _ = train_detector(victim, [own], DetectorTraining(epochs=1), tap=tap)
    with torch.no_grad():
        read = tapped(detected.victim, tap, own.photos["clean"])[1]
    assert torch.allclose(learnt[0], read, atol=1e-5)


def test_nobody_wears_the_benign_frames_of_somebody_else(
    featured: Classifier, photos: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Tensor] = []

    def reading(pixels: Tensor) -> Tensor:
        read.append(pixels)
        return from_pixels(pixels)

    monkeypatch.setattr(detector_training, "from_pixels", reading)
    for name in NAMES:
        faces = faces_from_pixels(
            to_pixels(photos), torch.full((len(photos),), NAMES.index(name)), NAMES,
            [f"{at}.png" for at in range(len(photos))],
        )  # fmt: skip
        photos_of_subject(
            featured, faces, goals_of(name, NAMES), agns.PGD(steps=1), DetectorTraining(photos=4),
            draw_frames(9), kept=tmp_path / f"{name}.safetensors",
        )  # fmt: skip
    worn = [{frame.numpy().tobytes() for frame in frames} for frames in read]
    assert len(worn) == len(NAMES)
    assert len(set.union(*worn)) == sum(map(len, worn)) > 0


def test_files_that_make_no_sense_are_refused(
    featured: Classifier, tmp_path: Path, photos: Faces
) -> None:
    path = tmp_path / "defence.safetensors"
    victim = Detected(featured, detector_at(featured, "network.features").eval(),
                      "network.features")  # fmt: skip
    victim.write(path, victim=featured, source="own:victim")
    with pytest.raises(ConfigError, match="runs no code that a file names"):
        agns.load(path)
    victim.write(path, victim=featured, source=str(path))
    with pytest.raises(WeightsError, match="a defence of itself"):
        agns.load(path)
    victim.tap = "nowhere"
    victim.write(path, victim=featured, source="")
    with pytest.raises(ConfigError, match="no layer 'nowhere'"):
        DefenceFile.read(path).around(featured)(photos)
    Recognizer("of", NAMES).write(path)
    with pytest.raises(WeightsError, match="holds no defence"):
        DefenceFile.read(path)
