"""torchvision's state dicts, against VGG-16 in NumPy; narrowed, for the whole takes 553 MB."""

import dataclasses
import functools
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor, nn

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.families import FAMILIES
from agns.models.importing import import_weights, torchvision
from agns.models.importing.state_dicts import read_state
from agns.models.vgg import Vgg16

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
POOLED_AFTER = (2, 7, 14, 21, 28)
WIDE = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
NARROW = (4, 4, 6, 6, 8, 8, 8, 5, 5, 5, 3, 3, 3)
DESCRIPTOR = 16

Array = NDArray[np.float64]


def published_shapes(
    widths: tuple[int, ...], descriptor: int, classes: int
) -> dict[str, list[int]]:
    """torchvision's names, each with its tensor's shape."""
    shapes: dict[str, list[int]] = {}
    for index, inputs, out in zip(CONVOLUTIONS, (3, *widths), widths, strict=False):
        shapes[f"features.{index}.weight"] = [out, inputs, 3, 3]
        shapes[f"features.{index}.bias"] = [out]
    outs, flat = {0: descriptor, 3: descriptor, 6: classes}, widths[-1] * 49
    for index, out in outs.items():
        inputs = descriptor if index else flat
        shapes[f"classifier.{index}.weight"] = [out, inputs]
        shapes[f"classifier.{index}.bias"] = [out]
    return shapes


class NarrowVgg(Vgg16):
    def __init__(self) -> None:
        super().__init__(blocks=((4, 2), (6, 2), (8, 3), (5, 3), (3, 3)), width=DESCRIPTOR)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agns.models.families.Vgg16", NarrowVgg)
    head = dataclasses.replace(FAMILIES["vgg"], head=lambda count: nn.Linear(DESCRIPTOR, count))
    monkeypatch.setitem(FAMILIES, "vgg", head)


State = dict[str, Tensor]


@pytest.fixture
def state(generator: torch.Generator) -> State:
    return {
        name: torch.randn(shape, generator=generator)
        * (0.1 if len(shape) == 1 else (2 / np.prod(shape[1:])) ** 0.5)
        for name, shape in published_shapes(NARROW, DESCRIPTOR, 7).items()
    }


