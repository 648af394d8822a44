"""The layers against NumPy and SciPy, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal
from torch import nn

from agns.models.cross_channel import CrossChannelNorm
from agns.models.layers import (
    DrawnDropout,
    Inception,
    L2Pool,
    PooledBranch,
    Pooling,
    SameConv2d,
    SameConvTranspose2d,
    conv_block,
    draw_dropout_from,
    halving_pool,
)


def convolve(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    rows, columns = layer.padding
    padded = np.pad(x, ((0, 0), (0, 0), (rows, rows), (columns, columns)))
    full = np.stack([
        np.stack([
            sum(signal.correlate2d(image[c], kernel[c], mode="valid") for c in range(len(image)))
            for kernel in weight
        ])
        for image in padded
    ])  # fmt: skip
    return full[..., :: layer.stride[0], :: layer.stride[1]] + bias[:, None, None]


def run_block(x: np.ndarray, block: nn.Sequential) -> np.ndarray:
    """Convolution, batch norm by moving statistics, ReLU."""
    norm = block[1]
    mean, variance, weight, bias = (
        tensor.detach().numpy()[:, None, None]
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    scaled = (convolve(x, block[0]) - mean) / np.sqrt(variance + norm.eps)
    return np.maximum(weight * scaled + bias, 0)


def windows(x: np.ndarray, *, stride: int, padding: int, fill: float) -> np.ndarray:
    """(batch, channels, rows, columns, 9): what a 3x3 pooling sees."""
    padded = np.pad(
        x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill
    )
    seen = sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
    return seen.reshape(*seen.shape[:4], 9)


def randomise(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Give every parameter and moving statistic a value of its own."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype) / 2
                tensor.copy_(drawn.abs() + 0.5 if name.endswith("running_var") else drawn)
    return network


@pytest.mark.parametrize("beta", [0.75, 0.4])
def test_cross_channel_norm_follows_the_formula(generator: torch.Generator, beta: float) -> None:
    x = 20 * torch.randn(2, 7, 3, 4, generator=generator, dtype=torch.float64)
    normalised = CrossChannelNorm(size=5, alpha=0.3, beta=beta)(x).numpy()
    for image, result in zip(x.numpy(), normalised, strict=True):
        for channel in range(7):
            near = image[max(0, channel - 2) : channel + 3]
            expected = image[channel] / (1 + 0.3 / 5 * (near**2).sum(0)) ** beta
            np.testing.assert_allclose(result[channel], expected, rtol=1e-12)


def test_cross_channel_norm_agrees_with_torch(generator: torch.Generator) -> None:
    x = 50 * torch.randn(2, 16, 5, 5, generator=generator)
    expected = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)(x)
    torch.testing.assert_close(CrossChannelNorm()(x), expected)


@pytest.mark.parametrize("beta", [0.75, 0.4])
def test_cross_channel_norm_has_the_right_gradient(generator: torch.Generator, beta: float) -> None:
    x = 3 * torch.randn(1, 6, 2, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(CrossChannelNorm(5, 0.5, beta), x.requires_grad_())


@pytest.mark.parametrize(("stride", "padding"), [(3, 0), (1, 1), (2, 1)])
def test_l2_pool_is_the_root_of_the_sum_of_squares(
    generator: torch.Generator, stride: int, padding: int
) -> None:
    x = torch.randn(2, 3, 12, 11, generator=generator, dtype=torch.float64)
    seen = windows(x.numpy(), stride=stride, padding=padding, fill=0)
    pooled = L2Pool(stride, padding)(x).numpy()
    np.testing.assert_allclose(pooled, np.sqrt((seen**2).sum(-1)), rtol=1e-9)


def test_l2_pool_has_the_right_gradient(generator: torch.Generator) -> None:
    x = torch.randn(1, 2, 6, 6, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(L2Pool(3), x.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [0.0, 1e-5, 300.0])
def test_l2_pool_has_a_finite_gradient_on_what_its_precision_can_hold(
    value: float, dtype: torch.dtype
) -> None:
    x = torch.full((1, 1, 6, 6), value, dtype=dtype, requires_grad=True)
    pooled = L2Pool(3)(x)
    (gradient,) = torch.autograd.grad(pooled.sum(), x)
    assert pooled.dtype == dtype
    assert gradient.isfinite().all()
    torch.testing.assert_close(
        pooled.float(), torch.full((1, 1, 2, 2), 3 * value), rtol=1e-2, atol=2e-6
    )


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 2, 1), (5, 2, 2)])
def test_conv_block_convolves_normalises_and_rectifies(
    generator: torch.Generator, kernel: int, stride: int, padding: int
) -> None:
    block = randomise(conv_block(3, 4, kernel, stride=stride, padding=padding).double(), generator)
    x = torch.randn(2, 3, 9, 8, generator=generator, dtype=torch.float64)
    np.testing.assert_allclose(
        block.eval()(x).detach().numpy(), run_block(x.numpy(), block), atol=1e-12
    )


def test_conv_block_normalises_by_its_batch_while_training(generator: torch.Generator) -> None:
    block = randomise(conv_block(3, 4, 3, padding=1).double(), generator).train()
    x = torch.randn(5, 3, 6, 6, generator=generator, dtype=torch.float64)
    convolved = convolve(x.numpy(), block[0])
    before = block[1].running_var.numpy().copy()
    mean, variance = convolved.mean((0, 2, 3)), convolved.var((0, 2, 3))
    weight, bias = block[1].weight.detach().numpy(), block[1].bias.detach().numpy()
    scaled = (convolved - mean[:, None, None]) / np.sqrt(variance[:, None, None] + block[1].eps)
    expected = np.maximum(weight[:, None, None] * scaled + bias[:, None, None], 0)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=1e-12)
    count = 5 * 6 * 6
    moved = 0.9 * before + 0.1 * variance * count / (count - 1)
    np.testing.assert_allclose(block[1].running_var.numpy(), moved, rtol=1e-12)


def test_strided_pooling_is_padded_back_with_the_odd_zero_after(
    generator: torch.Generator,
) -> None:
    x = 1 + torch.rand(1, 2, 12, 12, generator=generator)
    padded = PooledBranch(nn.MaxPool2d(3, 2), nn.Identity())(x, (12, 12))
    expected = np.zeros((1, 2, 12, 12), np.float32)
    expected[..., 3:8, 3:8] = windows(x.numpy(), stride=2, padding=0, fill=0).max(-1)
    np.testing.assert_array_equal(padded.numpy(), expected)


@pytest.mark.parametrize("pooling", ["strided", "same"])
@pytest.mark.parametrize("pool", ["max", "l2"])
@pytest.mark.parametrize(("size", "stride"), [(12, 1), (6, 2)])
def test_inception_joins_3x3_5x5_pooling_and_1x1_in_this_order(
    generator: torch.Generator, pooling: Pooling, pool: str, size: int, stride: int
) -> None:
    # A plain 1x1 branch moves by 1, so a striding module has none.
    module = Inception(
        3, reduce3=2, out3=4, reduce5=2, out5=3, pool=pool, pool_out=2,
        out1=5 if stride == 1 else 0, stride=stride, pooling=pooling,
    )  # fmt: skip
    randomise(module.double(), generator).eval()
    x = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
    array = x.numpy()
    out = size // stride

    step = stride if pooling == "same" else {"max": 2, "l2": 3}[pool]
    padding = 1 if pooling == "same" else 0
    if pool == "max":
        pooled = windows(array, stride=step, padding=padding, fill=-np.inf).max(-1)
    else:
        pooled = np.sqrt((windows(array, stride=step, padding=padding, fill=0) ** 2).sum(-1))
    projected = run_block(pooled, module.pooled.projection)
    before = (out - projected.shape[2]) // 2
    after = out - projected.shape[2] - before
    branches = [
        run_block(run_block(array, module.branch3[0]), module.branch3[1]),
        run_block(run_block(array, module.branch5[0]), module.branch5[1]),
        np.pad(projected, ((0, 0), (0, 0), (before, after), (before, after))),
    ]
    if stride == 1:
        branches.append(run_block(array, module.branch1))

    np.testing.assert_allclose(
        module(x).detach().numpy(), np.concatenate(branches, 1), rtol=1e-7, atol=1e-9
    )


def test_inception_can_do_without_5x5_and_1x1_branches(generator: torch.Generator) -> None:
    module = Inception(
        4, reduce3=2, out3=3, reduce5=0, out5=0, pool="max", pool_out=0, out1=0, stride=2
    )
    x = torch.rand(2, 4, 6, 6, generator=generator)
    joined = module.eval()(x)
    assert joined.shape == (2, 7, 3, 3)
    assert torch.equal(joined[:, 3:, :2, :2], nn.functional.max_pool2d(x, 3, 2))


def pad_after(x: np.ndarray, *, kernel: int, stride: int, fill: float) -> np.ndarray:
    """TensorFlow's "same": the fewest pixels that ceil(size / stride) windows reach to."""
    edges = [(0, 0), (0, 0)]
    for size in x.shape[2:]:
        total = max((int(np.ceil(size / stride)) - 1) * stride + kernel - size, 0)
        edges.append((total // 2, total - total // 2))
    return np.pad(x, edges, constant_values=fill)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(12, 9), (5, 8)])
