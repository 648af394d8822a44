"""What a recogniser may learn from another one of the same people: how alike they look to it.

Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network" (2015). The teacher says of
each training photo, as it is, how probable everybody is; the one that learns is asked for the same,
also where the photo wears benign eyeglasses or is moved about.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.data.twins import were_seen
from agns.errors import ConfigError
from agns.models.checkpoint import weights_digest
from agns.models.record import photos_seen, recorded_crop
from agns.models.victim import Victim, people_known, task_of
from agns.training.training_data import PhotoSplit
from agns.types import Labels, Logits, Progress, silent


@dataclass(frozen=True, slots=True, eq=False)
class Teaching:
    """What a teacher says of photos."""

    name: str
    """Of the teacher's file."""

    weights: str
    """The digest of the teacher's weights."""

    seen: frozenset[str]
    """Digests of the photos that the teacher knows."""

    center_crop: int | None
    """How those photos were cut; photos that are cut otherwise have other digests."""

    logits: Float[Tensor, "photos classes"]
    """Of all photos, by the identities of the faces; of those not trained on 0."""

    def loss(self, logits: Logits, photos: Labels, *, temperature: float) -> Float[Tensor, ""]:
        """How far soft probabilities are from the teacher's (Kullback-Leibler), times T squared.

        Args:
            logits: Of the one that learns.
            photos: Whose they are, by their places.
            temperature: T, which both logits are divided by.
        """
        taught = self.logits[photos].to(logits.device)
        apart = functional.kl_div(
            (logits / temperature).log_softmax(1), (taught / temperature).log_softmax(1),
            reduction="batchmean", log_target=True,
        )  # fmt: skip
        return apart * temperature**2


@torch.no_grad()
def ask_teacher(
    teacher: Victim, name: str, faces: FaceSet, split: PhotoSplit, *, progress: Progress = silent
) -> Teaching:
    """Show the training photos to a teacher.

    Args:
        teacher: Knows the same people, in any order; in evaluation mode.
        name: Of its file.
        faces: All photos.
        split: Which of them are trained on.
        progress: Told of every batch.

    Raises:
        ConfigError: It knows other people, compares with thresholds, or has seen photos that are to
            be tested on.
    """
    if task_of(teacher) != "closed-set":
        raise ConfigError(f"a teacher tells people apart, and {name} is for {task_of(teacher)}")
    if set(people_known(teacher)) != set(faces.identities):
        raise ConfigError(f"{name} knows other people than these photos show")
    record = getattr(teacher, "record", None) or {}
    seen = photos_seen(record)
    known = int(were_seen(faces, seen)[split.test].sum())
    if known:
        raise ConfigError(
            f"{name} has seen {known} of the {len(split.test)} photos to test on: train it with "
            "the same --seed"
        )
    order = torch.tensor([teacher.identities.index(one) for one in faces.identities])
    logits = torch.zeros(len(faces), len(order))
    batches = split.training.split(32)
    for done, places in enumerate(batches, start=1):
        logits[places] = teacher(faces.faces(places)).cpu()[:, order]
        progress(done, len(batches), {})
    digest = weights_digest(teacher) if isinstance(teacher, torch.nn.Module) else ""
    return Teaching(name, digest, seen, recorded_crop(record), logits)
