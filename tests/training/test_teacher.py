"""A recogniser that learns from another one what people look like to it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import CONFIG, BrokenOff, break_off_in_epoch_2
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.errors import ConfigError
from agns.models.recognizer import Recognizer
from agns.storage import read_json
from agns.training.recognizer import train_recognizer
from agns.training.teacher import Teaching, ask_teacher
from agns.training.training_data import PhotoSplit, split_photos
from agns.types import Pixels

TAUGHT = replace(CONFIG, teaching=1.0, temperature=2.0, glasses_share=0.0)


class Known:
    """Knows everybody by the mean colour, in another order than the photos name them."""

    def __init__(self, faces: FaceSet, seen: tuple[str, ...] = ()) -> None:
        self.identities = faces.identities[::-1]
        self.record: dict[str, object] = {"training_photos": list(seen)}

    def __call__(self, faces: Tensor) -> Tensor:
        return 20 * faces.mean((2, 3))[:, : len(self.identities)]


@pytest.fixture
def split(faces: FaceSet) -> PhotoSplit:
    return split_photos(faces, held_fraction=0.2, validation_fraction=0.1, seed=0)


def test_agreeing_costs_nothing_and_the_temperature_keeps_the_scale() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
    teaching = Teaching("t", "", frozenset(), None, logits)
    places = torch.arange(2)
    assert float(teaching.loss(logits + 3, places, temperature=4)) == pytest.approx(0, abs=1e-6)
    other = torch.zeros(2, 3)
    expected = functional.kl_div(other.log_softmax(1), logits.softmax(1), reduction="batchmean")
    assert float(teaching.loss(other, places, temperature=1)) == pytest.approx(float(expected))
    # Softer, it comes to half of the mean squared distance of logits about their mean.
    centred = logits - logits.mean(1, keepdim=True)
    limit = float(centred.square().sum(1).mean()) / 6
    assert float(teaching.loss(other, places, temperature=90)) == pytest.approx(limit, rel=0.03)


def test_a_teacher_is_asked_about_training_photos_by_name(
    faces: FaceSet, split: PhotoSplit
) -> None:
    told = ask_teacher(Known(faces), "known", faces, split)
    expected = Known(faces)(faces.faces(split.training)).flip(1)
    assert torch.allclose(told.logits[split.training], expected)
    assert (told.logits[split.test] == 0).all()


def test_a_teacher_that_will_not_do_is_refused(faces: FaceSet, split: PhotoSplit) -> None:
    stranger, cheat, claims = Known(faces), Known(faces), Known(faces)
    stranger.identities = ("Somebody", *faces.identities[1:])
    cheat.record = {"training_photos": [faces.digests[int(split.test[0])]]}
    claims.task = "verification"  # type: ignore[attr-defined]
    for teacher, complaint in (
        (stranger, "knows other people"),
        (cheat, "has seen 1 of the"),
        (claims, "is for verification"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            ask_teacher(teacher, "one", faces, split)


@pytest.mark.usefixtures("small_openface")
def test_a_teacher_of_photos_that_were_cut_otherwise_is_refused(
    faces: FaceSet, glasses: Pixels, tmp_path: Path
) -> None:
    teacher = Known(faces, seen=("somebody's",))
    teacher.record["center_crop"] = 120
    with pytest.raises(ConfigError, match="own was trained on photos cut to 120"):
        train_recognizer(faces, glasses, TAUGHT, tmp_path / "run", teacher=("own", teacher))


class Sure(Known):
    """Takes everybody for the last of the faces' identities."""

    def __call__(self, faces: Tensor) -> Tensor:
        return torch.tensor([4.0, 0.0, 0.0]).expand(len(faces), -1)


@pytest.mark.usefixtures("small_openface")
def test_what_is_taught_is_learnt_recorded_and_gone_on_with(
    faces: FaceSet, glasses: Pixels, tmp_path: Path
) -> None:
    teacher = Sure(faces, seen=("a photo of its own",))

    def apart(recognizer: Recognizer) -> float:
        places = split_photos(faces, held_fraction=0.2, validation_fraction=0.1, seed=0).training
        teaching = ask_teacher(teacher, "t", faces, PhotoSplit(places, places[:0], places[:0]))
        with torch.no_grad():
            return float(teaching.loss(recognizer(faces.faces(places)), places, temperature=2.0))

    config = replace(TAUGHT, epochs=6)
    given = (faces, glasses, config)
    taught, _ = train_recognizer(*given, tmp_path / "taught", teacher=("own", teacher))
    alone, _ = train_recognizer(*given, tmp_path / "alone")
    assert apart(taught) < apart(alone) / 2
    assert taught.record["teacher"] == "own"
    assert "a photo of its own" in taught.record["training_photos"]  # type: ignore[operator]
    assert "teacher" not in alone.record
    assert read_json(tmp_path / "taught" / "config.json")["config"]["teacher_weights"] == ""

    with pytest.raises(BrokenOff):
        train_recognizer(
            faces, glasses, TAUGHT, tmp_path / "broken", teacher=("own", teacher),
            progress=break_off_in_epoch_2,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="had teacher = 'own'"):
        train_recognizer(faces, glasses, TAUGHT, tmp_path / "broken", resume=True)
    whole, _ = train_recognizer(
        faces, glasses, TAUGHT, tmp_path / "whole", teacher=("own", teacher)
    )
    resumed, _ = train_recognizer(
        faces, glasses, TAUGHT, tmp_path / "broken", teacher=("own", teacher), resume=True
    )
    with torch.no_grad():
        assert torch.equal(*(one(faces.faces(torch.arange(3))) for one in (whole, resumed)))
