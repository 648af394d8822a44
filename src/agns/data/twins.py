"""One photograph saved anew: copies whose bytes differ, known by how they look.

Within one identity, two pictures of which one is the other saved as a smaller or lighter JPEG, in
another format, or brightened, are twins: whoever was trained on one has seen the other. A picture
with the same digest as another is its twin too.
"""

from collections.abc import Container, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor


@runtime_checkable
class Pictures(Protocol):
    """Labelled faces, as `agns.data.faces.FaceSet` holds them."""

    @property
    def pixels(self) -> UInt8[Tensor, "photos 3 height width"]:
        """The pictures as bytes."""

    @property
    def labels(self) -> Int64[Tensor, " photos"]:
        """For each photo, its place in `identities`."""

    @property
    def identities(self) -> tuple[str, ...]:
        """Names, in the order of the classes."""

    @property
    def photos(self) -> tuple[str, ...]:
        """A name for each."""

    @property
    def digests(self) -> tuple[str, ...]:
        """What each is known by."""

    def __len__(self) -> int: ...

    def places_of(self, identity: str) -> Int64[Tensor, " chosen"]:
        """The places of one identity's photos."""

    def subset(self, indices: Int64[Tensor, " chosen"]) -> "Pictures":
        """The photos at these places alone."""


NEAR_COPY = 0.99
"""Correlation from which two photos of one identity are taken for one picture saved twice.

Of 1,287 copies of faces in Labeled Faces in the Wild, saved anew as smaller or lighter JPEG files,
at least 99 % lie above. Of 4,174 of its photos of 143 people nine pairs lie above, each of one
picture, and none of two people; two pairs below, from 0.974 on, may be one picture aligned twice.
Of 1,280 drawn photos none lie above.
"""

LEAST_CONTRAST = 1.0
"""Deviation of the fields, in grey values of 255, below which a picture looks like nothing."""

_FIELDS = 32
_BATCH = 64


def fingerprints(
    pixels: UInt8[Tensor, "photos 3 height width"],
) -> Float[Tensor, "photos 1024"]:
    """Grey values of 32 x 32 fields, of mean 0 and length 1, so that their products correlate.

    Height and width are multiples of 32. A picture with hardly any contrast, which is like no
    other, has 0 throughout.
    """
    rows, columns = (size // _FIELDS for size in pixels.shape[2:])
    found = []
    for some in pixels.split(_BATCH):
        # Sums of bytes are exact, and quicker than means of floats.
        strips = some.unflatten(2, (_FIELDS, rows)).sum(3, dtype=torch.int32).sum(1)
        fields = strips.unflatten(2, (_FIELDS, columns)).sum(3).flatten(1).float()
        fields = fields / (3 * rows * columns)
        fields = fields - fields.mean(1, keepdim=True)
        contrast = fields.square().mean(1, keepdim=True).sqrt()
        plain = contrast < LEAST_CONTRAST
        found.append((fields / (contrast * _FIELDS).clamp_min(1e-12)).masked_fill(plain, 0))
    return torch.cat(found) if found else torch.zeros(0, _FIELDS**2)


def find_twins(
    faces: Pictures, prints: Float[Tensor, "photos 1024"] | None = None
) -> Int64[Tensor, " photos"]:
    """For each photo the place of the first, in the set's order, that is it or its twin.

    Only photos of one identity are twins. `prints` spares taking the fingerprints anew.
    """
    prints = fingerprints(faces.pixels) if prints is None else prints
    groups = torch.arange(len(faces))
    for label in faces.labels.unique().tolist():
        places = torch.nonzero(faces.labels == label)[:, 0]
        digests = [faces.digests[place] for place in places.tolist()]
        groups[places] = places[_first_of_each(prints[places], digests)]
    return groups


def _first_of_each(
    prints: Float[Tensor, "own 1024"], digests: Sequence[str]
) -> Int64[Tensor, " own"]:
    """For each of one identity's photos the first of its group."""
    alike = (prints @ prints.T) > NEAR_COPY
    first = {digest: at for at, digest in reversed(list(enumerate(digests)))}
    copies = torch.tensor([first[digest] for digest in digests], dtype=torch.int64)
    alike |= copies[:, None] == copies[None]
    groups = torch.arange(len(digests))
    while True:
        # A twin of a twin belongs to the group as well.
        joined = torch.where(alike, groups[None], len(digests)).amin(1)
        if torch.equal(joined, groups):
            return groups
        groups = joined


def count_saved_anew(faces: Pictures, twins: Int64[Tensor, " photos"]) -> int:
    """How many photos are another one saved anew; copies with equal digests do not count."""
    return len(set(zip(twins.tolist(), faces.digests, strict=True))) - len(twins.unique())


def were_seen(faces: Pictures, seen: Container[str]) -> Bool[Tensor, " photos"]:
    """Which photos a network that was trained on these digests has seen, or a twin of them."""
    known = torch.tensor([digest in seen for digest in faces.digests], dtype=torch.bool)
    groups = find_twins(faces)
    return torch.isin(groups, groups[known])
