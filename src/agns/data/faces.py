"""Identity folders to labelled faces.

A face folder holds one folder per identity with its pictures in it, `<root>/<Identity>/*.jpg`, or
of another format; see `agns.data.listing`. Where an identity has an inner folder `aligned`, its
pictures are taken in place of the raw ones. `photographs.json` beside them says what pictures are
of. `FaceSet.left_out` says what else lies there.
"""

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from agns.data.cache import cache_directory, content_key, digest, read_pictures, store_pictures
from agns.data.listing import LeftOut
from agns.data.photographs import read_sources
from agns.data.selection import (
    FaceSelection,
    choose_folders,
    composed,
    list_face_folder,
    unknown_identity,
)
from agns.data.splits import craft_held_out_split
from agns.decoding import read_pixels
from agns.errors import ConfigError, DataError
from agns.images import from_pixels
from agns.storage import read_json, write_json
from agns.types import Faces, Progress, silent

_EVERYTHING = FaceSelection()


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
    `agns.data.photographs`."""

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


def load_faces(
    root: Path,
    selection: FaceSelection = _EVERYTHING,
    *,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> FaceSet:
    """Read a face folder, decoding each picture once: later calls map the decoded bytes.

    Identities and their photos are sorted by name. The cache entry belongs to the content of
    the chosen files, so that a changed file is decoded anew; a damaged entry is made again.

    Args:
        root: Holds a folder for each identity.
        selection: Which photos to take, and how.
        cache: Where decoded pictures are kept; see `cache_directory` for the default.
        workers: Threads that decode, 0 for the default.
        progress: Told after each decoded picture.

    Raises:
        ConfigError: There is no such root, a named identity is not in it, it has fewer
            identities than asked for, or the cache cannot be written to.
        DataError: The root holds no identities, one of them has no photos or too few, or a
            picture has another size than the canvas.
        UnreadableImage: A picture does not decode, and these are not to be skipped.
    """
    found = list_face_folder(root)
    folders = choose_folders(root, found.photos, selection)
    photos = [photo for listed in folders.values() for photo in listed]
    directory = cache_directory() if cache is None else cache
    key = content_key(root, photos, center_crop=selection.center_crop)
    decoded = read_pictures(directory, key)
    # Decoding once more where an earlier run skipped pictures names the first of them.
    if decoded is None or (decoded.skipped and not selection.skip_unreadable):
        store_pictures(
            directory,
            key,
            root,
            photos,
            center_crop=selection.center_crop,
            skip_unreadable=selection.skip_unreadable,
            workers=workers,
            progress=progress,
        )
        decoded = read_pictures(directory, key)
    else:
        progress(len(photos), len(photos), {})
    if decoded is None:
        raise DataError(f"decoded pictures written to {directory} do not read back")
    kept = Counter(composed(photo.split("/", 1)[0]) for photo in decoded.photos)
    needed = selection.minimum_photos or (2 if selection.to_split else 1)
    for name, listed in folders.items():
        if kept[name] < min(needed, len(listed)) and (selection.to_split or selection.names):
            raise DataError(
                f"{kept[name]} of the {len(listed)} pictures in {root / name} decode, "
                f"but an identity needs at least {needed}"
            )
    identities = tuple(name for name in folders if kept[name])
    places = {name: label for label, name in enumerate(identities)}
    labels = [places[composed(photo.split("/", 1)[0])] for photo in decoded.photos]
    cut = selection.center_crop is not None
    sources = {
        folder: read_sources(root / folder)
        for folder in {photo.rpartition("/")[0] for photo in decoded.photos}
    }
    digests = [
        sources[folder].digest_of(
            name,
            own,
            whole=_whole(root / folder / name) if cut and sources[folder].by_name else None,
        )
        for (folder, _, name), own in zip(
            (photo.rpartition("/") for photo in decoded.photos), decoded.digests, strict=True
        )
    ]
    return FaceSet(
        pixels=decoded.pixels,
        labels=torch.tensor(labels, dtype=torch.int64),
        identities=identities,
        photos=tuple(map(composed, decoded.photos)),
        digests=tuple(digests),
        skipped=tuple(
            f"{photo} was left out: it does not decode as a picture" for photo in decoded.skipped
        ),
        without_photos=tuple(name for name in folders if not kept[name]),
        left_out=tuple(
            one
            for one in found.left_out
            if not selection.names
            or composed(one.name.split("/")[0]) in map(composed, selection.names)
        ),
    )


def _whole(path: Path) -> str:
    """The digest of a picture as it was written, of whatever size."""
    return digest(read_pixels(path).transpose(2, 0, 1))
