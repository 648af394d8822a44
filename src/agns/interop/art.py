"""Frames as an attack of the Adversarial Robustness Toolbox (ART), and the mask for ART's own."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor

from agns.accessory.frame import silhouette
from agns.attack.agn import AGN
from agns.attack.attack import Attack
from agns.attack.library_attack import quiet_import
from agns.attack.result import AttackResult
from agns.errors import ConfigError
from agns.interop.outside_victim import OutsideVictim, wear_frames

with quiet_import("adversarial-robustness-toolbox"):
    from art.attacks import EvasionAttack
    from art.estimators.classification import PyTorchClassifier


class EyeglassesAttack(EvasionAttack):
    """Eyeglasses that one attack of agns makes, on the faces that ART's user gives.

    All photos of a class wear one frame. ART's attacks change each picture by itself; a frame
    that was found on one photo says little of others.

    Args:
        estimator: Takes 224x224 RGB faces in [0, 1], channels first, and gives logits.
        attack: How frames are made; a `FrameAttack`.
        targeted: Whether `y` says whom faces are to be taken for, not whom they show.
        seed: Of every draw.

    Raises:
        ConfigError: The estimator takes another range, or has steps before it that no gradient
            passes.
    """

    attack_params = (*EvasionAttack.attack_params, "attack", "targeted", "seed")
    _estimator_requirements = (PyTorchClassifier,)

    def __init__(
        self,
        estimator: PyTorchClassifier,
        attack: Attack | None = None,
        *,
        targeted: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(estimator=estimator)
        limits = estimator.clip_values
        if limits is not None and not (np.all(limits[0] == 0) and np.all(limits[1] == 1)):
            low, high = np.min(limits[0]), np.max(limits[1])
            raise ConfigError(
                f"the classifier's clip_values should be (0, 1), got ({low:g}, {high:g})"
            )
        if not estimator.all_framework_preprocessing:
            raise ConfigError("the classifier's preprocessing should be PyTorch's, for gradients")
        self.attack = AGN() if attack is None else attack
        if not isinstance(self.attack, Attack):
            raise ConfigError(
                f"attack should be one of agns, such as agns.AGN(), got {attack!r:.80}"
            )
        self.targeted, self.seed = targeted, seed
        self.results: Mapping[int, AttackResult] = {}
        """What the last `generate` found for each class, for `agns.evaluate` on other photos."""

    def generate(
        self,
        x: Float[np.ndarray, "batch channels height width"],
        y: Shaped[np.ndarray, "labels *classes"] | None = None,
    ) -> Float32[np.ndarray, "batch channels height width"]:
        """Put eyeglasses on faces.

        Args:
            x: Faces in [0, 1].
            y: Of each face its class, or where `targeted` whom it is to be taken for; as numbers or
                one-hot. None for what the classifier takes them for.

        Returns:
            The same faces, wearing frames.

        Raises:
            ConfigError: A class is missing or unknown, or the classifier gives no logits.
            ImageContractError: They are no canonical faces.
            AttackError: An attack cannot begin.
        """
        if y is None and self.targeted:
            raise ConfigError("a targeted attack needs y: whom each face is to be taken for")
        faces = torch.from_numpy(np.array(x, dtype=np.float32))
        victim = OutsideVictim(self._logits, faces, self.estimator.device)
        classes = victim.clean.argmax(1) if y is None else torch.from_numpy(np.asarray(y))
        if classes.ndim == 2:
            classes = classes.argmax(1) if classes.shape[1] > 1 else classes[:, 0]
        worn, self.results = wear_frames(
            self.attack, victim, faces, classes.long(), targeted=self.targeted, seed=self.seed
        )
        return worn.numpy()

    def _logits(self, faces: Tensor) -> Tensor:
        # As ART's own patches ask: with the preprocessing, and differentiably.
        logits: Tensor = self.estimator._predict_framework(faces)[0]
        return logits


def face_mask() -> Float32[np.ndarray, "1 224 224"]:
    """Where a frame is on a face, 1 on it and 0 elsewhere: the `mask` of ART's own attacks."""
    return silhouette()[None].numpy()