def describe(state: State, photo: Array) -> Array:
    """The descriptor of a photo (3, 224, 224), RGB in [0, 1]."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = (photo - mean[:, None, None]) / deviation[:, None, None]
    for index in CONVOLUTIONS:
        kernel, bias = (state[f"features.{index}.{kind}"].numpy() for kind in ("weight", "bias"))
        seen = sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
        x = np.maximum(np.tensordot(kernel, seen, ((1, 2, 3), (0, 3, 4))) + bias[:, None, None], 0)
        if index in POOLED_AFTER:
            channels, rows, columns = x.shape
            x = x.reshape(channels, rows // 2, 2, columns // 2, 2).max((2, 4))
    x = x.reshape(-1)
    for index in (0, 3):
        weight, bias = (state[f"classifier.{index}.{kind}"].numpy() for kind in ("weight", "bias"))
        x = np.maximum(weight @ x + bias, 0)
    return np.asarray(x)


save_zip, save_safetensors = torch.save, safetensors.torch.save_file
save_legacy = functools.partial(torch.save, _use_new_zipfile_serialization=False)
Save = Callable[[object, Path], None]


@pytest.fixture
def file(tmp_path: Path, state: State) -> Path:
    save_zip(state, tmp_path / "file")
    return tmp_path / "file"


@pytest.fixture
def photo() -> Array:
    return np.random.Generator(np.random.PCG64(0)).random((3, 224, 224)).astype(np.float32)


def test_the_names_and_shapes_are_those_that_torchvision_publishes() -> None:
    with torch.device("meta"):
        own = {name: list(tensor.shape) for name, tensor in Vgg16().state_dict().items()}
    published = published_shapes(WIDE, 4096, 1000)
    assert sum(int(np.prod(shape)) for shape in published.values()) == 138_357_544
    for name, shape in published.items():
        layer, _, kind = name.rpartition(".")
        if layer != "classifier.6":
            assert own.pop(f"{torchvision.LAYERS.get(layer, layer)}.{kind}") == shape, name
    assert own == {}


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
def test_the_recogniser_is_that_of_numpy(
    tmp_path: Path, state: State, photo: Array, save: Save
) -> None:
    save(state, tmp_path / "file")
    recognizer = import_weights(tmp_path / "file", "vgg", list("abcdefg")).network
    assert recognizer.identities == tuple("abcdefg")
    descriptor = describe(state, photo)
    logits = state["classifier.6.weight"].numpy() @ descriptor + state["classifier.6.bias"].numpy()
    with torch.no_grad():
        own = recognizer(torch.from_numpy(photo[None]))
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(own[0], logits, atol=1e-4)


def test_the_backbone_is_that_of_numpy_also_once_saved(
    file: Path, tmp_path: Path, state: State, photo: Array
) -> None:
    import_weights(file, "vgg16").save(tmp_path / "backbone.safetensors", "file")
    backbone = Backbone.read(tmp_path / "backbone.safetensors")
    about = backbone.record
    assert about["imported"] == {"source": "file", "kind": torchvision.KIND}
    assert backbone.average is not None
    with torch.no_grad():
        own = backbone.backbone(torch.from_numpy(photo[None]) - backbone.average)
    np.testing.assert_allclose(own[0], describe(state, photo), atol=1e-4)


def test_what_training_scripts_wrap_around_a_state_dict_is_taken_off(
    file: Path, tmp_path: Path, state: State
) -> None:
    wrapped = {
        "epoch": 3,
        "state_dict": {f"module.{name}": nn.Parameter(state[name]) for name in state},
    }
    save_zip(wrapped, tmp_path / "wrapped")
    networks = [import_weights(path, "vgg16").network for path in (file, tmp_path / "wrapped")]
    plain, unwrapped = (each.backbone for each in networks)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(unwrapped.state_dict()[name], tensor), name


def named(state: State, rename: Callable[[str], str]) -> State:
    return {rename(name): tensor for name, tensor in state.items()}


def within(name: str, wrapper: str) -> str:
    return name.replace(".", f".{wrapper}.", 1)


OPTIMISER = {"state": {0: {"exp_avg": torch.ones(2), "step": torch.ones(())}}, "param_groups": []}
HABITS: dict[str, Callable[[State], object]] = {
    "DataParallel within": lambda state: named(state, lambda name: within(name, "module")),
    "compiled": lambda state: named(state, "_orig_mod.{}".format),
    "both": lambda state: named(state, "module._orig_mod.{}".format),
    "FSDP": lambda state: named(
        state, lambda name: "_fsdp_wrapped_module." + within(name, "_checkpoint_wrapped_module")
    ),
    "SWA": lambda state: {"n_averaged": torch.tensor(4), **named(state, "module.{}".format)},
    "Lightning": lambda state: {
        "epoch": 3, "global_step": 9, "pytorch-lightning_version": "2.4.0", "loops": {"fit": {}},
        "state_dict": {**named(state, "model.{}".format), "loss.weight": torch.ones(7)},
        "optimizer_states": [OPTIMISER],
    },
    "a name of their own": lambda state: {"net": named(state, "net.backbone.{}".format)},
    "model": lambda state: {"model": state, "optimizer": OPTIMISER},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": np.float64(0.5)},
    "EMA": lambda state: {"ema": named(state, "module.{}".format), "best": np.float32(0.9)},
    "DeepSpeed": lambda state: {"module": state, "optimizer": None, "ds_config": {"a": 1}},
    "a pair": lambda state: (state, OPTIMISER),
    "NumPy's draws": lambda state: {"model": state, "rng": np.zeros(4, np.uint32)},
    "NumPy's arrays": lambda state: {name: tensor.numpy() for name, tensor in state.items()},
    "counted": lambda state: {**state, "step": torch.tensor(3)},
    "parts": lambda state: {
        part: {
            name.removeprefix(f"{part}."): tensor
            for name, tensor in state.items() if name.startswith(part)
        }
        for part in ("features", "classifier")
    },
}  # fmt: skip


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_however_a_script_saves_a_network_it_is_read(
    tmp_path: Path, state: State, habit: str, save: Save
) -> None:
    save(HABITS[habit](state), tmp_path / "file")
    read = read_state(tmp_path / "file", "features.", torchvision.OWN)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())


def test_wrappers_are_taken_off_in_safetensors_too(tmp_path: Path, state: State) -> None:
    save_safetensors(named(state, "_orig_mod.net.{}".format), tmp_path / "file")
    assert read_state(tmp_path / "file", "features.", torchvision.OWN).keys() == state.keys()


@pytest.mark.parametrize(
    ("wrap", "sentence"),
    [
        (lambda state: {"model": state, "ema": dict(state)}, "2 networks, under model and ema: "),
        (lambda state: {**state, **named(state, "m.{}".format)}, "2 networks, under no name and m"),
        (
            lambda state: {**state, "module.features.0.bias": state["features.0.bias"]},
            r"features\.0\.bias twice, as features\.0\.bias and module\.features\.0\.bias",
        ),
        (
            lambda state: {"model": {**state, "attention.weight": torch.ones(2)}},
            r"holds model\.attention\.weight, which the network does not have",
        ),
        (lambda state: {"_flat_param": torch.ones(9)}, "flat parts of FSDP"),
        (lambda state: {"epoch": 3}, "it holds no tensors"),
    ],
)
def test_what_is_ambiguous_or_no_such_network_is_refused(
    tmp_path: Path, state: State, wrap: Callable[[State], object], sentence: str
) -> None:
    save_zip(wrap(state), tmp_path / "file")
    with pytest.raises(WeightsError, match=sentence):
        import_weights(tmp_path / "file", "vgg16")


def test_a_container_within_itself_ends(tmp_path: Path, state: State) -> None:
    around: dict[str, object] = {"model": state}
    around["self"] = around
    save_zip(around, tmp_path / "file")
    assert read_state(tmp_path / "file", "features.", torchvision.OWN).keys() == state.keys()


@pytest.mark.parametrize("kind", ["O", "V8", "U4"])
def test_of_numpy_only_plain_numbers_are_taken(tmp_path: Path, state: State, kind: str) -> None:
    save_zip({**state, "more": np.zeros(2, kind)}, tmp_path / "file")
    with pytest.raises(WeightsError, match="cannot be read as a state dict"):
        import_weights(tmp_path / "file", "vgg16")


@pytest.mark.parametrize(
    "scalar", [np.str_("x"), np.complex64(3), np.datetime64("2020-01-01")], ids=["U", "c", "M"]
)
def test_numpys_scalars_beside_weights_are_harmless(
    tmp_path: Path, state: State, scalar: object
) -> None:
    save_zip({"state_dict": state, "when": scalar}, tmp_path / "file")
    assert read_state(tmp_path / "file", "features.", torchvision.OWN).keys() == state.keys()


def test_classes_without_names_are_numbered(file: Path) -> None:
    recognizer = import_weights(file, "vgg").network
    assert recognizer.identities[:2] == ("class_0000", "class_0001")


def test_half_precision_is_widened(tmp_path: Path, state: State) -> None:
    save_safetensors({name: state[name].half() for name in state}, tmp_path / "file")
    backbone = import_weights(tmp_path / "file", "vgg16").network
    bias = backbone.backbone.get_parameter("features.2.bias")
    assert torch.equal(bias.detach(), state["features.2.bias"].half().float())


WHOLE, ENDLESS = torch.zeros(4, 3, 3, 3).int(), torch.zeros(1).expand(10**6, 10**6)


@pytest.mark.parametrize(
    ("name", "tensor", "sentence"),
    [
        ("features.5.bias", None, r"lacks what becomes backbone\.features\.5\.bias \(6,\)"),
        ("features.0.weight", None, r"becomes backbone\.features\.0\.weight \(4, 3, 3, 3\)"),
        ("features.1.weight", torch.zeros(4), r"holds features\.1\.weight, which the network"),
        ("classifier.0.weight", torch.zeros(2, 3), r"comes to \(2, 3\), expected \(16, 147\)"),
        ("features.0.weight", WHOLE, r"features\.0\.weight is int32"),
        ("features.2.bias", torch.tensor(torch.inf), r"\.2\.bias holds a number that is"),
        ("classifier.0.weight", ENDLESS, r"is \(1000000, 1000000\), larger than its storage"),
        ("features.0.bias", [1, 2], r"'features\.0\.bias' is a list, not a tensor"),
        ("features.0.bias", torch.zeros(4).to_sparse(), r"\.0\.bias is float32, torch.sp"),
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_named(
    tmp_path: Path, state: State, name: str, tensor: Tensor, sentence: str
) -> None:
    spoilt = {key: value for key, value in {**state, name: tensor}.items() if value is not None}
    save_zip(spoilt, tmp_path / "file")
    with pytest.raises(WeightsError, match=sentence):
        import_weights(tmp_path / "file", "vgg16")


class Malice(str):
    """Names a folder, and makes it when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self),)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_a_file_that_asks_for_a_function_is_refused_before_the_call(
    tmp_path: Path, state: State, save: Save
) -> None:
    for more, name in ((Malice(tmp_path / "made"), "posix.mkdir"), (nn.ReLU(), "torch.nn.modules")):
        save({**state, "more": more}, tmp_path / "file")
        with pytest.raises(WeightsError, match=f"it asks for {name}.*, and only tensors are read$"):
            import_weights(tmp_path / "file", "vgg16")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("save", [save_zip, save_legacy, save_safetensors])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_refused_in_one_sentence(
    tmp_path: Path, state: State, save: Save, share: float
) -> None:
    save(state, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "file").write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="file ") as caught:
        import_weights(tmp_path / "file", "vgg16")
    assert "\n" not in str(caught.value)


