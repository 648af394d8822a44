"""An optimiser's state as tensors with names, as a checkpoint keeps it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from agns.errors import WeightsError
from agns.models.checkpoint import as_type
from agns.storage import under


def pack_optimizer(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Tensor]:
    """An optimiser's state as flat tensors, names beginning with `name`."""
    return {
        f"{name}.{index}.{key}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, name: str, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Put a state written by `pack_optimizer` back; hyper-parameters stay the optimiser's own.

    Args:
        optimizer: Takes it.
        name: As `pack_optimizer` was given it.
        tensors: All of a checkpoint.
        path: Its file.

    Raises:
        WeightsError: The state is of other parameters, or no numbers that are finite.
    """
    parameters = [entry for group in optimizer.param_groups for entry in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    most = len(parameters)
    for key, tensor in under(tensors, name).items():
        place, _, field = key.partition(".")
        parameter = parameters[int(place)] if place.isdecimal() and int(place) < most else None
        if parameter is None or tensor.shape not in (parameter.shape, ()):
            raise WeightsError(f"{path} holds {name}.{key}, which is of another optimiser")
        tensor = as_type(tensor, parameter.dtype, f"{path}: {name}.{key}")
        # Laid out in memory as the parameter is: another layout takes another path, which rounds
        # otherwise.
        kept = torch.empty_like(parameter) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(place), {})[field] = kept.detach().copy_(tensor).clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
