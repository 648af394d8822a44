"""What other libraries call a model as a victim, and frames for the photos they attack together."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Int64
from torch import Tensor

from agns.accessory.placement import FIXED
from agns.attack.attack import Attack
from agns.attack.goals import Dodge, Impersonate
from agns.attack.result import AttackResult
from agns.errors import ConfigError, ImageContractError
from agns.evaluation.sanity import are_probabilities
from agns.images import check_images
from agns.types import CANVAS, Faces, Logits


class OutsideVictim:
    """Another library's model as a `Victim`; its classes are named "0", "1", ...

    Args:
        ask: Faces to logits, on the model's own device; differentiable where an attack follows
            gradients.
        faces: Canonical faces that the model is asked of first.
        device: Where it takes them.

    Raises:
        ConfigError: It gives probabilities, or something else than logits for each face.
        ImageContractError: They are no canonical faces.
    """

    def __init__(
        self, ask: Callable[[Tensor], Tensor], faces: Tensor, device: torch.device
    ) -> None:
        check_images(faces, size=(CANVAS, CANVAS))
        if len(faces) == 0:
            raise ImageContractError("an attack needs at least one face")
        self._ask, self._device = ask, device
        with torch.no_grad():
            self.clean: Logits = torch.cat([self(some) for some in faces.split(64)])
        if self.clean.ndim != 2 or self.clean.shape[1] < 2:
            raise ConfigError(
                f"the model should give a logit for each class, got {tuple(self.clean.shape)}"
            )
        if are_probabilities(self.clean):
            raise ConfigError("the model gives probabilities: leave its softmax out, for logits")
        self.identities = tuple(map(str, range(self.clean.shape[1])))

    def __call__(self, faces: Faces) -> Logits:
        """Recognise canonical faces in [0, 1]."""
        return self._ask(faces.to(self._device)).float().to(faces.device)


def wear_frames(
    attack: Attack,
    victim: OutsideVictim,
    faces: Faces,
    classes: Int64[Tensor, " labels"],
    *,
    targeted: bool,
    seed: int,
) -> tuple[Faces, Mapping[int, AttackResult]]:
    """Make a frame for all photos that are of one class, or go for one, and put it on them.

    Args:
        attack: How frames are made.
        victim: Who is attacked.
        faces: The photos.
        classes: Of each photo, whom it shows; where `targeted`, whom it is to be taken for.
        targeted: Whether to impersonate, not to dodge.
        seed: Of every frame's draws.

    Returns:
        Faces that wear frames, and the attack's result for each class.

    Raises:
        ConfigError: There are not as many classes as photos, or the victim has no such class.
        AttackError: An attack cannot begin.
    """
    if classes.shape != (len(faces),):
        raise ConfigError(
            f"expected a class for each of {len(faces)} faces, got {tuple(classes.shape)}"
        )
    worn, results = faces.clone(), {}
    for own in classes.unique().tolist():
        photos = (classes == own).nonzero()[:, 0]
        goal = Impersonate(target=own) if targeted else Dodge(subject=own)
        results[own] = attack.run(victim, faces[photos], goal, seed=seed)
        worn[photos] = FIXED.wear(faces, results[own].frames[:1], photos)
    return worn, results
