"""Labelled faces in memory, and names of identities."""

import difflib
import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from agns.data.cache import digest
from agns.data.listing import LeftOut
from agns.data.splits import craft_held_out_split
from agns.errors import ConfigError, DataError
from agns.images import from_pixels
from agns.storage import read_json, write_json
from agns.types import Faces


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): a Mac's folders come decomposed."""
    return unicodedata.normalize("NFC", name)


def unknown_identity(name: str, known: Iterable[str], where: str) -> ConfigError:
    """The complaint about a name that is not there, with names that are like it."""
    hint = names_like(composed(name), known)
    return ConfigError(f"there is no identity {name!r} in {where}{hint and f': {hint}'}")


def names_like(name: str, known: Iterable[str]) -> str:
    """A question after the known names that are like one; empty if none is."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(close)}?" if close else ""


def names_told(name: str, known: Sequence[str]) -> str:
    """The names that are like one or, if none is, the first ones."""
    more = ", ..." if len(known) > 12 else ""
    return names_like(name, known) or f"it knows {', '.join(known[:12])}{more}"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FaceSet:
    """Labelled faces in memory, or in a private map of a cache file."""

    pixels: UInt8[Tensor, "photos 3 224 224"]
    """The pictures as bytes; not to be written to."""

    labels: Int64[Tensor, " photos"]
    """For each photo, its place in `identities`."""

    identities: tuple[str, ...]
    """Names in composed Unicode (NFC), in the order of the classes."""

    photos: tuple[str, ...]
    """Paths relative to the root, with forward slashes, in composed Unicode."""

    digests: tuple[str, ...]
    """16 hex digits of the SHA-256 of each decoded, resized picture, or of what it is of; see
    `agns.data.known_photos`."""

    skipped: tuple[str, ...] = ()
    """One sentence for each picture that was left out because it does not decode."""

    without_photos: tuple[str, ...] = ()
    """Identities that were left out because none of their photos decodes."""

    left_out: tuple[LeftOut, ...] = ()
    """What else lies in the folder, and is no picture of an identity."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "identities", tuple(map(composed, self.identities)))

    def __len__(self) -> int:
        return len(self.photos)

    def faces(self, indices: Int64[Tensor, " chosen"]) -> Faces:
        """The photos at these places, float32 in [0, 1]."""
        return from_pixels(self.pixels[indices])

    def of(self, identity: str) -> "FaceSet":
        """One identity's photos; identities, and so labels, stay as they are.

        Raises:
            ConfigError: No identity has this name.
        """
        return self.subset(self.places_of(identity))

    def split(
        self, *, craft: int = 16, seed: int = 0, seen: Container[str] = frozenset()
    ) -> tuple["FaceSet", "FaceSet"]:
        """One subject's photos, divided into those to attack on and those to score on.

        Copies of a picture, those that were saved anew too, stay on one side.

        Args:
            craft: The most photos to attack on; never more than half, unless some were `seen`.
            seed: Decides which photos.
            seen: Digests of photos that the victim was trained on: none of them is scored on, and
                all crafting is done on them where there are any.

        Raises:
            ConfigError: `craft` is below 1, or the photos are of several people: choose one by
                `of`.
            DataError: There are fewer than two different pictures, or none is left to score on.
        """
        labels = self.labels.unique().tolist()
        if len(labels) > 1:
            raise ConfigError(
                f"these are photos of {len(labels)} people: choose one by of(name) before split"
            )
        if not labels:
            raise DataError("there are no photos to split")
        divided = craft_held_out_split(
            self, subject=self.identities[labels[0]], craft=craft, seed=seed, seen=seen
        )
        return self.subset(divided.first), self.subset(divided.second)

    def places_of(self, identity: str) -> Int64[Tensor, " chosen"]:
        """The places of one identity's photos, ascending.

        Raises:
            ConfigError: No identity has this name.
        """
        if not isinstance(identity, str):
            raise ConfigError(f"photos are chosen by a name, got {identity!r:.80}")
        name = composed(identity)
        if name not in self.identities:
            raise unknown_identity(identity, self.identities, "these faces")
        return torch.nonzero(self.labels == self.identities.index(name))[:, 0]

    def subset(self, indices: Int64[Tensor, " chosen"]) -> "FaceSet":
        """The photos at these places alone; identities, and so labels, stay as they are."""
        chosen = indices.tolist()
        return replace(
            self,
            pixels=self.pixels[indices],
            labels=self.labels[indices],
            photos=tuple(self.photos[index] for index in chosen),
            digests=tuple(self.digests[index] for index in chosen),
        )


def faces_from_pixels(
    pixels: UInt8[Tensor, "photos 3 224 224"],
    labels: Int64[Tensor, " photos"],
    identities: Sequence[str],
    photos: Sequence[str],
) -> FaceSet:
    """Label faces that are in memory already, such as drawn ones.

    Args:
        pixels: The pictures as bytes.
        labels: For each picture, its place in `identities`.
        identities: Names, in the order of the classes.
        photos: A name for each picture, by which splits tell them apart.

    Raises:
        DataError: The numbers of pictures, labels and photo names differ, a label has no
            identity, or a photo name comes twice.
    """
    if not len(pixels) == len(labels) == len(photos):
        raise DataError(
            "expected as many labels and photo names as pictures, "
            f"got {len(pixels)} pictures, {len(labels)} labels and {len(photos)} names"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(identities):
        raise DataError(
            f"expected labels from 0 to {len(identities) - 1}, "
            f"got {int(labels.min())} to {int(labels.max())}"
        )
    if len(set(photos)) < len(photos):
        raise DataError("two pictures have the same photo name")
    return FaceSet(
        pixels=pixels,
        labels=labels,
        identities=tuple(identities),
        photos=tuple(photos),
        digests=tuple(digest(picture) for picture in pixels.cpu().numpy()),
    )


def write_classes(path: Path, identities: Sequence[str]) -> None:
    """Write which class stands for which identity, as a JSON object from "0" upwards."""
    write_json(path, {str(label): name for label, name in enumerate(identities)})


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the identities' names, in the order of their classes, as `write_classes` wrote them.

    Raises:
        ConfigError: There is no such file.
        DataError: It is not a JSON object from "0" upwards.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file of classes {path}")
    content = read_json(path)
    if not content or set(content) != {str(label) for label in range(len(content))}:
        raise DataError(f'{path} should name classes from "0" upwards without a gap')
    return tuple(composed(str(content[str(label)])) for label in range(len(content)))
