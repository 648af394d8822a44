"""Networks and optimisers that go on from a checkpoint, against ones never broken off."""

from pathlib import Path

import pytest
import torch

from agns.storage import load_tensors, save_tensors
from agns.training.resume_state import pack, unpack


def train(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        inputs = torch.rand(4, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        net(inputs).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", ["adam", "sgd", "momentum"])
def test_a_resumed_optimiser_goes_on_bit_for_bit(tmp_path: Path, kind: str) -> None:
    def begin() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        net = torch.nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.fill_(0.1)
        optimizer: torch.optim.Optimizer
        if kind == "adam":
            optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.5, 0.9))
        else:
            optimizer = torch.optim.SGD(net.parameters(), 0.01, 0.9 if kind == "momentum" else 0.0)
        return net, optimizer

    whole, optimizer = begin()
    train(whole, optimizer, range(6))

    first, optimizer = begin()
    train(first, optimizer, range(3))
    save_tensors(tmp_path / "a", pack({"net": first, "optimizer": optimizer}), {})

    second, optimizer = begin()
    tensors, _ = load_tensors(tmp_path / "a")
    unpack({"net": second, "optimizer": optimizer}, tensors, tmp_path / "a")
    train(second, optimizer, range(3, 6))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
