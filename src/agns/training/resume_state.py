"""Networks and optimisers as the named tensors that a training goes on from."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from agns.errors import WeightsError
from agns.models.checkpoint import as_type, fill
from agns.storage import under

Parts = Mapping[str, nn.Module | torch.optim.Optimizer]
"""What a checkpoint holds, by the names that its tensors' names begin with."""


def pack(parts: Parts) -> dict[str, Tensor]:
    """The states of networks and optimisers as flat tensors."""
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            tensors |= {f"{name}.{key}": tensor for key, tensor in part.state_dict().items()}
            continue
        for index, state in part.state_dict()["state"].items():
            tensors |= {
                f"{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()
            }
    return tensors


def unpack(parts: Parts, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put states written by `pack` back; hyper-parameters stay the optimisers' own.

    Args:
        parts: Take them.
        tensors: All of a checkpoint.
        path: Its file.

    Raises:
        WeightsError: They are of another network or optimiser, or hold numbers that are not finite.
    """
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            fill(part, under(tensors, name), path)
        else:
            _unpack_optimizer(part, name, tensors, path)


def _unpack_optimizer(
    optimizer: torch.optim.Optimizer, name: str, tensors: Mapping[str, Tensor], path: Path
) -> None:
    parameters = [entry for group in optimizer.param_groups for entry in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in under(tensors, name).items():
        place, _, field = key.partition(".")
        known = place.isdecimal() and int(place) < len(parameters)
        parameter = parameters[int(place)] if known else None
        if parameter is None or tensor.shape not in (parameter.shape, ()):
            raise WeightsError(f"{path} holds {name}.{key}, which is of another optimiser")
        tensor = as_type(tensor, parameter.dtype, f"{path}: {name}.{key}")
        # Laid out in memory as the parameter is: another layout takes another path, which rounds
        # otherwise.
        kept = torch.empty_like(parameter) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(place), {})[field] = kept.detach().copy_(tensor).clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
