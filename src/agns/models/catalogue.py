"""Every network that agns builds, in figures."""

from typing import TypedDict

import torch

from agns.accessory.frame import FRAME_SIZE
from agns.models.dcgan import LATENT, Discriminator, Generator
from agns.models.recognizer import RECOGNIZERS, Recognizer
from agns.models.weights import count_parameters


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
    with torch.device("meta"):
        for name, (_, classes) in RECOGNIZERS.items():
            recognizer = Recognizer(name, tuple(map(str, range(classes))))
            contract = recognizer.contract
            rows.append(
                {
                    "name": name,
                    "parameters": count_parameters(recognizer),
                    "input_size": [contract.size, contract.size],
                    "input_range": [contract.low, contract.high],
                    "classes": classes,
                }
            )
        for name, network, size in (
            ("generator", Generator(), [LATENT]),
            ("discriminator", Discriminator(), list(FRAME_SIZE)),
        ):
            rows.append(
                {
                    "name": name,
                    "parameters": count_parameters(network),
                    "input_size": size,
                    "input_range": [-1.0, 1.0],
                    "classes": None,
                }
            )
    return rows
