import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from agns.errors import ConfigError, WeightsError
from agns.models.importing.torch_script import read_torch_script
from agns.models.victim import Classifier, freeze


@pytest.fixture
def program(tmp_path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(nn.Conv2d(3, 2, 3), torch.zeros(1, 3, 5, 5))
        torch.jit.save(traced, str(tmp_path / "program.pt"))
    return tmp_path / "program.pt"


def test_a_program_runs_only_where_it_is_trusted(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = read_torch_script(program, trusted=True)
    assert network(torch.zeros(2, 3, 5, 5)).shape == (2, 2, 3, 3)
    monkeypatch.setattr("torch.jit.load", None)
    with pytest.raises(ConfigError, match="loading it runs what it says"):
        read_torch_script(program)


def test_a_program_that_could_be_trained_is_attacked_as_any_network(program: Path) -> None:
    network = read_torch_script(program, trusted=True)
    victim = freeze(Classifier(PerChannel(network), ("a", "b"), size=5))
    faces = torch.full((1, 3, 224, 224), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(victim(faces)[0, 0], faces)
    assert bool((gradient != 0).any())
    assert not any(parameter.requires_grad for parameter in victim.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())


class PerChannel(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = self.network(faces).mean((2, 3))
        return means


def test_damage_ends_in_a_sentence(program: Path) -> None:
    content = program.read_bytes()
    for length in (0, 50, len(content) - 50):
        program.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cannot be loaded as a TorchScript program"):
            read_torch_script(program, trusted=True)
