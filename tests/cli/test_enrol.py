"""`agns enrol` and `agns verify`, and a gallery under attack."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import Run
from torch import Tensor, nn

from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.errors import ConfigError
from agns.images import read_image
from agns.loading import load_faces
from agns.models.backbone import Backbone
from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.initialization import draw_weights
from agns.models.opening import load
from agns.models.record import photos_enrolled
from agns.storage import file_digest, read_json

EMBEDDER, VICTIM = f"{__name__}:embedder", f"{__name__}:victim"
OPENED: list[Path] = []
"""The gallery that `victim` opens."""


class Coarse(nn.Module):
    """Embeds a picture as its colours on a coarse grid."""

    def forward(self, faces: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(faces, 4).flatten(1)


def embedder() -> Embedder:
    return Embedder(Coarse(), name="coarse", size=32)


def victim() -> Gallery:
    return Gallery.read(OPENED[-1], lambda _: embedder().eval())


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    write_synthetic_folder(root, SyntheticConfig(identities=6, photos=6))
    return root


@pytest.fixture
def gallery(agns: Run, people: Path, tmp_path: Path) -> Path:
    out = tmp_path / "gallery.safetensors"
    told = agns(
        "enrol", people, "--embedder", EMBEDDER, "--people", 2, "--templates", 2, "--far", 0.25,
        "--out", out,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert "Enrolled 2 people with 4 photos" in told.out
    assert re.search(r"They are Synthetic_00\d, Synthetic_00\d\.", told.out)
    assert "commands do not open it" in " ".join(told.out.split())
    assert "Thresholds from 48 comparisons of 4 other people" in told.out
    OPENED.append(out)
    return out


@pytest.mark.usefixtures("gallery")
def test_people_are_enrolled_and_the_others_set_the_threshold() -> None:
    opened = victim()
    assert opened.task == "verification"
    assert opened.threshold == opened.points[-1].threshold
    assert opened.points[-1].false_accept_rate == 0.25
    enrolled = opened.record["enrolled_photos"]
    assert isinstance(enrolled, list)
    assert len(enrolled) == 4


@pytest.mark.usefixtures("gallery", "few_controls", "no_pictures")
def test_a_gallery_is_attacked_on_photos_that_nobody_is_enrolled_with(
    agns: Run, people: Path, shop: Path, tmp_path: Path
) -> None:
    opened = victim()
    subject, target = opened.identities
    told = agns(
        "attack", "impersonate", "--method", "solid", "--count", 4, "--recognizer", VICTIM,
        "--faces", people, "--subject", subject, "--target", target,
        "--glasses", shop,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert re.search(r"^ *false accepts +success .* no frame", told.out, re.M)
    assert re.search(r"^ *0\.25 +\d+%", told.out, re.M)
    result = read_json(tmp_path / "out" / "result.json")
    enrolled = set(opened.record["enrolled_photos"])  # type: ignore[call-overload]
    assert isinstance(result["craft_digests"], list)
    assert isinstance(result["held_out_digests"], list)
    assert len(result["craft_digests"]) == len(result["held_out_digests"]) == 2
    assert not enrolled & {*result["craft_digests"], *result["held_out_digests"]}
    points = result["operating_points"]
    assert isinstance(points, list)
    assert [point["false_accept_rate"] for point in points] == [0.25]
    # The attack was made at this very point.
    assert points[0]["held_out"] == result["held_out"]
    assert points[0]["controls"] == result["controls"]

    told = agns(
        "survive", tmp_path / "out", "--recognizer", VICTIM, "--faces", people, "--glasses", shop,
        "--benign-frames", 1, "--axis", "quality",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert re.search(r"^ +value +0\.25$", told.out, re.M)
    assert re.search(r"^quality +30 +\d+ / \d+ / \d+$", told.out, re.M)
    survived = read_json(tmp_path / "out" / "survival.json")["points"]
    assert isinstance(survived, list)
    for point in survived:
        (there,) = point["operating_points"]
        for name in ("worn", "benign", "bare"):
            assert there[name] == point[name]
    assert "answers otherwise" not in told.out + told.err

    (tmp_path / "out" / "survival.json").unlink()
    other = tmp_path / "other.safetensors"
    given = ("--embedder", EMBEDDER, "--people", 2, "--templates", 1, "--far", 0.25)
    assert agns("enrol", people, *given, "--out", other).code == 0
    OPENED.append(other)
    told = agns(
        "survive", tmp_path / "out", "--recognizer", VICTIM, "--faces", people, "--glasses", shop,
        "--benign-frames", 1, "--axis", "quality",
    )  # fmt: skip
    assert f"{VICTIM} answers otherwise than when it was attacked" in told.out + told.err
    (warning,) = read_json(tmp_path / "out" / "survival.json")["warnings"]  # type: ignore[misc]
    assert "answers otherwise" in warning


@pytest.mark.usefixtures("gallery", "few_controls")
def test_frames_for_many_are_told_at_a_gallerys_operating_points(
    agns: Run, people: Path, weights: Any, shop: Path, tmp_path: Path
) -> None:
    told = agns(
        "universal", "--recognizer", VICTIM, "--faces", people, "--glasses", shop, "--clusters", 1,
        "--candidates", 2, "--frames", 2, "--steps", 1, "--craft", 1, "--out", tmp_path / "out",
        "--generator", weights.generator, "--discriminator", weights.discriminator,
    )  # fmt: skip
    assert told.code == 0, told.err
    assert re.search(r"^ *false accepts +frames +worn by +picked .* benign +no frame$", told.out,
                     re.M)  # fmt: skip
    rows = re.findall(r"^ *0\.25 +(\d) +1 (craft|unseen) ", told.out, re.M)
    assert rows == [(count, group) for group in ("craft", "unseen") for count in "12"]
    result = read_json(tmp_path / "out" / "result.json")
    points = result["operating_points"]
    assert isinstance(points, list)
    assert [point["false_accept_rate"] for point in points] == [0.25]
    assert points[0]["points"] == result["points"]
    assert points[0]["without_frame"] == result["without_frame"]


def test_a_gallery_is_masked_and_compared_with_itself_as_it_was(
    agns: Run, people: Path, tmp_path: Path, generator: torch.Generator
) -> None:
    backbone, out = tmp_path / "backbone.safetensors", tmp_path / "gallery.safetensors"
    draw_weights(Backbone("of"), rng=generator).write(backbone)
    given = ("--people", 2, "--templates", 2, "--far", 0.25, "--out", out)
    assert agns("enrol", people, "--embedder", backbone, *given).code == 0
    told = agns(
        "defend", "masking", "--recognizer", out, "--faces", people, "--filling", "grey",
        "--dilation", 30, "--out", tmp_path / "run",
    )  # fmt: skip
    assert told.code == 0, told.err
    scores = read_json(tmp_path / "run" / "masking.json")["scores"]
    assert isinstance(scores, dict)
    before = load(out)
    faces = load_faces(people)
    fresh = [
        at for at, one in enumerate(faces.digests) if one not in photos_enrolled(before.record)
    ]
    own = [(at, before.identities.index(name)) for at in fresh
           if (name := faces.identities[faces.labels[at]]) in before.identities]  # fmt: skip
    assert scores["photos"] == len(own)
    with torch.no_grad():
        logits = before(faces.faces(torch.tensor([at for at, _ in own])))
    right = [float(logits[row, place]) > 0 for row, (_, place) in enumerate(own)]
    assert scores["undefended"]["share"] == sum(right) / len(right)


@pytest.mark.usefixtures("gallery")
def test_people_of_a_gallery_without_a_file_are_not_enrolled_anew(
    agns: Run, people: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    told = agns("defend", "masking", "--recognizer", VICTIM, "--faces", people, "--out", out)
    assert told.code == 2
    assert "name their gallery's file in place of" in told.complaint
    assert not out.exists()


def test_who_is_to_be_enrolled_has_to_be_said(agns: Run, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "gallery.safetensors"
    for options, sentence in (
        ((), "say whom to enrol"),
        (("--people", 9), "holds 6 people, and 9 are asked for"),
        (("--name", "Nobody", "--name", "Synthetic_000"), "no identity 'Nobody'"),
        (("--people", 2, "--far", 2), "--far should lie in"),
        (("--people", 2, "--far", 1e-4, "--templates", 2), "needs 100,000 impostor comparisons"),
        (("--people", 6, "--far", 0.25), "thresholds need two people or more"),
        (("--name", "Synthetic_001", "--name", "Synthetic_001"), "at least two people"),
        (("--people", 2, "--embedder", "arcface"), "there is no file arcface: name an embedding's"),
        (("--people", 2, "--task", "closed-set", "--far", 0.1), "closed-set has none"),
    ):
        told = agns("enrol", people, "--embedder", EMBEDDER, *options, "--out", out)
        assert told.code in (1, 2)
        assert sentence in told.complaint
    assert not out.exists()
    out.touch()
    told = agns("enrol", people, "--embedder", EMBEDDER, "--people", 2, "--out", out)
    assert (told.code, told.complaint.endswith("is already there: name another file")) == (2, True)
    assert out.stat().st_size == 0


def test_an_open_set_says_what_its_rates_are_of(agns: Run, people: Path, tmp_path: Path) -> None:
    told = agns(
        "enrol", people, "--embedder", EMBEDDER, "--people", 2, "--templates", 2, "--far", 0.7,
        "--task", "open-set", "--out", tmp_path / "gallery.safetensors",
    )  # fmt: skip
    assert told.code == 0, told.err
    words = " ".join(told.out.split())
    assert "Thresholds from 16 comparisons of 4 other people, each with 2 of them at once" in words


def test_a_gallery_is_shown_by_whom_it_knows(agns: Run, gallery: Path) -> None:
    shown = agns("models", "show", gallery)
    assert (shown.code, shown.err) == (0, "")
    words = " ".join(shown.out.split())
    assert re.search(r"people 2: Synthetic_00\d, Synthetic_00\d", words)
    assert re.search(r"false accepts 0\.25 below \d+\.\d{4}", words)
    assert "compared with the mean of photos task verification" in words
    assert "threshold photos 24, known by their digests" in words
    refused = agns("models", "show", gallery, "--graph", gallery.with_suffix(".dot"))
    assert refused.code == 2
    assert "holds a gallery, whose embedding has a file of its own" in refused.complaint


def test_a_gallery_and_its_embedding_are_not_taken_for_each_other(
    agns: Run, gallery: Path, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = agns("verify", people, "--embedder", gallery)
    assert (told.code, told.complaint) == (
        2, f"{gallery} holds a gallery: name its embedding, the function that makes it",
    )  # fmt: skip
    advice = "is an embedding: enrol people by `agns enrol` first, and name the gallery's file"
    network = tmp_path / "network.tflite"
    network.write_bytes(b"MobileFaceNet")
    monkeypatch.setattr("agns.models.embedder.MOBILEFACENET", file_digest(network))
    for name in ("dlib", network):
        told = agns(
            "attack", "dodge", "--recognizer", name, "--faces", people, "--subject", "Ann",
            "--out", tmp_path,
        )  # fmt: skip
        assert (told.code, told.complaint) == (2, f"{name} {advice}")


def test_an_embedding_is_verified_on_a_folder(agns: Run, people: Path) -> None:
    told = agns("verify", people, "--embedder", EMBEDDER, "--photos", 0, "--json")
    assert told.code == 0, told.err
    scores = json.loads(told.out)
    assert (scores["name"], scores["people"]) == ("coarse", 6)
    assert scores["genuine"] == 6 * 15
    assert scores["impostors"] == 15 * 36
    assert 0.5 <= scores["ten_fold"]["accuracy"] <= 1
    assert scores["acceptance"] == []
    assert 0 <= scores["rank_1"] <= 1
    words = agns("verify", people, "--embedder", EMBEDDER)
    assert f"36 photos of 6 people, compared by coarse ({EMBEDDER})" in " ".join(words.out.split())
    assert f"{scores['ten_fold']['folds']}-fold accuracy" in words.out
    assert words.out.rstrip().endswith("too few for true accepts at a false-accept rate of 1e-2.")


def test_rates_are_those_of_the_pairs_themselves() -> None:
    from agns.data.faces import faces_from_pixels
    from agns.evaluation.verification import measure_embedder

    rng = torch.Generator().manual_seed(0)
    colours = torch.randint(256, (12, 8, 3), generator=rng, dtype=torch.uint8)
    faces = faces_from_pixels(
        colours.flatten(0, 1)[:, :, None, None].expand(-1, -1, 224, 224).contiguous(),
        torch.arange(12).repeat_interleave(8),
        [f"P{number}" for number in range(12)],
        [f"{number}.png" for number in range(96)],
    )
    scores = measure_embedder(embedder().eval(), faces, photos=None, rates=(0.1, 0.01))
    embedded = (colours.flatten(0, 1) / 255).repeat_interleave(16, 1)
    apart = torch.cdist(embedded, embedded)
    upper = torch.ones(96, 96, dtype=torch.bool).triu(1)
    same = faces.labels[:, None] == faces.labels[None]
    for one in scores.acceptance:
        accepted = apart < one.threshold
        impostors = accepted[upper & ~same].double().mean()
        assert float(impostors) == pytest.approx(one.false_accept_rate, rel=0.05)
        genuine = accepted[upper & same].double().mean()
        assert float(genuine) == pytest.approx(one.true_accept_rate, abs=0.01)


def test_a_gallery_runs_no_code_that_its_file_names(agns: Run, gallery: Path, people: Path) -> None:
    with pytest.raises(ConfigError, match="agns runs no code that a file names"):
        load(gallery)
    photo = next(people.rglob("*.png"))
    assert "runs no code" in agns("recognize", photo, "--recognizer", gallery).complaint


@pytest.mark.usefixtures("gallery")
def test_claims_are_judged_one_by_one_when_a_photo_is_recognised(agns: Run, people: Path) -> None:
    opened = victim()
    subject = opened.identities[0]
    photo = sorted((people / subject).iterdir())[0]
    (found,) = json.loads(agns("recognize", photo, "--recognizer", VICTIM, "--json").out)
    face = read_image(photo, size=(224, 224))[None]
    chances = dict(zip(opened.identities, opened(face).sigmoid()[0].tolist(), strict=True))
    assert {one["identity"]: one["probability"] for one in found["top"]} == pytest.approx(chances)
    (whole,) = json.loads(agns("recognize", people, "--recognizer", VICTIM, "--json").out)
    faces = load_faces(people)
    right = [
        opened(faces.faces(faces.places_of(name)))[:, place] > 0
        for place, name in enumerate(opened.identities)
    ]
    assert whole["accuracy"] == pytest.approx(float(torch.cat(right).float().mean()))
    # Two of six photos of each are enrolled.
    assert whole["not_trained_on"]["photos"] == 8
