"""Backbones in files: whole again, of the right kind, and given to recognisers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import (
    Backbone,
    Start,
    backbone_of,
    load_backbone,
    load_start,
    save_backbone,
)
from agns.models.openface import OpenFace
from agns.models.recognizer import build_recognizer, load_recognizer, save_recognizer
from agns.models.weights import draw_weights
from agns.storage import load_tensors, save_tensors


@pytest.fixture
def backbone(generator: torch.Generator) -> Backbone:
    network = draw_weights(OpenFace(pooling="same"), generator=generator).eval()
    return Backbone(
        network=network, pooling="same", average=torch.rand(3, 1, 1, generator=generator)
    )


def test_a_saved_backbone_comes_back_whole(tmp_path: Path, backbone: Backbone) -> None:
    path = tmp_path / "backbone.safetensors"
    save_backbone(path, backbone, {"training_photos": ["ab"]})
    loaded, metadata = load_backbone(path)
    assert (loaded.family, loaded.pooling, loaded.convention) == ("of", "same", "torch")
    assert torch.equal(loaded.average, backbone.average)
    for name, tensor in backbone.network.state_dict().items():
        assert torch.equal(tensor, loaded.network.state_dict()[name]), name
    assert not loaded.network.training
    assert metadata["training_photos"] == ["ab"]
    assert load_start(path).seen == {"ab"}


def test_the_backbone_of_a_recognisers_file_is_its_own(
    tmp_path: Path, generator: torch.Generator
) -> None:
    path = tmp_path / "recognizer.safetensors"
    recognizer = build_recognizer("of", ("Ann", "Bob"), generator=generator)
    save_recognizer(path, recognizer)
    loaded, _ = load_backbone(path)
    assert torch.equal(loaded.network.embed.weight, recognizer.backbone.embed.weight)
    assert loaded.average is None


def test_a_recogniser_that_starts_from_a_backbone_sees_as_it_does(
    tmp_path: Path, backbone: Backbone, generator: torch.Generator
) -> None:
    recognizer = build_recognizer("of", ("Ann", "Bob"), generator=generator, pooling="same").eval()
    head = {name: tensor.clone() for name, tensor in recognizer.head.state_dict().items()}
    Start(backbone=backbone, path=Path("it")).give(recognizer)
    faces = torch.rand(2, 3, 96, 96, generator=generator)
    with torch.no_grad():
        expected = recognizer.head(backbone.network(2 * faces - 1 - backbone.average))
        torch.testing.assert_close(recognizer(faces), expected)
    assert all(torch.equal(head[name], recognizer.head.state_dict()[name]) for name in head)
    # The average travels with it.
    path = tmp_path / "recognizer.safetensors"
    save_recognizer(path, recognizer)
    with torch.no_grad():
        torch.testing.assert_close(load_recognizer(path)[0](faces), expected)
    assert torch.equal(backbone_of(recognizer).average, backbone.average)


@pytest.fixture
def known(tmp_path: Path, generator: torch.Generator) -> Start:
    """A start from a recogniser of four identities."""
    path = tmp_path / "known.safetensors"
    names = ("Ann", "Bob", "Cyd", "Dan")
    save_recognizer(path, build_recognizer("of", names, generator=generator))
    return load_start(path)


def test_a_recogniser_that_knows_all_identities_gives_them_in_their_new_order(
    known: Start, generator: torch.Generator
) -> None:
    recognizer = build_recognizer("of", ("Dan", "Bob"), generator=generator).eval()
    known.give(recognizer)
    faces = torch.rand(2, 3, 224, 224, generator=generator)
    assert known.recognizer is not None
    torch.testing.assert_close(recognizer(faces), known.recognizer(faces)[:, [3, 1]])


def test_a_head_stays_where_somebody_is_new_or_its_width_is_another(
    known: Start, generator: torch.Generator
) -> None:
    stranger = build_recognizer("of", ("Dan", "Eve"), generator=generator)
    assert known.recognizer is not None
    known.recognizer.identities = tuple(f"P{i}" for i in range(11))
    wider = build_recognizer("of", known.recognizer.identities, generator=generator)
    for recognizer in (stranger, wider):
        before = {name: value.clone() for name, value in recognizer.head.state_dict().items()}
        known.give(recognizer)
        assert all(torch.equal(before[k], v) for k, v in recognizer.head.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"pooling": "strided"}, "pooling 'strided'"), ({"convention": "tensorflow"}, "convention")],
)
def test_a_backbone_of_another_form_is_refused(
    backbone: Backbone, generator: torch.Generator, changes: dict[str, str], complaint: str
) -> None:
    recognizer = build_recognizer("of", ("Ann", "Bob"), generator=generator, pooling="same")
    with pytest.raises(ConfigError, match=f"it holds a backbone with {complaint}"):
        Start(backbone=replace(backbone, **changes), path=Path("it")).give(recognizer)


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1), (3, 96, 95)])
def test_an_average_of_another_shape_is_refused(
    generator: torch.Generator, shape: tuple[int, ...]
) -> None:
    recognizer = build_recognizer("of", ("Ann", "Bob"), generator=generator)
    with pytest.raises(WeightsError, match="an average face should be"):
        recognizer.subtract(torch.zeros(shape))


def test_files_that_hold_no_backbone_are_refused(tmp_path: Path, backbone: Backbone) -> None:
    path = tmp_path / "backbone.safetensors"
    with pytest.raises(ConfigError, match="no weight file"):
        load_backbone(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"format": "other"})
    with pytest.raises(WeightsError, match="holds no backbone or recogniser"):
        load_backbone(path)
    save_backbone(path, backbone)
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, {**metadata, "family": '"resnet"'})
    with pytest.raises(WeightsError, match="unknown family 'resnet'"):
        load_backbone(path)
    save_tensors(path, tensors, {name: metadata[name] for name in ("format", "pooling")})
    with pytest.raises(WeightsError, match="unusable metadata"):
        load_backbone(path)
    del tensors["backbone.embed.bias"]
    save_tensors(path, tensors, metadata)
    with pytest.raises(WeightsError, match=r"lacks the tensor embed\.bias"):
        load_backbone(path)
