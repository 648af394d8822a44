"""Backbones in files: whole again, of the right kind, and given to recognisers."""

from pathlib import Path

import pytest
import torch

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.initialization import draw_weights
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.start import Start, load_start
from agns.storage import load_tensors, save_tensors


@pytest.fixture
def backbone(generator: torch.Generator) -> Backbone:
    made = draw_weights(Backbone("of", pooling="same"), rng=generator).eval()
    made.subtract(torch.rand(3, 1, 1, generator=generator))
    return made


def test_a_saved_backbone_comes_back_whole(tmp_path: Path, backbone: Backbone) -> None:
    path = tmp_path / "backbone.safetensors"
    backbone.record = {"training_photos": ["ab"]}
    backbone.write(path)
    loaded = Backbone.read(path)
    assert (loaded.family, loaded.pooling, loaded.convention) == ("of", "same", "torch")
    assert torch.equal(loaded.average, backbone.average)
    for name, tensor in backbone.backbone.state_dict().items():
        assert torch.equal(tensor, loaded.backbone.state_dict()[name]), name
    assert not loaded.backbone.training
    assert loaded.record["training_photos"] == ["ab"]
    assert load_start(path).seen == {"ab"}


def test_the_backbone_of_a_recognisers_file_is_its_own(
    tmp_path: Path, generator: torch.Generator
) -> None:
    path = tmp_path / "recognizer.safetensors"
    recognizer = build_recognizer("of", ("Ann", "Bob"), rng=generator)
    recognizer.write(path)
    loaded = load_start(path).network
    assert torch.equal(loaded.backbone.embed.weight, recognizer.backbone.embed.weight)
    assert loaded.average is None


def test_a_recogniser_that_starts_from_a_backbone_sees_as_it_does(
    tmp_path: Path, backbone: Backbone, generator: torch.Generator
) -> None:
    recognizer = build_recognizer("of", ("Ann", "Bob"), rng=generator, pooling="same").eval()
    head = {name: tensor.clone() for name, tensor in recognizer.head.state_dict().items()}
    Start(network=backbone, path=Path("it")).give(recognizer)
    faces = torch.rand(2, 3, 96, 96, generator=generator)
    with torch.no_grad():
        expected = recognizer.head(backbone.backbone(2 * faces - 1 - backbone.average))
        torch.testing.assert_close(recognizer(faces), expected)
    assert all(torch.equal(head[name], recognizer.head.state_dict()[name]) for name in head)
    # The average travels with it.
    path = tmp_path / "recognizer.safetensors"
    recognizer.write(path)
    with torch.no_grad():
        torch.testing.assert_close(Recognizer.read(path)(faces), expected)
    assert torch.equal(recognizer.average, backbone.average)


@pytest.fixture
def known(tmp_path: Path, generator: torch.Generator) -> Start:
    """A start from a recogniser of four identities."""
    path = tmp_path / "known.safetensors"
    names = ("Ann", "Bob", "Cyd", "Dan")
    build_recognizer("of", names, rng=generator).write(path)
    return load_start(path)


def test_a_recogniser_that_knows_all_identities_gives_them_in_their_new_order(
    known: Start, generator: torch.Generator
) -> None:
    recognizer = build_recognizer("of", ("Dan", "Bob"), rng=generator).eval()
    known.give(recognizer)
    faces = torch.rand(2, 3, 224, 224, generator=generator)
    assert isinstance(known.network, Recognizer)
    torch.testing.assert_close(recognizer(faces), known.network(faces)[:, [3, 1]])


def test_a_head_stays_where_somebody_is_new_or_its_width_is_another(
    known: Start, generator: torch.Generator
) -> None:
    stranger = build_recognizer("of", ("Dan", "Eve"), rng=generator)
    assert isinstance(known.network, Recognizer)
    known.network.identities = tuple(f"P{i}" for i in range(11))
    wider = build_recognizer("of", known.network.identities, rng=generator)
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
    recognizer = build_recognizer("of", ("Ann", "Bob"), rng=generator, pooling="same")
    for name, value in changes.items():
        setattr(backbone, name, value)
    with pytest.raises(ConfigError, match=f"it holds a backbone with {complaint}"):
        Start(network=backbone, path=Path("it")).give(recognizer)


@pytest.mark.parametrize("shape", [(3,), (1, 1, 1), (3, 96, 95)])
def test_an_average_of_another_shape_is_refused(
    generator: torch.Generator, shape: tuple[int, ...]
) -> None:
    recognizer = build_recognizer("of", ("Ann", "Bob"), rng=generator)
    with pytest.raises(WeightsError, match="an average face should be"):
        recognizer.subtract(torch.zeros(shape))


def test_files_that_hold_no_backbone_are_refused(tmp_path: Path, backbone: Backbone) -> None:
    path = tmp_path / "backbone.safetensors"
    with pytest.raises(ConfigError, match="no weight file"):
        load_start(path)
    save_tensors(path, {"a": torch.zeros(1)}, {"format": "other"})
    with pytest.raises(WeightsError, match="holds no backbone or recogniser"):
        load_start(path)
    backbone.write(path)
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, {**metadata, "family": '"resnet"'})
    with pytest.raises(WeightsError, match="unknown family 'resnet'"):
        load_start(path)
    save_tensors(path, tensors, {name: metadata[name] for name in ("format", "pooling")})
    with pytest.raises(WeightsError, match="unusable metadata"):
        load_start(path)
    del tensors["backbone.embed.bias"]
    save_tensors(path, tensors, metadata)
    with pytest.raises(WeightsError, match=r"lacks the tensor backbone\.embed\.bias"):
        load_start(path)
