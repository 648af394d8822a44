"""Generator and discriminator of the AGN port, in TensorFlow's checkpoint format.

The port (PhilK-7/agns-port) keeps them as `gweights.index` and `dweights.index`, each beside a
file `.data-00000-of-00001`; of late it saves its discriminator as a folder, with the same pair in
`variables`. Layers with weights are numbered: `layer_with_weights-0/kernel`. TensorFlow itself
reads them.

Its networks are Keras's: pictures are flattened with their channels last, padding is "same", and
the discriminator counts each sample's nearness to itself, which adds one to each of the 160
distances and goes into our last bias. It ends in a sigmoid, ours before it. The generator was
trained on latents from N(0, 1), and draws from our U[-1, 1] what lies nearer to its mean.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from agns.errors import WeightsError
from agns.models.dcgan import Discriminator, Generator
from agns.models.importing.imported import GAN, Imported, layers_of, place
from agns.models.importing.keras_layers import PARTS, Layer, Weight, channels_first, describe, fit

KIND = "TensorFlow checkpoint"
ARCHS = GAN

MAGIC = bytes.fromhex("57fb808b247547db")
"""How an index ends, as all sorted tables do that LevelDB's format is used for."""

NUMBERED = "layer_with_weights-"

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def recognises(path: Path) -> bool:
    """Whether it is a checkpoint's index, or a folder that a model was saved to."""
    index = _find_index(path)
    if not index.is_file() or index.stat().st_size < len(MAGIC):
        return False
    with index.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC


def read(path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
    """Build a generator or a discriminator from a checkpoint: a file `.index`, or a folder.

    Raises:
        WeightsError: TensorFlow is not installed, or the checkpoint is damaged or another network.
    """
    drawing = arch == "generator"
    network = (Generator if drawing else Discriminator)(convention="tensorflow")
    modules, layers = layers_of(network), _list_layers(path)
    first = "fully connected layer" if drawing else "convolution"
    if len(layers) != len(modules) or layers[0].kind != first:
        raise WeightsError(
            f"{path} holds {describe(layers)}, which is not the {arch}: it has {len(modules)} "
            f"layers with weights, the first of them a {first}"
        )
    order = channels_first(160, 4, 11)
    outputs = {"project.0": order, "project.1": order}
    judged = torch.cat([order, torch.arange(7040, 7040 + 160)])
    inputs = {"compare.project": order, "judge": judged}
    # The order of our modules is that of the port's layers.
    places = dict(zip(modules, layers, strict=True))
    place(network, fit(network, places, path, inputs=inputs, outputs=outputs), path)
    if isinstance(network, Discriminator):
        with torch.no_grad():
            network.judge.bias.add_(network.judge.weight[:, 7040:].sum(1))
    return Imported(network=network.eval(), kind=KIND)


def _find_index(path: Path) -> Path:
    """The index of a checkpoint that is named by one of its files, or by a folder."""
    if path.is_dir():
        alone = sorted(path.glob("*.index"))
        return alone[0] if len(alone) == 1 else path / "variables" / "variables.index"
    prefix, data, _ = path.name.rpartition(".data-")
    if data:
        return path.with_name(f"{prefix}.index")
    # TensorFlow itself names a checkpoint by what its files' names begin with.
    return path if path.is_file() else path.with_name(f"{path.name}.index")


def _list_layers(path: Path) -> list[Layer]:
    """The layers with weights, in the order of their numbers."""
    try:
        import tensorflow as tf
    except ImportError as error:
        raise WeightsError(
            f"{path} is a TensorFlow checkpoint, which needs TensorFlow: pip install tensorflow"
        ) from error
    index = _find_index(path)
    # Its reader passes on what its C++ raises: an index beyond its end, a key that is not there.
    failures = (tf.errors.OpError, ValueError, RuntimeError, LookupError)
    try:
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        shapes: Mapping[str, Sequence[int]] = reader.get_variable_to_shape_map()
        types = reader.get_variable_to_dtype_map()
    except failures as error:
        raise WeightsError(f"{path} is not a readable checkpoint: {_first_line(error)}") from error

    def reading(key: str) -> np.ndarray:
        try:
            return np.asarray(reader.get_tensor(key))
        except failures as error:
            raise WeightsError(f"{path}: {key} cannot be read: {_first_line(error)}") from error

    layers: dict[int, dict[str, Weight]] = {}
    spare: list[Weight] = []
    for key in sorted(shapes):
        name, found, rest = key.partition(VALUE)
        numbered = name.removeprefix(NUMBERED)
        number, _, inner = numbered.partition("/")
        part = inner.rpartition("/")[2]
        if not found or rest or not types[key].is_floating:
            continue
        weight = Weight(name=name, shape=tuple(shapes[key]), read=functools.partial(reading, key))
        if numbered != name and number.isdecimal() and part in PARTS:
            layers.setdefault(int(number), {})[part] = weight
        elif name.startswith("variables/"):
            spare.append(weight)
    # A saved folder does not name the layer within the mini-batch discrimination.
    if len(spare) == 2 and 7 not in layers:
        layers[7] = {"kernel" if len(weight.shape) == 2 else "bias": weight for weight in spare}
    return [Layer(name=f"{NUMBERED}{number}", weights=layers[number]) for number in sorted(layers)]


def _first_line(error: Exception) -> str:
    return str(error).strip("'\" \n").split("\n")[0]
