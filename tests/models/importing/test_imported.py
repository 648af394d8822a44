"""Placing another system's tensors: what does not fit costs no memory, what fits is whole."""

from pathlib import Path

import pytest
import torch

from agns.errors import WeightsError
from agns.models.importing.imported import name_classes, place
from agns.models.initialization import draw_weights
from agns.models.openface import OpenFace


def test_a_network_without_storage_gets_it_once_all_fits(generator: torch.Generator) -> None:
    source = draw_weights(OpenFace(), rng=generator).eval()
    tensors = {
        name: (tensor, name.upper())
        for name, tensor in source.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    with torch.device("meta"):
        network = OpenFace().eval()
    wrong = tensors | {"embed.bias": (torch.zeros(3), "EMBED.BIAS")}
    with pytest.raises(WeightsError, match=r"it: EMBED.BIAS comes to \(3,\), expected \(128,\)"):
        place(network, wrong, Path("it"))
    assert all(tensor.is_meta for tensor in network.state_dict().values())
    place(network, tensors, Path("it"))
    for name, tensor in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name
    faces = torch.rand(2, 3, 96, 96, generator=generator)
    assert torch.equal(network(faces), source(faces))


@pytest.mark.parametrize("count", [0, 1, 100_001])
def test_a_number_of_classes_that_no_recogniser_has_is_refused(count: int) -> None:
    with pytest.raises(WeightsError, match=f"tells {count} classes apart, and a recogniser 2 to"):
        name_classes("of", count, None)
