"""What a network file holds, in words: the network, its record, and a table of its layers."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from agns.accessory.frame import FRAME_SIZE
from agns.errors import WeightsError
from agns.models.backbone import Backbone, load_backbone
from agns.models.dcgan import LATENT, Discriminator, Generator, load_discriminator, load_generator
from agns.models.families import FAMILIES
from agns.models.openface import OpenFace
from agns.models.recognizer import Recognizer, load_recognizer
from agns.models.weights import count_parameters
from agns.storage import read_metadata
from agns.types import CANVAS

Network: TypeAlias = Recognizer | Backbone | Generator | Discriminator

NAMED = 24
"""Identities that are named; a file's metadata names all."""


def read_network(path: Path) -> tuple[Network, dict[str, object]]:
    """Read a network of any kind, told from its file; it comes in evaluation mode.

    Returns:
        The network, and the record of how its weights came about.

    Raises:
        ConfigError: There is no such file.
        WeightsError: The file is damaged, holds something else, or does not fit.
    """
    kind = read_metadata(path).get("format")
    if kind == "agns-backbone-1":
        backbone, content = load_backbone(path)
        own = ("family", "pooling", "convention")
        return backbone, {name: value for name, value in content.items() if name not in own}
    network: Recognizer | Generator | Discriminator
    if kind == "agns-recognizer-1":
        network, _ = load_recognizer(path)
    elif kind == "agns-generator-1":
        network = load_generator(path)
    elif kind == "agns-discriminator-1":
        network = load_discriminator(path)
    else:
        raise WeightsError(f"{path} holds no network written by agns")
    return network, dict(network.record)


def module_of(network: Network) -> nn.Module:
    """The network itself, without what a backbone's file says of it."""
    return network.network if isinstance(network, Backbone) else network


def example(network: Network) -> Tensor:
    """An input of one sample, all black or zero."""
    if isinstance(network, Recognizer):
        return torch.zeros(1, 3, CANVAS, CANVAS)
    if isinstance(network, Backbone):
        size = FAMILIES[network.family].contract.size
        return torch.zeros(1, 3, size, size)
    if isinstance(network, Generator):
        return torch.zeros(1, LATENT)
    return torch.zeros(1, 3, *FRAME_SIZE)


def specified(network: Network) -> Iterator[tuple[str, str]]:
    """What a network is, as pairs of words for a table."""
    if isinstance(network, Generator):
        yield "network", "eyeglass generator"
        yield "takes", f"latents of {LATENT} numbers in [-1, 1]"
        yield "gives", "64x176 RGB frames in [0, 1]"
    elif isinstance(network, Discriminator):
        yield "network", "eyeglass discriminator"
        yield "takes", "64x176 RGB frames in [0, 1]"
        yield "gives", "a logit each, positive for what looks real"
    else:
        yield from _specified_backbone(network)
    if isinstance(network, Recognizer):
        names = network.identities
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield "identities", plain(", ".join(names[:NAMED])) + more
    yield "parameters", f"{count_parameters(module_of(network)):,} with moving statistics"


def _specified_backbone(network: Recognizer | Backbone) -> Iterator[tuple[str, str]]:
    backbone = network.backbone if isinstance(network, Recognizer) else network.network
    openface = isinstance(backbone, OpenFace)
    name = "OpenFace's nn4.small2" if openface else "VGG-16"
    if openface:
        name += f", pooling {network.pooling}, convention {network.convention}"
    contract = FAMILIES["of" if openface else "vgg"].contract
    size, span = f"{contract.size}x{contract.size}", f"[{contract.low:g}, {contract.high:g}]"
    less = "" if network.average is None else ", less an average face"
    if isinstance(network, Recognizer):
        yield "network", f"recogniser {network.arch} on {name}"
        yield "takes", "224x224 RGB faces in [0, 1]"
        yield "brings them to", f"{size} in {span}{less}"
    else:
        yield "network", f"backbone {name}"
        yield "takes", f"{size} RGB faces in {span}{less}"


def recorded(record: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A record's short entries, as pairs of words: all but the recipe and the scores."""
    for name, value in sorted(record.items()):
        words = plain(name.replace("_", " "))
        if name in ("recipe", "scores"):
            continue
        if name == "training_photos" and isinstance(value, list):
            yield words, f"{len(value):,}, known by their digests"
        elif name == "imported" and isinstance(value, dict):
            yield words, plain(f"from {value.get('source')}, {value.get('kind')}")
        elif isinstance(value, str | int | float):
            yield words, _figure(value)


def figures(record: Mapping[str, object], name: str) -> Iterator[tuple[str, str]]:
    """What stands under `name` in a record, as pairs of words: its scores, or its recipe."""
    entries = record.get(name)
    for entry, value in entries.items() if isinstance(entries, dict) else ():
        yield plain(str(entry).replace("_", " ")), _figure(value)


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(value if isinstance(value, str) else json.dumps(value))


def plain(text: str) -> str:
    """Text of a file on one line, without what would steer a terminal."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def layer_table(network: Network, *, depth: int) -> str:
    """A table of layers, their output shapes and their parameters, as torchinfo writes it.

    Args:
        network: In evaluation mode.
        depth: Levels of nesting to show, at least 1.
    """
    import torchinfo

    statistics = torchinfo.summary(
        module_of(network),
        input_data=example(network),
        col_names=("output_size", "num_params"),
        row_settings=("var_names",),
        depth=depth,
        device="cpu",
        verbose=0,
    )
    # It writes (Units.MEGABYTES) for millions.
    return re.sub(r"\(Units\.(\w)\w*\)", r"(\1)", str(statistics))
