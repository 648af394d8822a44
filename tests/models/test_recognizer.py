"""Recognisers: their sizes, what they take, freezing, and files."""

import copy
import inspect
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from agns.errors import ConfigError, ImageContractError, WeightsError
from agns.geometry import resize
from agns.models.checkpoint import count_parameters
from agns.models.dcgan import build_gan
from agns.models.families import FAMILIES
from agns.models.layers import Pooling
from agns.models.recognizer import RECOGNIZERS, Recognizer, build_recognizer
from agns.models.vgg import Vgg16
from agns.models.victim import class_of, freeze
from agns.storage import load_tensors, save_tensors

NAMES = ("Ann", "Bob", "Cyd")


def on_meta(arch: str, count: int) -> Recognizer:
    with torch.device("meta"):
        return Recognizer(arch, tuple(f"P{number}" for number in range(count)))


def settled(generator: torch.Generator, pooling: Pooling = "strided") -> Recognizer:
    """A small recogniser whose moving statistics are not those it was made with."""
    recognizer = build_recognizer("of", NAMES, rng=generator, pooling=pooling)
    for name, tensor in recognizer.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.2, generator=generator)
    return recognizer.eval()


@pytest.fixture(scope="module")
def made() -> Recognizer:
    """Not to be changed."""
    return settled(torch.Generator().manual_seed(0))


@pytest.fixture
def recognizer(made: Recognizer) -> Recognizer:
    return copy.deepcopy(made)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, made: Recognizer) -> Path:
    """Not to be changed."""
    path = tmp_path_factory.mktemp("written") / "victim.safetensors"
    made.write(path)
    return path


@pytest.fixture
def saved(tmp_path: Path, written: Path) -> Path:
    return Path(shutil.copy(written, tmp_path))


@pytest.mark.parametrize(
    ("arch", "count"),
    [
        ("vgg10", 134_301_514), ("vgg143", 134_846_415),
        ("of10", 3_744_958), ("of143", 3_821_215),
    ],
)  # fmt: skip
def test_the_papers_recognisers_have_their_number_of_parameters(arch: str, count: int) -> None:
    assert count_parameters(on_meta(arch, RECOGNIZERS[arch][1])) == count


@pytest.mark.parametrize(("arch", "hidden"), [("of10", 12), ("of143", 286)])
def test_an_openface_head_has_one_hidden_layer_of_tanh(arch: str, hidden: int) -> None:
    classes = RECOGNIZERS[arch][1]
    first, bend, last = on_meta(arch, classes).head
    assert isinstance(bend, nn.Tanh)
    assert (first.in_features, first.out_features) == (128, hidden)
    assert (last.in_features, last.out_features) == (hidden, classes)


@pytest.mark.parametrize(("arch", "classes"), [("vgg10", 10), ("vgg143", 143), ("vgg", 3)])
def test_a_vgg_head_is_one_layer(arch: str, classes: int) -> None:
    head = on_meta(arch, classes).head
    assert isinstance(head, nn.Linear)
    assert (head.in_features, head.out_features) == (4096, classes)


def test_the_network_sees_faces_at_its_own_size_and_range(
    recognizer: Recognizer, generator: torch.Generator
) -> None:
    seen: list[torch.Tensor] = []
    recognizer.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    faces = torch.rand(2, 3, 224, 224, generator=generator)
    recognizer(faces)
    torch.testing.assert_close(seen[0], 2 * resize(faces, (96, 96)) - 1)
    recognizer(torch.stack([torch.zeros(3, 96, 96), torch.ones(3, 96, 96)]))
    assert (seen[1].amin((1, 2, 3)).tolist(), seen[1].amax((1, 2, 3)).tolist()) == ([-1, 1],) * 2


def test_faces_already_at_the_networks_size_give_the_same_logits(
    recognizer: Recognizer, generator: torch.Generator
) -> None:
    faces = torch.rand(2, 3, 224, 224, generator=generator)
    torch.testing.assert_close(recognizer(resize(faces, (96, 96))), recognizer(faces))


@pytest.mark.parametrize(
    ("faces", "complaint"),
    [
        (torch.full((1, 3, 224, 224), 255.0), r"values in \[0, 1\]"),
        (torch.full((1, 3, 224, 224), -1.0), r"values in \[0, 1\]"),
        (torch.full((1, 3, 96, 96), torch.nan), r"values in \[0, 1\]"),
        (torch.zeros(1, 3, 160, 160), "224x224 pixels, got 160x160"),
        (torch.zeros(1, 3, 96, 224), "224x224 pixels, got 96x224"),
    ],
)
def test_faces_of_another_range_or_size_are_refused(
    recognizer: Recognizer, faces: torch.Tensor, complaint: str
) -> None:
    with pytest.raises(ImageContractError, match=complaint):
        recognizer(faces)


