"""A folder of faces becomes a `FaceSet`.

A face folder holds one folder per identity with its pictures in it, `<root>/<Identity>/*.jpg`, or
of another format; see `agns.data.listing`. Where an identity has an inner folder `aligned`, its
pictures are taken in place of the raw ones. `photographs.json` beside them says what pictures are
of; see `agns.data.known_photos`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.data.cache import decoded_pictures, digest
from agns.data.faces import FaceSet, composed, unknown_identity
from agns.data.known_photos import Sources, read_sources
from agns.data.listing import READ, LeftOut, Listing, list_folder
from agns.decoding import read_pixels
from agns.errors import ConfigError, DataError
from agns.types import Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSelection:
    """Which photos of a face folder to take, and how."""

    identities: int | None = None
    """How many identities to take, those with the most photos first; ties go by name."""

    minimum_photos: int | None = None
    """Identities with fewer photos are left out; without it, too few for `to_split` are an error,
    unless a number of identities is asked for."""

    names: tuple[str, ...] = ()
    """The identities to take, in place of all of them."""

    exclude: tuple[str, ...] = ()
    """Identities to leave out."""

    exclude_most: int = 0
    """How many identities to leave out, those with the most photos first; ties go by name."""

    center_crop: int | None = None
    """Side in pixels of the central square that is cut out and resized to the canvas."""

    skip_unreadable: bool = False
    """Leave out pictures that do not decode, in place of stopping at the first."""

    to_split: bool = True
    """Whether each identity's photos are to be split, which takes two of them. Otherwise one is
    enough, and identities without any are passed over."""

    @property
    def needed(self) -> int:
        """Photos that an identity needs."""
        return self.minimum_photos or (2 if self.to_split else 1)

    def __post_init__(self) -> None:
        for name in ("names", "exclude"):
            object.__setattr__(self, name, tuple(composed(one) for one in getattr(self, name)))
        for name in ("identities", "minimum_photos", "center_crop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.names and self.identities is not None:
            raise ConfigError("give the names of the identities or their number, not both")
        if len(set(self.names)) < len(self.names):
            raise ConfigError(f"an identity is named twice in {', '.join(self.names)}")
        if self.exclude_most < 0:
            raise ConfigError(f"exclude_most must be at least 0, got {self.exclude_most}")


def list_identities(root: Path) -> dict[str, list[str]]:
    """The photos of each identity, as paths relative to the root, all sorted by name.

    An identity is a folder with a picture in it, or in its inner folder `aligned`. Those that
    systems and programs keep, folders without pictures, pictures beside the identities' folders and
    folders within them are left out.

    Raises:
        ConfigError: There is no such root.
        DataError: It holds no identity.
    """
    return _identities(root)[0]


def list_left_out(root: Path) -> tuple[LeftOut, ...]:
    """What is left out of a face folder, or of one that holds pictures and no folders.

    Raises:
        ConfigError: There is no such folder.
    """
    listing = list_folder(root)
    return _listed(root)[1] if listing.folders else listing.left_out


def _identities(root: Path) -> tuple[dict[str, list[str]], tuple[LeftOut, ...]]:
    """The photos of each identity, one at least, and what else lies there."""
    if not root.is_dir():
        raise ConfigError(f"there is no folder of faces {root}")
    photos, left_out = _listed(root)
    if not photos:
        others = Listing(pictures=(), folders=(), left_out=left_out).others
        raise DataError(
            f"expected a folder of pictures for each identity in {root}, found none{others}"
        )
    return photos, left_out


def _listed(root: Path) -> tuple[dict[str, list[str]], tuple[LeftOut, ...]]:
    top = list_folder(root)
    photos: dict[str, list[str]] = {}
    left_out = [*top.left_out]
    left_out += [LeftOut(path.name, "a picture in no identity's folder") for path in top.pictures]
    for folder in top.folders:
        inner = list_folder(_source(folder))
        before = _source(folder).relative_to(root).as_posix()
        left_out += [one._replace(name=f"{before}/{one.name}") for one in inner.left_out]
        left_out += [
            LeftOut(f"{before}/{path.name}", "a folder within an identity's", folder=True)
            for path in inner.folders
        ]
        name = composed(folder.name)
        if not inner.pictures:
            left_out.append(LeftOut(before, "a folder without pictures", folder=True))
        elif name in photos:
            raise DataError(
                f"{root} holds two folders called {name!r}, which differ only in how its "
                "accents are encoded: put their photos in one"
            )
        else:
            photos[name] = [f"{before}/{path.name}" for path in inner.pictures]
    return dict(sorted(photos.items())), tuple(sorted(left_out))


def _source(folder: Path) -> Path:
    """Where an identity's photos lie."""
    aligned = folder / "aligned"
    return aligned if aligned.is_dir() else folder


