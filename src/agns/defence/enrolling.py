"""People of a gallery, enrolled anew with photos as a masked gallery sees them."""

import copy

import torch
from torch import Tensor, nn

from agns.data.faces import FaceSet
from agns.defence.filling import fill
from agns.defence.masking import ENROLLED_MASKED, Masking
from agns.errors import ConfigError
from agns.models.gallery import Gallery
from agns.models.record import photos_enrolled
from agns.types import Progress, silent


class _Filled(nn.Module):
    """What an embedder does to faces first, after a region of them was filled."""

    def __init__(self, masking: Masking, preprocessing: nn.Module) -> None:
        super().__init__()
        self.filling, self.preprocessing = masking.filling, preprocessing
        self.register_buffer("region", masking.regions()[0], persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        prepared: Tensor = self.preprocessing(
            fill(faces, self.get_buffer("region").to(faces.device), self.filling)
        )
        return prepared


def enrol_masked(
    gallery: Gallery, faces: FaceSet, masking: Masking, *, progress: Progress = silent
) -> Gallery:
    """The same people with templates of masked photos, and thresholds of masked comparisons.

    It is to be masked itself: `masking.around` what comes back.

    Args:
        gallery: Its people are enrolled anew with the same photos.
        faces: Holds these photos and, where there is a threshold, other people's.
        masking: Of one region.
        progress: Told of the batches of other people's photos.

    Raises:
        ConfigError: Photos that somebody is enrolled with are not there.
        DataError: There are too few comparisons for the gallery's false-accept rate.
    """
    embedder = copy.copy(gallery.embedder)
    inner = embedder.preprocessing
    embedder._modules = {**embedder._modules, "preprocessing": _Filled(masking, inner)}
    known = photos_enrolled(gallery.record)
    there = torch.tensor([digest in known for digest in faces.digests], dtype=torch.bool)
    enrolled = _of_people(faces.subset(there.nonzero()[:, 0]))
    if lacking := sorted(set(gallery.identities) - set(enrolled.identities)):
        raise ConfigError(
            f"to enrol people anew, masked, takes the photos that they are enrolled with: those of "
            f"{lacking[0]} are not among these faces"
        )
    threshold = None if gallery.task == "closed-set" else gallery.threshold
    made = Gallery(embedder, enrolled, rule=gallery.rule, task=gallery.task, threshold=threshold)
    if gallery.points:
        names = [faces.identities[label] for label in faces.labels.tolist()]
        others = [at for at, name in enumerate(names) if name not in gallery.identities]
        at = next(
            (one.false_accept_rate for one in gallery.points if one.threshold == gallery.threshold),
            gallery.points[0].false_accept_rate,
        )
        made = made.calibrate(
            _of_people(faces.subset(torch.tensor(others, dtype=torch.int64))),
            rates=[one.false_accept_rate for one in gallery.points],
            at=at,
            templates=max(1, round(len(enrolled) / len(gallery.identities))),
            task=gallery.task,
            progress=progress,
        )
    made.record = {**gallery.record, **made.record, ENROLLED_MASKED: True}
    # Faces come to it masked: its own embedder knows nothing of that.
    made.embedder = gallery.embedder
    return made.eval()


def _of_people(faces: FaceSet) -> FaceSet:
    """The same photos, with the identities alone that have any."""
    labels = faces.labels.unique()
    return FaceSet(
        pixels=faces.pixels,
        labels=torch.searchsorted(labels, faces.labels),
        identities=tuple(faces.identities[label] for label in labels.tolist()),
        photos=faces.photos,
        digests=faces.digests,
    )
