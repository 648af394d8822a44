"""Which frames are asked about, and in what form."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from agns.accessory.frame import frame_mask, silhouette
from agns.data.simulation.drawn_frames import DrawnFrames
from agns.errors import ConfigError, ImageContractError
from agns.images import write_image
from agns.models.dcgan import build_gan
from agns.survey.questions import (
    Candidate,
    Question,
    attack_frames,
    compose_survey,
    generated_frames,
    real_frames,
)

Write = Callable[..., Path]


def pixels(question: Question) -> torch.Tensor:
    with Image.open(io.BytesIO(question.picture)) as picture:
        assert (picture.format, picture.mode, picture.info) == ("PNG", "RGB", {})
        data = torch.tensor(list(picture.tobytes()), dtype=torch.uint8)
        return data.reshape(picture.height, picture.width, 3).permute(2, 0, 1) / 255


def test_a_survey_has_as_many_of_each_kind_in_an_order_that_tells_nothing(
    candidates: list[Candidate],
) -> None:
    survey = compose_survey(candidates, count=3, face=None, seed=5)
    assert Counter(one.kind for one in survey.questions) == {"real": 3, "generated": 3, "agn": 3}
    assert [one.kind for one in survey.questions] != sorted(one.kind for one in survey.questions)
    assert len({one.name for one in survey.questions}) == 9
    assert survey == compose_survey(candidates, count=3, face=None, seed=5)
    assert survey.name != compose_survey(candidates, count=3, face=None, seed=6).name


def test_frames_alone_are_white_off_the_silhouette_whatever_was_there(
    candidates: list[Candidate],
) -> None:
    off = frame_mask()[None] == 0
    candidates[0].image[off.expand(3, -1, -1)] = 0.7
    for question in compose_survey(candidates, count=4, face=None, seed=0).questions:
        shown = pixels(question)
        assert bool((shown[off.expand(3, -1, -1)] == 1).all())
        own = next(one for one in candidates if one.source == question.source)
        assert torch.allclose(shown[:, frame_mask() > 0], own.image[:, frame_mask() > 0], atol=0.01)


def test_frames_on_a_face_leave_the_rest_of_it_as_it_is(candidates: list[Candidate]) -> None:
    face = torch.full((3, 224, 224), 0.4)
    survey = compose_survey(candidates, count=1, face=face, seed=0)
    assert survey.worn
    shown = pixels(survey.questions[0])
    assert bool((shown[:, silhouette() == 0] == 0.4).all())


def test_a_frame_that_several_attacks_found_is_asked_about_once(
    candidates: list[Candidate],
) -> None:
    again = Candidate(image=candidates[-1].image, kind="agn", source="again")
    survey = compose_survey([*candidates, again], count=9, face=None, seed=0)
    assert len(survey.questions) == 12
    other = Candidate(image=candidates[-1].image, kind="pgd", source="other")
    with pytest.raises(ConfigError, match="same picture as agn 11, which counts as agn"):
        compose_survey([*candidates, other], count=9, face=None, seed=0)


def test_frames_of_one_kind_make_no_survey(candidates: list[Candidate]) -> None:
    with pytest.raises(ConfigError, match="two kinds at least"):
        compose_survey(candidates[:4], count=9, face=None, seed=0)


def test_attacks_are_read_from_pictures_results_campaigns_and_folders(
    attack_folder: Write, tmp_path: Path
) -> None:
    one = attack_folder("one", 0.1, method="ccs16")
    attack_folder("many/cells/a", 0.2, method="agn")
    attack_folder("many/cells/b", 0.3, method="agn")
    (attack_folder("many/cells/c", 0.4, method="agn") / "result.json").unlink()
    attack_folder("demo/dodge", 0.5)
    write_image(tmp_path / "bare" / "x.png", torch.zeros(3, 64, 176))
    found = {
        name: [(found.kind, Path(found.source).parent.name) for found in attack_frames(path)]
        for name, path in {
            "one": one, "campaign": tmp_path / "many", "demo": tmp_path / "demo",
            "folder": tmp_path / "bare", "picture": tmp_path / "bare" / "x.png",
        }.items()
    }  # fmt: skip
    assert found == {
        "one": [("ccs16", "one")],
        "campaign": [("agn", "a"), ("agn", "b")],
        "demo": [("attack", "dodge")],
        "folder": [("attack", "bare")],
        "picture": [("attack", "bare")],
    }


def test_a_path_without_frames_and_a_picture_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no frame"):
        attack_frames(tmp_path / "none")
    write_image(tmp_path / "x.png", torch.zeros(3, 224, 224))
    with pytest.raises(ImageContractError, match="64x176"):
        attack_frames(tmp_path / "x.png")


def test_no_attack_counts_as_a_kind_that_nobody_crafted(attack_folder: Write) -> None:
    (found,) = attack_frames(attack_folder("a", 0.1, method="real"))
    assert found.kind == "attack real"


def test_real_and_generated_frames_tell_where_they_are_from(drawn: torch.Tensor) -> None:
    assert {
        one.source.split(",")[0] for one in real_frames(DrawnFrames(), 2, names=None, seed=0)
    } == {"drawn by agns"}
    shop = (drawn * 255).round().to(torch.uint8)
    names = [f"{place}.png" for place in range(len(shop))]
    for one in real_frames(shop, 5, names=names, seed=0):
        assert torch.equal(one.image, drawn[names.index(one.source)])
    generator, _ = build_gan(rng=torch.Generator().manual_seed(0))
    made = generated_frames(generator.eval(), 3, seed=4)
    assert [one.kind for one in made] == ["generated"] * 3
    assert made[2].source == "generated from seed 4, frame 2"
