"""Heads on frozen backbones: their descriptors, what is learned, and what a run leaves."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.small_openface import SmallOpenFace

from agns.accessory.frame import place, silhouette
from agns.data.faces import FaceSet
from agns.errors import ConfigError
from agns.geometry import resize
from agns.images import from_pixels
from agns.models.backbone import Backbone
from agns.models.initialization import draw_weights
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.start import Start, load_start
from agns.training.head import choose_views, describe, train_head
from agns.training.recipe import RecognizerTraining
from agns.training.recognizer import train_recognizer
from agns.training.recognizer_run import begin_recognizer
from agns.training.run import Provenance
from agns.training.training_data import build_training_data
from agns.types import Pixels

pytestmark = pytest.mark.usefixtures("small_openface")

CONFIG = RecognizerTraining(
    arch="of", epochs=30, batch=6, rate=5e-3, frames_per_photo=2, frozen=True
)
CPU = torch.device("cpu")


def settled_backbone() -> Backbone:
    draws = torch.Generator().manual_seed(6)
    network = draw_weights(SmallOpenFace(), rng=draws)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=draws)
    backbone = Backbone("of")
    backbone.backbone = network
    return backbone.eval()


def recorded(start: Start, **record: object) -> Start:
    """The same to begin with, with another record of its training."""
    network = copy.copy(start.network)
    network.record = record
    return replace(start, network=network)


@pytest.fixture(scope="module")
def start() -> Start:
    return Start(network=settled_backbone(), path=Path("some.safetensors"))


def test_descriptors_are_those_of_each_photo_bare_and_with_its_frames_and_mirrored(
    faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    draws = torch.Generator().manual_seed(0)
    recognizer = build_recognizer("of", faces.identities, rng=draws).eval()
    start.give(recognizer)
    data = build_training_data(faces, glasses, CONFIG, start=None, rng=draws)
    places = torch.tensor([3, 17])
    found = describe(recognizer, data, places)
    assert found.shape == (2, 6, 128)
    for row, photo in enumerate(places.tolist()):
        bare = faces.faces(torch.tensor([photo]))
        views = [bare]
        for choice in data.frame_choices[photo].tolist():
            frame, mask = place(from_pixels(glasses[choice : choice + 1])), silhouette()
            views.append(bare * (1 - mask) + frame * mask)
        for number, view in enumerate(views):
            for side, image in enumerate((view, view.flip(3))):
                with torch.no_grad():
                    expected = recognizer.backbone(2 * resize(image, (96, 96)) - 1)[0]
                torch.testing.assert_close(
                    found[row, 2 * number + side], expected, atol=1e-4, rtol=0
                )


def test_as_many_of_a_batch_as_asked_for_wear_a_frame(generator: torch.Generator) -> None:
    views = choose_views(400, 6, 0.25, rng=generator)
    assert int((views >= 2).sum()) == 100
    assert set(views.tolist()) == set(range(6))
    assert int(choose_views(40, 6, 0.0, rng=generator).max()) == 1


def test_a_head_learns_while_its_backbone_stays(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    out = tmp_path / "run"
    recognizer, scores = train_head(
        faces, glasses, CONFIG, out, start=start, about=Provenance(source="drawn"), device=CPU
    )
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    for name, tensor in start.network.backbone.state_dict().items():
        assert torch.equal(tensor, recognizer.backbone.state_dict()[name]), name
    loaded = Recognizer.read(out / "recognizer.safetensors")
    metadata = loaded.record
    assert torch.equal(loaded.head[0].weight, recognizer.head[0].weight)
    assert metadata["start"] == "some.safetensors"
    assert metadata["recipe"]["frozen"] is True
    assert scores.photos == 6


def test_the_same_seed_gives_the_same_head(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    config = replace(CONFIG, epochs=2)
    heads = [
        train_head(
            faces, glasses, config, tmp_path / name, start=start, about=Provenance(), device=CPU
        )[0].head.state_dict()
        for name in ("one", "two")
    ]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_a_whole_recogniser_begins_with_the_backbone_it_is_given(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    # So small a rate that the weights hardly move.
    config = RecognizerTraining(arch="of", epochs=1, batch=6, rate=1e-9)
    recognizer, _ = train_recognizer(faces, glasses, config, tmp_path / "run", start=start)
    torch.testing.assert_close(
        recognizer.backbone.embed.weight, start.network.backbone.embed.weight, atol=1e-6, rtol=0
    )


@pytest.mark.usefixtures("small_vgg")
def test_a_recogniser_takes_the_form_of_the_backbone_it_begins_with(
    generator: torch.Generator, start: Start
) -> None:
    port = Backbone("of", pooling="same", convention="tensorflow")
    port.backbone = SmallOpenFace(pooling="same", convention="tensorflow")
    port.subtract(torch.full((3, 1, 1), 0.25))
    begun = begin_recognizer("of", ("Ann", "Bob"), replace(start, network=port), rng=generator)
    assert (begun.pooling, begun.convention) == ("same", "tensorflow")
    assert torch.equal(begun.average, port.average)
    assert torch.equal(begun.backbone.embed.weight, port.backbone.embed.weight)
    with pytest.raises(ConfigError, match="holds a backbone with family 'of', and vgg needs"):
        begin_recognizer("vgg", ("Ann", "Bob"), start, rng=generator)


def test_photos_cut_otherwise_than_the_backbones_are_refused(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    seen = recorded(start, training_photos=["0123456789abcdef"], center_crop=120)
    config = replace(CONFIG, frozen=False, epochs=1)
    with pytest.raises(
        ConfigError, match=r"was trained on photos cut to 120, and these .* nothing"
    ):
        train_recognizer(faces, glasses, config, tmp_path / "run", start=seen)
    assert not (tmp_path / "run").exists()


def test_a_backbone_that_saw_the_photos_to_test_on_is_refused(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    path = tmp_path / "backbone.safetensors"
    start.network.record = {"training_photos": list(faces.digests)}
    start.network.write(path)
    with pytest.raises(ConfigError, match="was trained on 6 of the 6 photos to test on"):
        train_recognizer(
            faces, glasses, replace(CONFIG, frozen=False, epochs=1), tmp_path / "run",
            start=load_start(path),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_what_the_backbone_saw_is_recorded_as_seen(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, start: Start
) -> None:
    seen = recorded(start, training_photos=["0123456789abcdef"])
    out = tmp_path / "run"
    config = replace(CONFIG, epochs=1)
    train_head(faces, glasses, config, out, start=seen, about=Provenance(), device=CPU)
    photos = Recognizer.read(out / "recognizer.safetensors").record["training_photos"]
    assert "0123456789abcdef" in photos
    assert len(photos) == 18 + 1
