"""What Keras files may look like, and what is refused of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agns.errors import AgnsError, ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.importing import import_weights
from agns.models.recognizer import Recognizer

h5py = pytest.importorskip("h5py")

Array = np.ndarray
Weights = dict[str, dict[str, Array]]
Port = tuple[Weights, Array, Array]
"""Weights of the port's of10, its embeddings and its logits."""


def layer(kind: str, name: str, **settings: object) -> dict[str, object]:
    return {"class_name": kind, "config": {"name": name, **settings}}


def test_keras_openface_may_be_of_the_other_form(
    keras: SimpleNamespace, original: tuple[Weights, Array], tmp_path: Path
) -> None:
    inner = [
        layer("Conv2D", "conv1", padding="same"),
        layer("BatchNormalization", "bn1", epsilon=0.001),
        layer("MaxPooling2D", "pool_3a", padding="same", strides=[1, 1]),
    ]
    config = layer("Model", "outer", layers=[layer("Model", "inner", layers=inner)])
    path = keras.write(tmp_path / "nn4.h5", keras.layer_by_layer(original[0]), config)
    backbone = import_weights(path, "openface").network
    assert isinstance(backbone, Backbone)
    assert (backbone.pooling, backbone.convention) == ("same", "tensorflow")


Damage = Callable[["h5py.Group"], None]


def take(name: str) -> Damage:
    def damage(root: "h5py.Group") -> None:
        del root[name]

    return damage


def put(name: str, content: object) -> Damage:
    def damage(root: "h5py.Group") -> None:
        del root[name]
        root[name] = content

    return damage


def claim(name: str, shape: tuple[int, ...]) -> Damage:
    def damage(root: "h5py.Group") -> None:
        del root[name]
        root.create_dataset(name, shape, "f4", chunks=True)

    return damage


CONV = "Backbone/Inception_3a/conv2d_5/kernel:0"
VARIANCE = "Backbone/Inception_3a/batch_normalization_5/moving_variance:0"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (take(CONV), "lacks Inception_3a/conv2d_5/kernel:0, which it lists"),
        (take("Head"), "lacks Head, which it lists"),
        (put(CONV, np.zeros((5, 5, 96, 128), "f4")), r"\(5, 5, 96, 128\), expected \(3, 3, 96"),
        (put(CONV, np.full((3, 3, 96, 128), np.nan, "f4")), "not finite"),
        (put(CONV, np.full((3, 3, 96, 128), 1e300)), "not finite in 32 bits"),
        (put(VARIANCE, np.full(128, -1, "f4")), "a variance below 0"),
        (put(CONV, np.zeros((3, 3, 96, 128), "i4")), "no tensor of floating-point numbers"),
        (put(CONV, h5py.ExternalLink("other.h5", "/x")), "is a link"),
        (put(CONV, h5py.SoftLink("/x")), "is a link"),
        (put("Head", np.zeros(3)), "is no group"),
        (claim(CONV, (10**6, 10**6, 96, 128)), "holds only 0"),
        (put("Head/Fully_Connected/kernel:0", np.zeros((128, 20), "f4")), r"expected \(128, 12\)"),
    ],
)
def test_what_does_not_fit_is_named(of10: Path, damage: Damage, words: str) -> None:
    with h5py.File(of10, "r+") as file:
        damage(file["model_weights"])
    with pytest.raises(WeightsError, match=words):
        import_weights(of10, "of10")


def test_a_small_file_may_not_declare_any_number_of_classes(of10: Path) -> None:
    with h5py.File(of10, "r+") as file:
        claim("Head/Logits/kernel:0", (0, 3 * 10**7))(file["model_weights"])
    with pytest.raises(WeightsError, match="tells 30000000 classes apart, and a recogniser 2 to"):
        import_weights(of10, "of")


@pytest.mark.parametrize(
    ("arch", "error", "words"),
    [
        ("of143", WeightsError, "10 classes apart, and of143 143"),
        ("vgg10", WeightsError, "37 convolutions, 37 batch norms.* not vgg10"),
        ("vgg16", WeightsError, "not vgg16: its backbone has 13 convolutions"),
        ("generator", ConfigError, "take --arch vgg16 or .* not generator"),
    ],
)
def test_another_architecture_is_refused(
    of10: Path, arch: str, error: type[AgnsError], words: str
) -> None:
    with pytest.raises(error, match=words):
        import_weights(of10, arch)


def test_a_backbone_alone_is_no_recogniser_and_has_no_names(
    keras: SimpleNamespace, port: Port, tmp_path: Path
) -> None:
    body = {name: own for name, own in port[0].items() if name not in ("Fully_Connected", "Logits")}
    path = keras.write(tmp_path / "openface.h5", keras.layer_by_layer(body))
    with pytest.raises(WeightsError, match="backbone alone is --arch openface"):
        import_weights(path, "of10")
    with pytest.raises(ConfigError, match="no classes to be named"):
        import_weights(path, "openface", ("a", "b"))


def test_another_epsilon_is_refused(keras: SimpleNamespace, port: Port, tmp_path: Path) -> None:
    norm = layer("BatchNormalization", "batch_normalization", epsilon=1e-5)
    groups = keras.nested(port[0], "Fully_Connected", "Logits")
    path = keras.write(tmp_path / "of10.h5", groups, layer("Sequential", "of", layers=[norm]))
    with pytest.raises(WeightsError, match=r"adds 1e-05 to variances, expected 0\.001"):
        import_weights(path, "of10")


def test_a_file_cut_short_or_of_another_program_is_refused(of10: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.h5"
    short.write_bytes(of10.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match="not a readable HDF5 file"):
        import_weights(short, "of10")
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(WeightsError, match="no Keras file: its root lacks layer_names"):
        import_weights(other, "of10")


def test_an_unusable_list_of_layers_is_refused(of10: Path) -> None:
    with h5py.File(of10, "r+") as file:
        file["model_weights"].attrs["layer_names"] = 3
    with pytest.raises(WeightsError, match="not a readable HDF5 file"):
        import_weights(of10, "of10")


def test_long_lists_of_names_come_in_pieces(of10: Path) -> None:
    with h5py.File(of10, "r+") as file:
        attributes = file["model_weights/Backbone"].attrs
        names = list(attributes.pop("weight_names"))
        attributes["weight_names0"], attributes["weight_names1"] = names[:100], names[100:]
    assert isinstance(import_weights(of10, "of10").network, Recognizer)


@pytest.mark.parametrize("text", ["[" * 100_000, "nothing", "[1, null]"])
def test_an_unusable_architecture_is_refused_or_passed_over(of10: Path, text: str) -> None:
    with h5py.File(of10, "r+") as file:
        file.attrs["model_config"] = text
    if text == "[1, null]":
        import_weights(of10, "of10")
        return
    with pytest.raises(WeightsError, match="unusable model_config"):
        import_weights(of10, "of10")


def test_without_h5py_the_hint_says_what_to_install(
    of10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError, match=r"pip install h5py"):
        import_weights(of10, "of10")
