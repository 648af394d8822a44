"""nn4.small2: sizes on the way, and what holds for every embedding."""

import pytest
import torch

from agns.models.checkpoint import count_parameters
from agns.models.cross_channel import CrossChannelNorm
from agns.models.layers import Pooling
from agns.models.openface import OpenFace


def faces(generator: torch.Generator, count: int) -> torch.Tensor:
    return 2 * torch.rand(count, 3, 96, 96, generator=generator) - 1


@pytest.mark.parametrize("pooling", ["strided", "same"])
def test_embeddings_each_have_length_one(generator: torch.Generator, pooling: Pooling) -> None:
    embeddings = OpenFace(pooling=pooling).eval()(faces(generator, 3))
    torch.testing.assert_close(embeddings.square().sum(1), torch.ones(3))


def test_an_embedding_does_not_depend_on_the_rest_of_its_batch(
    generator: torch.Generator,
) -> None:
    network = OpenFace().eval()
    batch = faces(generator, 3)
    alone = torch.cat([network(face[None]) for face in batch])
    torch.testing.assert_close(network(batch), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["strided", "same"])
def test_the_inceptions_see_the_sizes_of_the_paper(pooling: Pooling) -> None:
    network = OpenFace(pooling=pooling).eval()
    seen: list[tuple[int, ...]] = []
    for module in network.inceptions:
        module.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    network(torch.zeros(1, 3, 96, 96))
    assert seen == [
        (256, 12, 12), (320, 12, 12), (640, 6, 6), (640, 6, 6), (1024, 3, 3), (736, 3, 3),
        (736, 3, 3),
    ]  # fmt: skip


def test_both_forms_of_pooling_share_weights_but_not_embeddings(
    generator: torch.Generator,
) -> None:
    strided, same = OpenFace(pooling="strided").eval(), OpenFace(pooling="same").eval()
    same.load_state_dict(strided.state_dict())
    batch = faces(generator, 1)
    assert (strided(batch) - same(batch)).abs().max() > 1e-3


def test_every_weight_receives_a_gradient(generator: torch.Generator) -> None:
    network = OpenFace()
    (network(faces(generator, 2)) * torch.randn(128, generator=generator)).sum().backward()
    idle = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def test_the_backbone_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        assert count_parameters(OpenFace()) == 3_743_280


def test_tensorflows_convention_normalises_over_eleven_channels(
    generator: torch.Generator,
) -> None:
    norms = [
        module
        for module in OpenFace(convention="tensorflow").modules()
        if isinstance(module, CrossChannelNorm)
    ]
    assert len(norms) == 2
    x = 30 * torch.randn(1, 16, 2, 2, generator=generator, dtype=torch.float64)
    for norm in norms:
        for channel, got in enumerate(norm(x)[0]):
            near = x[0, max(0, channel - 5) : channel + 6]
            expected = x[0, channel] / (1 + 1e-4 * near.square().sum(0)) ** 0.75
            torch.testing.assert_close(got, expected)


def test_both_conventions_share_weights_but_not_embeddings(generator: torch.Generator) -> None:
    torchs = OpenFace(pooling="same").eval()
    tensorflows = OpenFace(pooling="same", convention="tensorflow").eval()
    tensorflows.load_state_dict(torchs.state_dict())
    batch = faces(generator, 1)
    assert (torchs(batch) - tensorflows(batch)).abs().max() > 1e-3
