"""Single steps of training: rates along the stages, averaged weights, who wears frames."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from agns.training.material import wearing_in
from agns.training.recipe import RecognizerTraining, rate_share
from agns.training.stepping import Stepper, move_average


def test_averaging_moves_weights_and_statistics_by_what_the_decay_leaves() -> None:
    averaged, network = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        network.weight.fill_(3)
        network.running_mean.fill_(-2)
        network.num_batches_tracked.fill_(9)
    move_average(averaged, network, 0.75)
    assert averaged.weight.tolist() == [0.75 * 1 + 0.25 * 3] * 2
    assert averaged.running_mean.tolist() == [0.25 * -2] * 2
    assert averaged.num_batches_tracked == 0
    assert network.weight.tolist() == [3, 3]


def test_frames_are_worn_by_the_first_of_the_joint_batch() -> None:
    joint = torch.arange(10)
    assert wearing_in(joint, 0.5, rank=0, processes=1) == 5
    assert [wearing_in(joint, 0.5, rank=rank, processes=2) for rank in range(2)] == [3, 2]
    assert [wearing_in(joint, 0.1, rank=rank, processes=10) for rank in (0, 1)] == [1, 0]


def test_the_rate_rises_anew_and_half_as_high_when_faces_grow() -> None:
    config = RecognizerTraining(arch="vgg", epochs=6, sizes=(32, 32, 64), warm_up=0.25, rate=0.8)
    assert config.stages == (0, 4)
    stepper = Stepper(
        nn.Sequential(nn.Flatten(), nn.Linear(3, 1)), Fabric(accelerator="cpu"),
        name="network", rate=config.rate, warm_up=config.warm_up, weight_decay=0,
        averaging=0.5, steps=4, epochs=config.epochs,
        stages=config.stages, slowing=config.slowing,
    )  # fmt: skip
    rates = []
    for step in range(6 * 4):
        stepper.take(step, stepper.forward(torch.ones(1, 3, 1, 1)).sum())
        rates.append(stepper.optimizer.param_groups[0]["lr"])
    first = [0.8 * rate_share(step, 16, 0.25) for step in range(16)]
    second = [0.4 * rate_share(step, 8, 0.25) for step in range(8)]
    assert rates == pytest.approx(first + second)