def _chosen(
    root: Path, folders: Mapping[str, list[str]], selection: FaceSelection
) -> dict[str, list[str]]:
    """The folders that a selection takes, sorted by name."""
    for name in (*selection.names, *selection.exclude):
        empty = name not in folders and _folder_of(root, name).is_dir()
        if empty and name in selection.names:
            raise _too_few(_folder_of(root, name), 0, selection)
        if name not in folders and not empty:
            raise unknown_identity(name, folders, str(root))
    left_out = {*selection.exclude, *_most(folders, selection.exclude_most)}
    if both := left_out & set(selection.names):
        raise ConfigError(f"{min(both)} is both to be taken and to be left out")
    filtered = selection.minimum_photos is not None or selection.identities is not None
    chosen: dict[str, list[str]] = {}
    for name in sorted(selection.names or folders.keys() - left_out):
        if len(folders[name]) >= selection.needed:
            chosen[name] = folders[name]
        elif selection.names or not (filtered or (not folders[name] and not selection.to_split)):
            raise _too_few(_folder_of(root, name), len(folders[name]), selection)
    photos = f"{selection.needed} {'photo' if selection.needed == 1 else 'photos'}"
    if not chosen:
        raise DataError(f"no identity in {root} has at least {photos}")
    wanted = len(chosen) if selection.identities is None else selection.identities
    if wanted > len(chosen):
        raise ConfigError(
            f"expected {wanted} identities with at least {photos} in {root}, found {len(chosen)}"
        )
    return {name: chosen[name] for name in sorted(_most(chosen, wanted))}


def _folder_of(root: Path, identity: str) -> Path:
    """Where an identity's photos lie, however the disk writes its name."""
    named = (entry for entry in root.iterdir() if composed(entry.name) == identity)
    return _source(next(named, root / identity))


def _most(folders: Mapping[str, list[str]], count: int) -> list[str]:
    """The names of those with the most photos, ties by name."""
    return sorted(folders, key=lambda name: (-len(folders[name]), name))[:count]


def _too_few(folder: Path, found: int, selection: FaceSelection) -> DataError:
    if found == 0:
        return DataError(
            f"expected pictures ({READ}) in {folder}, found none{list_folder(folder).others}"
        )
    needed = selection.needed
    photos = "a single photo" if found == 1 else f"{found} photos"
    asker = "that a split needs" if selection.minimum_photos is None else "asked for"
    way_out = (
        "name other identities"
        if selection.names
        else f"leave such identities out with --minimum-photos {needed}"
    )
    return DataError(
        f"{folder} holds {photos}, fewer than the {needed} {asker}: add photos, or {way_out}"
    )


_EVERYTHING = FaceSelection()


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
    photos, left_out = _identities(root)
    folders = _chosen(root, photos, selection)
    decoded = decoded_pictures(
        root,
        [photo for listed in folders.values() for photo in listed],
        center_crop=selection.center_crop,
        skip_unreadable=selection.skip_unreadable,
        cache=cache,
        workers=workers,
        progress=progress,
    )
    owners = [composed(photo.split("/", 1)[0]) for photo in decoded.photos]
    kept = Counter(owners)
    for name, listed in folders.items():
        short = kept[name] < min(selection.needed, len(listed))
        if short and (selection.to_split or selection.names):
            raise DataError(
                f"{kept[name]} of the {len(listed)} pictures in {root / name} decode, "
                f"but an identity needs at least {selection.needed}"
            )
    identities = tuple(name for name in folders if kept[name])
    places = {name: label for label, name in enumerate(identities)}
    sources: dict[str, Sources] = {}
    digests = []
    for photo, own in zip(decoded.photos, decoded.digests, strict=True):
        folder, _, name = photo.rpartition("/")
        if folder not in sources:
            sources[folder] = read_sources(root / folder)
        cut = selection.center_crop is not None and sources[folder].by_name
        # Files tell of a picture as it was written, of whatever size.
        whole = digest(read_pixels(root / photo).transpose(2, 0, 1)) if cut else None
        digests.append(sources[folder].digest_of(name, own, whole=whole))
    return FaceSet(
        pixels=decoded.pixels,
        labels=torch.tensor([places[name] for name in owners], dtype=torch.int64),
        identities=identities,
        photos=tuple(map(composed, decoded.photos)),
        digests=tuple(digests),
        skipped=tuple(
            f"{photo} was left out: it does not decode as a picture" for photo in decoded.skipped
        ),
        without_photos=tuple(name for name in folders if not kept[name]),
        left_out=tuple(
            one
            for one in left_out
            if not selection.names or composed(one.name.split("/")[0]) in selection.names
        ),
    )