def test_a_storage_that_claims_to_be_larger_than_the_file_is_refused(
    tmp_path: Path, state: State
) -> None:
    claimed = struct.pack("<H", 1337)
    save_legacy({**state, "more": torch.zeros(1337)}, tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    before, after = b"M" + claimed + b"N", b"J" + struct.pack("<i", 2**31 - 1) + b"N"
    assert content.count(before) == 1
    (tmp_path / "file").write_bytes(content.replace(before, after))
    with pytest.raises(WeightsError, match="it is damaged or cut short"):
        import_weights(tmp_path / "file", "vgg16")


def test_a_compressed_archive_is_refused(tmp_path: Path, file: Path) -> None:
    # The names stay legible where only the rest is compressed.
    packed = tmp_path / "packed"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(packed, "w") as target:
        for entry in source.infolist():
            plain = entry.filename.endswith("data.pkl")
            kind = zipfile.ZIP_STORED if plain else zipfile.ZIP_DEFLATED
            target.writestr(entry.filename, source.read(entry), kind)
    with pytest.raises(WeightsError, match="is a compressed archive"):
        import_weights(packed, "vgg16")


def test_other_files_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("features.0.weight")
    for path in (tmp_path, tmp_path / "words"):
        assert not torchvision.recognises(path)


def test_of_another_network_it_is_told_what_its_tensors_are_called(tmp_path: Path) -> None:
    save_zip({"layer.weight": torch.zeros(2)}, tmp_path / "file")
    with pytest.raises(WeightsError, match=r"called features\.0\.weight .*holds layer\.weight"):
        import_weights(tmp_path / "file", "vgg16")


@pytest.mark.parametrize(
    ("arch", "names", "sentence"),
    [
        ("of10", None, "take --arch vgg16 or vgg or vgg10 or vgg143, not of10"),
        ("vgg16", ["a"], "vgg16 has no classes to be named"),
        ("vgg", ["a"], "the source has 7 classes, and 1 names were given"),
    ],
)
def test_misuse_is_told(file: Path, arch: str, names: list[str] | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        import_weights(file, arch, names)


def test_another_number_of_classes_than_the_architecture_has_is_refused(
    file: Path, tmp_path: Path, state: State
) -> None:
    with pytest.raises(WeightsError, match="the source tells 7 classes apart, and vgg10 10"):
        import_weights(file, "vgg10")
    del state["classifier.6.bias"]
    save_zip(state, tmp_path / "headless")
    with pytest.raises(WeightsError, match=r"lacks classifier\.6\.bias, and with it the classes"):
        import_weights(tmp_path / "headless", "vgg")
