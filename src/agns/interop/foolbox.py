"""Frames as an attack of foolbox."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

from agns.attack.agn import AGN
from agns.attack.attack import Attack
from agns.attack.library_attack import quiet_import
from agns.attack.result import AttackResult
from agns.errors import ConfigError
from agns.interop.outside_victim import OutsideVictim, wear_frames

with quiet_import("foolbox"):
    import eagerpy as ep
    from foolbox.attacks.base import FlexibleDistanceMinimizationAttack, get_criterion
    from foolbox.criteria import Criterion, Misclassification, TargetedMisclassification
    from foolbox.distances import Distance
    from foolbox.models import Model

_Inputs = TypeVar("_Inputs")
"""Foolbox hands tensors of several libraries over, wrapped or plain."""


class EyeglassesAttack(FlexibleDistanceMinimizationAttack):
    """Eyeglasses that one attack of agns makes, on the faces that foolbox's user gives.

    All photos of a class, or of a target, wear one frame. A frame is not held to a distance: call
    with `epsilons=None`, unless a `distance` is given, to which what is found is then clipped.

    Args:
        attack: How frames are made; a `FrameAttack`.
        seed: Of every draw.
        distance: In which `epsilons` are measured.
    """

    def __init__(
        self, attack: Attack | None = None, *, seed: int = 0, distance: Distance | None = None
    ) -> None:
        super().__init__(distance=distance)
        self.attack, self.seed = AGN() if attack is None else attack, seed
        self.results: Mapping[int, AttackResult] = {}
        """What the last call found for each class, for `agns.evaluate` on other photos."""

    def run(
        self,
        model: Model,
        inputs: _Inputs,
        criterion: Criterion | Tensor,
        *,
        early_stop: float | None = None,
    ) -> _Inputs:
        """Put eyeglasses on faces; foolbox calls it.

        Args:
            model: Takes 224x224 RGB faces in [0, 1], channels first, and gives logits.
            inputs: Faces in [0, 1].
            criterion: `Misclassification`, `TargetedMisclassification`, or labels.
            early_stop: Of no use here: each attack knows when it is done.

        Returns:
            The same faces, wearing frames.

        Raises:
            ConfigError: The model takes another range or gives no logits, the faces are no PyTorch
                tensors, or the criterion is another.
            ImageContractError: They are no canonical faces.
            AttackError: An attack cannot begin.
        """
        faces, restore = ep.astensor_(inputs)
        if not isinstance(faces, ep.PyTorchTensor):
            raise ConfigError(f"faces should be a PyTorch tensor, got {type(inputs).__name__}")
        if tuple(model.bounds) != (0, 1):
            raise ConfigError(
                f"the model's bounds should be (0, 1), got {tuple(model.bounds)}: "
                "take model.transform_bounds((0, 1))"
            )
        wanted = get_criterion(criterion)
        if isinstance(wanted, TargetedMisclassification):
            classes = wanted.target_classes
        elif isinstance(wanted, Misclassification):
            classes = wanted.labels
        else:
            raise ConfigError(
                "the criterion should be Misclassification or TargetedMisclassification, got "
                f"{wanted!r}"
            )
        own: Tensor = faces.raw
        victim = OutsideVictim(model, own.cpu(), own.device)
        worn, self.results = wear_frames(
            self.attack, victim, own.cpu(), torch.as_tensor(classes.raw).cpu().long(),
            targeted=isinstance(wanted, TargetedMisclassification), seed=self.seed,
        )  # fmt: skip
        found: _Inputs = restore(ep.astensor(worn.to(own.device)))
        return found