@pytest.mark.parametrize(
    "faces",
    [
        torch.zeros(1, 1, 224, 224),
        torch.zeros(1, 224, 224, 3),
        torch.zeros(1, 3, 224, 224, dtype=torch.uint8),
    ],
)
def test_faces_of_another_layout_are_refused(recognizer: Recognizer, faces: torch.Tensor) -> None:
    # As users call it, without the check of shapes that tests put around it.
    forward = inspect.unwrap(Recognizer.forward)
    with pytest.raises(ImageContractError, match="expected"):
        forward(recognizer, faces)


@pytest.mark.parametrize("pooling", ["strided", "same"])
def test_a_frozen_recogniser_gives_the_same_logits(
    generator: torch.Generator, pooling: Pooling
) -> None:
    recognizer = settled(generator, pooling)
    faces = torch.rand(3, 3, 96, 96, generator=generator)
    torch.testing.assert_close(freeze(recognizer)(faces), recognizer(faces), atol=1e-4, rtol=0)


def test_a_frozen_recogniser_has_no_batch_norm_left_between_convolutions(
    recognizer: Recognizer,
) -> None:
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in recognizer.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in freeze(recognizer).modules())


def test_a_frozen_recogniser_evaluates_and_passes_gradients_to_faces_alone(
    recognizer: Recognizer, generator: torch.Generator
) -> None:
    frozen = freeze(recognizer.train())
    # What stands in for a norm does the same in either mode.
    acting = [layer for layer in frozen.modules() if not isinstance(layer, nn.Identity)]
    assert not any(layer.training for layer in acting)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    faces = torch.rand(1, 3, 96, 96, generator=generator, requires_grad=True)
    (gradient,) = torch.autograd.grad(frozen(faces).sum(), faces)
    assert gradient.any()


def test_freezing_leaves_the_original_alone(recognizer: Recognizer) -> None:
    recognizer.train()
    before = {name: tensor.clone() for name, tensor in recognizer.state_dict().items()}
    frozen = freeze(recognizer)
    with torch.no_grad():
        for parameter in frozen.parameters():
            parameter.fill_(7)
    assert recognizer.training
    assert all(parameter.requires_grad for parameter in recognizer.parameters())
    assert before.keys() == recognizer.state_dict().keys()
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_vgg_head_begins_with_small_weights(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    small = replace(FAMILIES["vgg"], backbone=lambda *_: Vgg16(blocks=((2, 1),), width=400),
                    head=lambda classes: nn.Linear(400, classes))  # fmt: skip
    monkeypatch.setitem(FAMILIES, "vgg", small)
    recognizer = build_recognizer("vgg", NAMES, rng=generator)
    assert float(recognizer.head.weight.detach().std()) == pytest.approx(0.01, rel=0.1)


def test_weights_are_drawn_from_the_generator_given() -> None:
    torch.manual_seed(1)
    first = build_recognizer("of", NAMES, rng=torch.Generator().manual_seed(5))
    torch.manual_seed(2)
    second = build_recognizer("of", NAMES, rng=torch.Generator().manual_seed(5))
    other = build_recognizer("of", NAMES, rng=torch.Generator().manual_seed(6))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert not torch.equal(first.head[0].weight, other.head[0].weight)


@pytest.mark.parametrize("pooling", ["strided", "same"])
def test_a_saved_recogniser_comes_back_whole(
    tmp_path: Path, generator: torch.Generator, pooling: Pooling
) -> None:
    recognizer = settled(generator, pooling).train()
    path = tmp_path / "victim.safetensors"
    recognizer.record = {"training_photos": ["ab", "cd"], "source": "Zoë"}
    recognizer.write(path)
    loaded = Recognizer.read(path)
    assert (loaded.arch, loaded.identities, loaded.pooling) == ("of", NAMES, pooling)
    assert not loaded.training
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert loaded.record == recognizer.record
    assert (
        loaded.specification()
        == recognizer.specification()
        == {
            "arch": "of",
            "identities": list(NAMES),
            "pooling": pooling,
            "convention": "torch",
            "input": {"size": 96, "range": [-1, 1], "colour": "RGB", "layout": "NCHW"},
        }
    )


def test_half_precision_halves_the_file_and_rounds_to_11_bits(
    tmp_path: Path, recognizer: Recognizer, saved: Path
) -> None:
    half = tmp_path / "half.safetensors"
    recognizer.write(half, half=True)
    loaded = Recognizer.read(half)
    assert half.stat().st_size < 0.51 * saved.stat().st_size
    for name, tensor in recognizer.state_dict().items():
        read = loaded.state_dict()[name]
        assert read.dtype == tensor.dtype
        torch.testing.assert_close(read, tensor, rtol=2**-11, atol=2**-24)


def test_a_missing_file_is_a_config_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no weight file .*none\.safetensors"):
        Recognizer.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kept", [0, 7, 300, -1])
@pytest.mark.parametrize("before", [b"", b"\x89PNG\r\n\x1a\n"])
def test_a_file_cut_short_or_of_another_kind_is_a_weights_error_that_names_it(
    saved: Path, kept: int, before: bytes
) -> None:
    saved.write_bytes(before + saved.read_bytes()[:kept])
    with pytest.raises(WeightsError, match=r"victim\.safetensors is (a|an|not a) \w+"):
        Recognizer.read(saved)


def test_a_generator_is_not_taken_for_a_recogniser(
    tmp_path: Path, generator: torch.Generator
) -> None:
    path = tmp_path / "generator.safetensors"
    build_gan(rng=generator)[0].write(path)
    with pytest.raises(WeightsError, match=r"generator\.safetensors holds no recogniser"):
        Recognizer.read(path)


def test_a_file_that_lacks_a_tensor_names_itself_and_the_tensor(saved: Path) -> None:
    tensors, metadata = load_tensors(saved)
    del tensors["head.2.bias"]
    save_tensors(saved, tensors, metadata)
    with pytest.raises(WeightsError, match=r"victim\.safetensors lacks the tensor head\.2\.bias"):
        Recognizer.read(saved)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("arch", '"resnet"'), ("arch", '"of10"'), ("arch", "{"), ("arch", None),
        ("identities", None), ("identities", '"Ann"'), ("identities", '["Ann"]'),
        ("pooling", None),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_used_is_a_weights_error_that_names_the_file(
    saved: Path, name: str, text: str | None
) -> None:
    tensors, metadata = load_tensors(saved)
    if text is None:
        del metadata[name]
    else:
        metadata[name] = text
    save_tensors(saved, tensors, metadata)
    with pytest.raises(WeightsError, match=r"victim\.safetensors"):
        Recognizer.read(saved)


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no recogniser 'resnet'.*vgg10, vgg143, of10, of143"):
        Recognizer("resnet", NAMES)


def test_another_number_of_identities_is_refused_with_both_numbers() -> None:
    with pytest.raises(ConfigError, match="of10 tells 10 identities apart, not 3"):
        Recognizer("of10", NAMES)


@pytest.mark.parametrize("names", [(), ("Ann",)])
def test_fewer_than_two_identities_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="at least two identities"):
        Recognizer("of", names)


