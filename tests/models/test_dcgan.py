"""The generator and discriminator, their layers against NumPy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from agns.accessory.frame import frame_mask
from agns.errors import ConfigError, WeightsError
from agns.models.checkpoint import count_parameters
from agns.models.dcgan import (
    Discriminator,
    Generator,
    MinibatchDiscrimination,
    build_gan,
    sample_latents,
)
from agns.storage import load_tensors, save_tensors


def stretch(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Weights and statistics large enough for every layer to matter."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.3, generator=generator)
            elif tensor.ndim == 1 and name.endswith("weight"):
                tensor.uniform_(0.5, 1.5, generator=generator)
    return network


def transpose_convolve(x: np.ndarray, layer: nn.ConvTranspose2d) -> np.ndarray:
    """Each input pixel stamps its kernel on a canvas twice the size."""
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    batch, _, height, width = x.shape
    canvas = np.zeros((batch, weight.shape[1], 2 * height + 4, 2 * width + 4))
    for row in range(height):
        for column in range(width):
            stamp = np.einsum("bc,cokl->bokl", x[:, :, row, column], weight)
            canvas[:, :, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5] += stamp
    return canvas[:, :, 2 : 2 + 2 * height, 2 : 2 + 2 * width] + bias[:, None, None]


def halve(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """A 5x5 convolution that moves by 2."""
    seen = sliding_window_view(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), (5, 5), axis=(2, 3))
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return np.einsum("bchwkl,ockl->bohw", seen[:, :, ::2, ::2], weight) + bias[:, None, None]


def normalise(x: np.ndarray, layer: nn.BatchNorm1d | nn.BatchNorm2d) -> np.ndarray:
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, variance, weight, bias = (
        tensor.detach().numpy().reshape(shape)
        for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return weight * (x - mean) / np.sqrt(variance + layer.eps) + bias


def test_a_transposed_convolution_doubles_as_numpy_does(generator: torch.Generator) -> None:
    layer = Generator().draw[6].double()
    x = torch.randn(2, 40, 4, 5, generator=generator, dtype=torch.float64)
    drawn = layer(x).detach().numpy()
    assert drawn.shape == (2, 20, 8, 10)
    np.testing.assert_allclose(drawn, transpose_convolve(x.numpy(), layer), atol=1e-12)


@pytest.mark.parametrize("size", [(8, 22), (5, 7)])
def test_a_convolution_halves_as_numpy_does(
    generator: torch.Generator, size: tuple[int, int]
) -> None:
    layer = Discriminator().see[0].double()
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    np.testing.assert_allclose(layer(x).detach().numpy(), halve(x.numpy(), layer), atol=1e-12)


def test_batch_norm_uses_the_batch_while_training_and_its_statistics_afterwards(
    generator: torch.Generator,
) -> None:
    layer = stretch(Generator().draw[1].double(), generator)
    x = 3 + 2 * torch.randn(4, 80, 3, 5, generator=generator, dtype=torch.float64)
    np.testing.assert_allclose(
        layer.eval()(x).detach().numpy(), normalise(x.numpy(), layer), atol=1e-12
    )
    mean = x.numpy().mean((0, 2, 3), keepdims=True)
    variance = x.numpy().var((0, 2, 3), keepdims=True)
    weight, bias = (t.detach().numpy()[:, None, None] for t in (layer.weight, layer.bias))
    expected = weight * (x.numpy() - mean) / np.sqrt(variance + layer.eps) + bias
    np.testing.assert_allclose(layer.train()(x).detach().numpy(), expected, atol=1e-12)


def test_the_generator_draws_what_its_layers_in_numpy_draw(generator: torch.Generator) -> None:
    network = stretch(build_gan(rng=generator)[0], generator).double().eval()
    latents = sample_latents(2, rng=generator).double()
    dense, norm, _ = network.project
    x = latents.numpy() @ dense.weight.detach().numpy().T + dense.bias.detach().numpy()
    x = np.maximum(normalise(x, norm), 0).reshape(2, 160, 4, 11)
    for index in (0, 3, 6):
        x = normalise(transpose_convolve(x, network.draw[index]), network.draw[index + 1])
        x = np.maximum(x, 0)
    expected = (np.tanh(transpose_convolve(x, network.draw[9])) + 1) / 2 * frame_mask().numpy()
    drawn = network(latents).detach().numpy()
    assert drawn.shape == (2, 3, 64, 176)
    assert drawn.std() > 0.05
    np.testing.assert_allclose(drawn, expected, atol=1e-10)


def test_the_discriminator_judges_as_its_layers_in_numpy_do(generator: torch.Generator) -> None:
    network = stretch(build_gan(rng=generator)[1], generator).double().eval()
    frames = torch.rand(3, 3, 64, 176, generator=generator, dtype=torch.float64)

    def leak(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.2 * x)

    x = leak(halve(2 * frames.numpy() - 1, network.see[0]))
    for index in (2, 5, 8):
        x = leak(normalise(halve(x, network.see[index]), network.see[index + 1]))
    features = x.reshape(3, 7040)
    project = network.compare.project
    points = features @ project.weight.detach().numpy().T + project.bias.detach().numpy()
    points = points.reshape(3, 160, 3)
    closeness = np.zeros((3, 160))
    for sample in range(3):
        for other in {0, 1, 2} - {sample}:
            closeness[sample] += np.exp(-np.abs(points[sample] - points[other]).sum(1))
    joined = np.concatenate([features, closeness], 1)
    expected = joined @ network.judge.weight.detach().numpy()[0] + network.judge.bias.item()
    np.testing.assert_allclose(network(frames).detach().numpy(), expected, atol=1e-9)


def test_minibatch_discrimination_leaves_each_sample_itself_out(
    generator: torch.Generator,
) -> None:
    layer = MinibatchDiscrimination(5, 4, 2)
    alone = torch.rand(1, 5, generator=generator)
    torch.testing.assert_close(layer(alone), torch.cat([alone, torch.zeros(1, 4)], 1))
    twins = alone.expand(3, 5)
    torch.testing.assert_close(layer(twins), torch.cat([twins, torch.full((3, 4), 2.0)], 1))


def test_minibatch_discrimination_has_the_right_gradient(generator: torch.Generator) -> None:
    layer = MinibatchDiscrimination(4, 3, 2).double()
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(layer, x.requires_grad_())


def test_judging_among_companions_is_judging_one_batch_with_them(
    generator: torch.Generator,
) -> None:
    network = stretch(build_gan(rng=generator)[1], generator).eval()
    # Near each other, so that closeness has a say.
    frames = 0.5 + 0.02 * torch.rand(3, 3, 64, 176, generator=generator)
    companions = 0.5 + 0.02 * torch.rand(4, 3, 64, 176, generator=generator)
    with torch.no_grad():
        together = network.judge_among(frames, companions)
        one_by_one = torch.stack(
            [network(torch.cat([frame[None], companions]))[0] for frame in frames]
        )
        in_a_crowd = network(torch.cat([frames, companions]))[:3]
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=0)
    assert (in_a_crowd - one_by_one).abs().min() > 1e-3


def test_frames_lie_between_0_and_1(generator: torch.Generator) -> None:
    network = build_gan(rng=generator)[0]
    with torch.no_grad():
        network.draw[9].weight.mul_(1000)
        frames = network(sample_latents(4, rng=generator))
    assert frames.min() == 0
    assert frames.max() == 1


def test_both_networks_have_the_papers_number_of_parameters() -> None:
    with torch.device("meta"):
        assert count_parameters(Generator()) == 633_403
        assert count_parameters(Discriminator()) == 3_809_801


def test_latents_are_uniform_between_minus_1_and_1(generator: torch.Generator) -> None:
    latents = sample_latents(4000, rng=generator)
    assert latents.shape == (4000, 25)
    shares = np.histogram(latents.numpy(), bins=10, range=(-1, 1))[0] / latents.numel()
    np.testing.assert_allclose(shares, 0.1, atol=0.005)


def test_building_draws_all_weights_from_the_generator_given() -> None:
    torch.manual_seed(1)
    first = build_gan(rng=torch.Generator().manual_seed(5))
    torch.manual_seed(2)
    second = build_gan(rng=torch.Generator().manual_seed(5))
    for one, other in zip(first, second, strict=True):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
    assert first[0].project[0].weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_saved_networks_come_back_in_evaluation_mode(
    tmp_path: Path, generator: torch.Generator
) -> None:
    networks = build_gan(rng=generator)
    for network in networks:
        network.record = {"source": "drawn"}
        network.write(tmp_path / "weights.safetensors")
        loaded = type(network).read(tmp_path / "weights.safetensors")
        assert not loaded.training
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_saved_generator_carries_its_contract(tmp_path: Path) -> None:
    network = Generator()
    network.record = {"source": "drawn"}
    network.write(tmp_path / "weights.safetensors")
    metadata = load_tensors(tmp_path / "weights.safetensors")[1]
    assert json.loads(metadata["latent"]) == {"length": 25, "distribution": "U[-1, 1]"}
    assert json.loads(metadata["frames"])["range"] == [0, 1]
    assert json.loads(metadata["source"]) == "drawn"


def test_a_generator_is_not_taken_for_a_discriminator(tmp_path: Path) -> None:
    Generator().write(tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match="holds no discriminator"):
        Discriminator.read(tmp_path / "weights.safetensors")


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no weight file"):
        Generator.read(tmp_path / "weights.safetensors")


def test_a_discriminators_last_slope_lies_in_its_file(
    tmp_path: Path, generator: torch.Generator
) -> None:
    network = Discriminator(last_slope=0).eval()
    frames = torch.rand(2, 3, 64, 176, generator=generator)
    path = tmp_path / "d.safetensors"
    network.write(path)
    again = Discriminator.read(path)
    assert again.last_slope == 0
    with torch.no_grad():
        assert torch.equal(again(frames), network(frames))
        assert again.see(frames).min() == 0
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, {name: metadata[name] for name in metadata if name != "last_slope"})
    assert Discriminator.read(path).last_slope == 0.2
    save_tensors(path, tensors, {**metadata, "last_slope": "steep"})
    with pytest.raises(WeightsError, match="unusable metadata"):
        Discriminator.read(path)