def test_same_convolution_pads_the_odd_pixel_after(
    generator: torch.Generator, kernel: int, size: tuple[int, int]
) -> None:
    layer = SameConv2d(2, 3, kernel, 2).double()
    x = torch.randn(2, 2, *size, generator=generator, dtype=torch.float64)
    expected = convolve(pad_after(x.numpy(), kernel=kernel, stride=2, fill=0), layer)
    assert expected.shape[2:] == (-(-size[0] // 2), -(-size[1] // 2))
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(4, 11), (3, 2)])
def test_same_transposed_convolution_is_the_gradient_of_same_convolution(
    generator: torch.Generator, size: tuple[int, int]
) -> None:
    layer = randomise(SameConvTranspose2d(3, 2).double(), generator)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64).numpy()
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    rows, columns = size
    # Every input pixel adds its kernel to the picture, which lies one pixel into the sum.
    spread = np.zeros((2, 2, 2 * rows + 3, 2 * columns + 3))
    for row in range(rows):
        for column in range(columns):
            patch = np.einsum("bi,iokl->bokl", x[:, :, row, column], weight)
            spread[:, :, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5] += patch
    expected = spread[:, :, 1:-2, 1:-2] + bias[:, None, None]
    drawn = layer(torch.from_numpy(x)).detach().numpy()
    assert drawn.shape == (2, 2, 2 * rows, 2 * columns)
    np.testing.assert_allclose(drawn, expected, atol=1e-12)


