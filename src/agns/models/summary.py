"""Networks in words and figures: all that agns builds, and the layers of one."""

import re
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from agns.accessory.frame import FRAME_SIZE
from agns.models.backbone import Backbone
from agns.models.checkpoint import Stored, count_parameters, read_network
from agns.models.dcgan import LATENT, Discriminator, Generator
from agns.models.recognizer import RECOGNIZERS, Recognizer
from agns.types import CANVAS


class NetworkFigures(TypedDict):
    """One network; `input_size` is (height, width) in pixels, or a latent's length."""

    name: str
    parameters: int
    input_size: list[int]
    input_range: list[float]
    classes: int | None


def list_networks() -> list[NetworkFigures]:
    """Build every network without storage for its weights, and count.

    Parameters include moving statistics. The range is what the network itself takes; public
    images are always in [0, 1].
    """
    rows: list[NetworkFigures] = []

    def add(
        name: str, network: Stored, size: list[int], span: list[float], classes: int | None
    ) -> None:
        rows.append(
            {
                "name": name,
                "parameters": count_parameters(network),
                "input_size": size,
                "input_range": span,
                "classes": classes,
            }
        )

    with torch.device("meta"):
        for name, (_, classes) in RECOGNIZERS.items():
            network = Recognizer(name, tuple(map(str, range(classes))))
            size = network.contract.size
            add(name, network, [size, size], list(network.value_range), classes)
        add("generator", Generator(), [LATENT], [-1.0, 1.0], None)
        add("discriminator", Discriminator(), list(FRAME_SIZE), [-1.0, 1.0], None)
    return rows


def read_any(path: Path) -> Stored:
    """Read a network of any kind, told from its file; as `read_network`."""
    kinds: tuple[type[Stored], ...] = (Recognizer, Backbone, Generator, Discriminator)
    return read_network(path, *kinds)


def example(network: Stored) -> Tensor:
    """An input of one sample, all black or zero, at the network's own size."""
    if isinstance(network, Backbone):
        side = CANVAS if isinstance(network, Recognizer) else network.contract.size
        return torch.zeros(1, 3, side, side)
    shape = (LATENT,) if isinstance(network, Generator) else (3, *FRAME_SIZE)
    return torch.zeros(1, *shape)


def layer_table(network: Stored, *, depth: int) -> str:
    """A table of layers, their output shapes and their parameters, as torchinfo writes it.

    Args:
        network: In evaluation mode.
        depth: Levels of nesting to show, at least 1.
    """
    import torchinfo

    statistics = torchinfo.summary(
        network,
        input_data=example(network),
        col_names=("output_size", "num_params"),
        row_settings=("var_names",),
        depth=depth,
        device="cpu",
        verbose=0,
    )
    # It writes (Units.MEGABYTES) for millions.
    return re.sub(r"\(Units\.(\w)\w*\)", r"(\1)", str(statistics))
