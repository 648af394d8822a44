"""Counting, filling and laying out weights."""

from pathlib import Path

import pytest
import torch
from torch import nn

from agns.errors import WeightsError
from agns.models.checkpoint import count_parameters, fill, plain_state
from agns.models.layout import lay_channels_last


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def test_moving_statistics_count_and_batch_counters_do_not() -> None:
    assert count_parameters(small()) == (2 * 3 * 9 + 3) + 4 * 3


def test_filling_copies_every_tensor() -> None:
    source, network = small(), small()
    source[1].running_mean.fill_(4)
    fill(network, source.state_dict(), Path("file"))
    for name, tensor in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def test_a_missing_tensor_is_named() -> None:
    tensors = small().state_dict()
    del tensors["0.bias"]
    with pytest.raises(WeightsError, match=r"file lacks the tensor 0\.bias"):
        fill(small(), tensors, Path("file"))


def test_a_tensor_too_many_is_named() -> None:
    tensors = {**small().state_dict(), "2.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"file holds a tensor 2\.weight"):
        fill(small(), tensors, Path("file"))


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    tensors = {**small().state_dict(), "0.weight": torch.zeros(3, 2, 5, 5)}
    with pytest.raises(WeightsError, match=r"0\.weight is \(3, 2, 5, 5\), expected \(3, 2, 3, 3\)"):
        fill(small(), tensors, Path("file"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    network = nn.Linear(2, 1)
    tensors = {**network.state_dict(), "bias": torch.tensor([value])}
    with pytest.raises(WeightsError, match="it: bias holds a number that is not finite"):
        fill(network, tensors, Path("it"))


def test_a_refused_file_changes_nothing() -> None:
    network = small()
    before = network[0].bias.detach().clone()
    tensors = {**small().state_dict(), "1.weight": torch.zeros(9)}
    with pytest.raises(WeightsError):
        fill(network, tensors, Path("file"))
    assert torch.equal(network[0].bias, before)


def test_laying_out_channels_last_keeps_values() -> None:
    network = small()
    before = network[0].weight.detach().clone()
    assert lay_channels_last(network) is network
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not network[0].weight.is_contiguous()
    assert torch.equal(network[0].weight, before)


@pytest.mark.parametrize(
    "kind",
    [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2],
)
def test_numbers_with_a_point_of_any_width_are_read(kind: torch.dtype) -> None:
    network = small()
    tensors = {**network.state_dict(), "0.bias": torch.tensor([0.5, -2.0, 1.0]).to(kind)}
    fill(network, tensors, Path("file"))
    assert network[0].bias.tolist() == [0.5, -2.0, 1.0]


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.cfloat])
def test_other_types_in_the_place_of_weights_are_refused_by_name(kind: torch.dtype) -> None:
    tensors = {**small().state_dict(), "0.bias": torch.ones(3).to(kind)}
    own = str(kind).removeprefix("torch.")
    with pytest.raises(WeightsError, match=rf"file: 0\.bias is {own}, and no numbers with a point"):
        fill(small(), tensors, Path("file"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_eight_bits_with_a_point_are_checked_too(value: float) -> None:
    spoilt = torch.tensor([value, 0, 0]).to(torch.float8_e5m2)
    with pytest.raises(WeightsError, match="holds a number that is not finite"):
        fill(small(), {**small().state_dict(), "0.bias": spoilt}, Path("file"))


def test_a_number_beyond_32_bits_is_refused() -> None:
    tensors = {**small().state_dict(), "0.bias": torch.full((3,), 1e39, dtype=torch.float64)}
    with pytest.raises(WeightsError, match="holds a number that is not finite"):
        fill(small(), tensors, Path("file"))


def test_counters_stay_whole_in_whatever_type_they_come() -> None:
    network = small()
    for count in (torch.tensor(7, dtype=torch.int32), torch.tensor(7.0).half()):
        fill(network, {**small().state_dict(), "1.num_batches_tracked": count}, Path("file"))
        assert network[1].num_batches_tracked.dtype == torch.int64
        assert int(network[1].num_batches_tracked) == 7


def test_wrappers_around_a_network_and_its_parts_are_seen_through() -> None:
    network = small()
    names = list(network.state_dict())
    network[0] = torch.compile(network[0], backend="eager")
    wrapped = nn.DataParallel(network)
    assert list(plain_state(wrapped)) == names