def test_halving_pool_of_tensorflow_begins_at_the_first_pixel(generator: torch.Generator) -> None:
    x = -1 - torch.rand(2, 3, 12, 6, generator=generator, dtype=torch.float64)
    padded = pad_after(x.numpy(), kernel=3, stride=2, fill=-np.inf)
    expected = windows(padded, stride=2, padding=0, fill=0).max(-1)
    np.testing.assert_array_equal(halving_pool("tensorflow")(x).numpy(), expected)
    expected = windows(x.numpy(), stride=2, padding=1, fill=-np.inf).max(-1)
    np.testing.assert_array_equal(halving_pool("torch")(x).numpy(), expected)


def test_l2_pool_of_tensorflow_counts_no_zeros_around_the_picture(
    generator: torch.Generator,
) -> None:
    x = torch.randn(2, 3, 6, 5, generator=generator, dtype=torch.float64)
    seen = windows(x.numpy(), stride=1, padding=1, fill=np.nan)
    expected = np.sqrt(9 * np.nanmean(seen**2, -1))
    np.testing.assert_allclose(L2Pool(1, 1, "tensorflow")(x).numpy(), expected, rtol=1e-9)


def test_conv_block_of_tensorflow_adds_more_to_variances_and_pads_after(
    generator: torch.Generator,
) -> None:
    block = conv_block(3, 4, 5, stride=2, padding=2, convention="tensorflow").double()
    randomise(block, generator).eval()
    assert block[1].eps == 1e-3
    x = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64)
    expected = run_block(pad_after(x.numpy(), kernel=5, stride=2, fill=0), block)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=1e-12)


def test_dropout_draws_its_masks_from_the_generator_it_is_given() -> None:
    layer = DrawnDropout(0.25)
    x = torch.ones(40, 50)

    def dropped(seed: int) -> torch.Tensor:
        draw_dropout_from(nn.Sequential(layer), torch.Generator().manual_seed(seed))
        return layer(x)

    first = dropped(1)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((first == 0).float().mean()) == pytest.approx(0.25, abs=0.04)
    torch.manual_seed(9)
    assert torch.equal(dropped(1), first)
    assert not torch.equal(dropped(2), first)
    assert not torch.equal(layer(x), dropped(2)), "the next mask is another"
    assert torch.equal(layer.eval()(x), x)
