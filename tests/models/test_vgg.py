"""VGG-16, whose parts fit in memory: the whole lives on the meta device."""

import copy

import numpy as np
import pytest
import torch
from scipy import signal
from torch import nn

from agns.models.initialization import draw_weights
from agns.models.layers import DrawnDropout
from agns.models.vgg import Vgg16


@pytest.fixture
def network() -> Vgg16:
    with torch.device("meta"):
        return Vgg16(dropout=0.3)


def test_the_first_block_follows_numpy(network: Vgg16, generator: torch.Generator) -> None:
    block = network.features[:5].to_empty(device="cpu").double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, 0, 0.2, generator=generator)
    x = torch.randn(1, 3, 8, 10, generator=generator, dtype=torch.float64)

    image = x[0].numpy()
    for layer in (block[0], block[2]):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        image = np.stack([
            sum(signal.correlate2d(c, k, mode="same") for c, k in zip(image, kernel, strict=True))
            for kernel in weight
        ])  # fmt: skip
        image = np.maximum(image + bias[:, None, None], 0)
    pooled = image.reshape(64, 4, 2, 5, 2).max((2, 4))
    np.testing.assert_allclose(block(x)[0].detach().numpy(), pooled, rtol=1e-10)


def test_the_blocks_are_those_of_configuration_d(network: Vgg16) -> None:
    plan = [
        layer.out_channels if isinstance(layer, nn.Conv2d) else "pool"
        for layer in network.features
        if not isinstance(layer, nn.ReLU)
    ]
    assert plan == [
        64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool",
        512, 512, 512, "pool", 512, 512, 512, "pool",
    ]  # fmt: skip


@pytest.mark.parametrize("size", [224, 96])
def test_a_descriptor_has_4096_entries_at_any_size(network: Vgg16, size: int) -> None:
    assert network(torch.empty(2, 3, size, size, device="meta")).shape == (2, 4096)


def test_the_pooling_to_7x7_changes_nothing_at_224(
    network: Vgg16, generator: torch.Generator
) -> None:
    assert network.features(torch.empty(1, 3, 224, 224, device="meta")).shape[2:] == (7, 7)
    x = torch.rand(2, 4, 7, 7, generator=generator)
    assert torch.equal(network.pool(x), x)


def test_both_descriptor_layers_drop_the_share_asked_for(network: Vgg16) -> None:
    kinds = [type(layer) for layer in network.descriptor]
    assert kinds == [nn.Linear, nn.ReLU, DrawnDropout] * 2
    assert [layer.p for layer in network.descriptor if isinstance(layer, nn.Dropout)] == [0.3, 0.3]


def small() -> Vgg16:
    return Vgg16(blocks=((8, 1), (6, 2)), width=12)


def test_norms_follow_each_layer_with_weights() -> None:
    network = small()
    network.add_norms()
    assert [type(layer) for layer in network.features] == [
        nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d,
        *[nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2, nn.MaxPool2d,
    ]  # fmt: skip
    kinds = [type(layer) for layer in network.descriptor]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, DrawnDropout] * 2


def test_folded_norms_leave_a_plain_network_that_describes_alike(
    generator: torch.Generator,
) -> None:
    network = small()
    network.add_norms()
    images = torch.rand(16, 3, 20, 20, generator=generator)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
            module.momentum = 0.7
    network.train()(images)
    expected = network.eval()(images)
    assert expected.std() > 0.01
    network.fold_norms()
    torch.testing.assert_close(network.eval()(images), expected, rtol=1e-4, atol=1e-5)
    assert network.state_dict().keys() == small().state_dict().keys()


def test_settled_norms_change_nothing_on_the_faces_they_settled_on(
    generator: torch.Generator,
) -> None:
    network = draw_weights(small(), rng=generator).eval()
    faces = torch.rand(16, 3, 20, 20, generator=generator)
    plain, expected = copy.deepcopy(network), network(faces)
    assert expected.std() > 0.01
    network.add_norms()
    with network.settling_norms():
        network(faces)
    torch.testing.assert_close(network(faces), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network(1 - faces), plain(1 - faces), rtol=1e-4, atol=1e-5)
    # In training mode too, where they take the moments of the batch, which is the same.
    dropping = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    for layer in dropping:
        layer.p = 0.0
    torch.testing.assert_close(network.train()(faces), expected, rtol=1e-4, atol=1e-5)
