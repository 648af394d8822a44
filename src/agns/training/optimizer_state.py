"""An optimiser's state as tensors with names, as a checkpoint keeps it."""

from collections.abc import Mapping

import torch
from torch import Tensor

from agns.storage import under


def pack_optimizer(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Tensor]:
    """An optimiser's state as flat tensors, names beginning with `name`."""
    return {
        f"{name}.{index}.{key}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
    }


def unpack_optimizer(
    optimizer: torch.optim.Optimizer, name: str, tensors: Mapping[str, Tensor]
) -> None:
    """Put a state written by `pack_optimizer` back; hyper-parameters stay the optimiser's own."""
    parameters = [entry for group in optimizer.param_groups for entry in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in under(tensors, name).items():
        place, field = key.split(".", 1)
        parameter = parameters[int(place)]
        # Laid out in memory as the parameter is: another layout takes another path, which rounds
        # otherwise.
        kept = torch.empty_like(parameter) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(place), {})[field] = kept.detach().copy_(tensor).clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