def test_an_identity_is_found_by_its_name(recognizer: Recognizer) -> None:
    assert [class_of(recognizer, name) for name in NAMES] == [0, 1, 2]


def test_an_unknown_identity_is_refused_with_the_known_ones(recognizer: Recognizer) -> None:
    with pytest.raises(ConfigError, match="does not know 'Dee': it knows Ann, Bob, Cyd"):
        class_of(recognizer, "Dee")
    with pytest.raises(ConfigError, match=r"does not know 'bob': did you mean Bob\?$"):
        class_of(recognizer, "bob")


def test_a_new_openface_head_can_be_sure_of_every_identity() -> None:
    names = tuple("abcdefghij")
    recognizer = build_recognizer("of10", names, rng=torch.Generator().manual_seed(0))
    last = recognizer.head[2]
    # Every corner of what the twelve tanh units can give.
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 12)
    assert torch.all(last(corners).softmax(1).amax(0) > 0.99)


COMPILED = """
import torch
from torch import nn
from agns.models.recognizer import Recognizer

for arch in ("of", "vgg"):
    with torch.device("meta"):
        recognizer = Recognizer(arch, ("Ann", "Bob"))
    recognizer.backbone, recognizer.head = nn.AdaptiveAvgPool2d(4), nn.Flatten()
    recognizer.backbone.register_parameter("scale", nn.Parameter(torch.ones(1, 1, 1, 1)))
    recognizer.subtract(torch.full((3, 1, 1), 0.5))
    faces = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    faces.requires_grad_()
    both = recognizer(faces), torch.compile(recognizer, backend="eager")(faces)
    assert torch.allclose(*both, atol=1e-5)
    gradients = [torch.autograd.grad(each.square().sum(), faces)[0] for each in both]
    assert torch.allclose(*gradients, atol=1e-5)
print("compiled")
"""


def test_resizing_and_the_way_before_the_backbone_are_compiled() -> None:
    # In a process of its own: the shapes that tests check at every call cannot be compiled.
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.stdout == "compiled\n", done.stderr


def test_a_compiled_recogniser_is_saved_like_any_other(
    tmp_path: Path, recognizer: Recognizer
) -> None:
    torch.compile(recognizer, backend="eager").write(tmp_path / "file")
    loaded = Recognizer.read(tmp_path / "file")
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_an_identity_is_known_by_either_form_of_its_name(generator: torch.Generator) -> None:
    recognizer = build_recognizer("of", ("Ann", "Jose\u0301"), rng=generator)
    assert recognizer.identities == ("Ann", "Jos\u00e9")
    assert class_of(recognizer, "Jose\u0301") == 1
