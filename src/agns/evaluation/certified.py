"""What masking costs and guarantees: accuracy without a frame, and certified accuracy."""

import time
from dataclasses import dataclass

import torch

from agns.attack.goals import taken_for
from agns.data.faces import FaceSet
from agns.defence.masking import Masked
from agns.errors import DataError
from agns.evaluation.metrics import wilson_interval
from agns.models.victim import Victim, people_known, task_of
from agns.types import Chosen, Faces, Labels, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A share of photos, with its 95 % Wilson interval."""

    share: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, right: Chosen) -> "Accuracy":
        """Of photos that are right or not."""
        count = int(right.sum())
        return cls(share=count / len(right), interval=wilson_interval(count, len(right)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingScores:
    """A masked victim on photos without a frame that it does not know."""

    photos: int
    undefended: Accuracy
    """Recognised by the victim as it is without masks."""
    accuracy: Accuracy
    """Recognised by the masked one; in verification, whose own claim is believed."""
    certified: Accuracy
    """Recognised whatever is worn within the regions."""
    regions: int
    masked_share: float
    """Of the canvas, by the largest region."""
    milliseconds: float
    """For a photo, on the processor or GPU where it ran."""
    milliseconds_undefended: float


@torch.no_grad()
def score_masking(
    masked: Masked, plain: Victim, faces: FaceSet, *, progress: Progress = silent
) -> MaskingScores:
    """Score a masked victim, with what it guarantees (`agns.defence.certificate`).

    Args:
        masked: In evaluation mode.
        plain: The victim without masks; of a gallery, with the templates that it had before.
        faces: Photos without a frame, none of which it was trained on or enrolled with.
        progress: Told of the photos.

    Raises:
        DataError: None of the photos is of somebody whom it knows.
    """
    people = people_known(masked)
    names = [faces.identities[label] for label in faces.labels.tolist()]
    known = [at for at, name in enumerate(names) if name in people]
    if not known:
        raise DataError("none of these photos is of somebody whom the recogniser knows")
    classes = torch.tensor([people.index(names[at]) for at in known])
    right: dict[str, list[Chosen]] = {"plain": [], "masked": [], "certified": []}
    seconds = {"plain": 0.0, "masked": 0.0}
    done = 0
    for some in torch.arange(len(known)).split(32):
        photos, own = faces.faces(torch.tensor(known)[some]), classes[some]
        for name, victim in (("plain", plain), ("masked", masked)):
            begun = time.perf_counter()
            right[name].append(_right(victim, photos, own))
            seconds[name] += time.perf_counter() - begun
        right["certified"].append(masked.certify(photos, own))
        done += len(some)
        progress(done, len(known), {})
    shares = {name: Accuracy.of(torch.cat(parts)) for name, parts in right.items()}
    regions = masked.get_buffer("regions")
    return MaskingScores(
        photos=len(known),
        undefended=shares["plain"],
        accuracy=shares["masked"],
        certified=shares["certified"],
        regions=len(regions),
        masked_share=float(regions.float().mean((1, 2)).max()),
        milliseconds=1000 * seconds["masked"] / len(known),
        milliseconds_undefended=1000 * seconds["plain"] / len(known),
    )


def _right(victim: Victim, faces: Faces, classes: Labels) -> Chosen:
    return taken_for(victim(faces).cpu(), classes, task_of(victim))
