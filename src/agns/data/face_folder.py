"""Which identities and photos of a face folder are taken."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.data.cache import cache_directory, content_key, digest, read_pictures, store_pictures
from agns.data.faces import FaceSet, composed, unknown_identity
from agns.data.known_photos import read_sources
from agns.data.listing import READ, LeftOut, list_folder
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceFolder:
    """What a face folder holds."""

    photos: dict[str, list[str]]
    """The photos of each identity, as paths relative to the root, all sorted by name."""

    left_out: tuple[LeftOut, ...]
    """Everything else, sorted by name; see `agns.data.listing`."""


def list_face_folder(root: Path) -> FaceFolder:
    """The identities of a face folder, and what in it belongs to none.

    An identity is a folder with a picture in it, or in its inner folder `aligned`. Those that
    systems and programs keep, folders without pictures, pictures beside the identities' folders and
    folders within them are left out.

    Raises:
        ConfigError: There is no such root.
        DataError: It holds no identity.
    """
    if not root.is_dir():
        raise ConfigError(f"there is no folder of faces {root}")
    photos, left_out = _listed(root)
    if not photos:
        first = left_out[0] if left_out else None
        others = "" if first is None else f" but {first.name} ({first.why})"
        raise DataError(
            f"expected a folder of pictures for each identity in {root}, found none{others}"
        )
    return FaceFolder(photos=photos, left_out=left_out)


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
        if inner.pictures:
            name = composed(folder.name)
            if name in photos:
                raise DataError(
                    f"{root} holds two folders called {name!r}, which differ only in how its "
                    "accents are encoded: put their photos in one"
                )
            photos[name] = [f"{before}/{path.name}" for path in inner.pictures]
        else:
            left_out.append(LeftOut(before, "a folder without pictures", folder=True))
    return dict(sorted(photos.items())), tuple(sorted(left_out))


def _source(folder: Path) -> Path:
    """Where an identity's photos lie."""
    aligned = folder / "aligned"
    return aligned if aligned.is_dir() else folder


def list_identities(root: Path) -> dict[str, list[str]]:
    """The photos of each identity; see `list_face_folder`."""
    return list_face_folder(root).photos


def list_left_out(root: Path) -> tuple[LeftOut, ...]:
    """What is left out of a face folder, or of one that holds pictures and no folders.

    Raises:
        ConfigError: There is no such folder.
    """
    listing = list_folder(root)
    return _listed(root)[1] if listing.folders else listing.left_out


def choose_folders(
    root: Path, folders: Mapping[str, list[str]], selection: FaceSelection
) -> dict[str, list[str]]:
    """The folders that a selection takes, sorted by name.

    Raises:
        ConfigError: An identity is not there, or both taken and left out, or there are too few.
        DataError: One has too few photos, or none has enough.
    """
    for name in (*selection.names, *selection.exclude):
        empty = name not in folders and _folder_of(root, name).is_dir()
        if empty and name in selection.names:
            raise _too_few(_folder_of(root, name), 0, 2, selection)
        if name not in folders and not empty:
            raise unknown_identity(name, folders, str(root))
    left_out = {*selection.exclude, *_most(folders, selection.exclude_most)}
    if both := left_out & set(selection.names):
        raise ConfigError(f"{min(both)} is both to be taken and to be left out")
    folders = {name: listed for name, listed in folders.items() if name not in left_out}
    filtered = selection.minimum_photos is not None or selection.identities is not None
    needed = selection.minimum_photos or (2 if selection.to_split else 1)
    chosen: dict[str, list[str]] = {}
    for name, listed in folders.items():
        if selection.names and name not in selection.names:
            continue
        if len(listed) >= needed:
            chosen[name] = listed
        elif selection.names or not (filtered or (not listed and not selection.to_split)):
            raise _too_few(_folder_of(root, name), len(listed), needed, selection)
    if not chosen:
        photos = "photo" if needed == 1 else "photos"
        raise DataError(f"no identity in {root} has at least {needed} {photos}")
    if selection.identities is None:
        return chosen
    if selection.identities > len(chosen):
        raise ConfigError(
            f"expected {selection.identities} identities with at least {needed} "
            f"{'photo' if needed == 1 else 'photos'} in {root}, found {len(chosen)}"
        )
    return {name: chosen[name] for name in sorted(_most(chosen, selection.identities))}


def _folder_of(root: Path, identity: str) -> Path:
    """Where an identity's photos lie, however the disk writes its name."""
    named = (entry for entry in root.iterdir() if composed(entry.name) == identity)
    return _source(next(named, root / identity))


def _most(folders: Mapping[str, list[str]], count: int) -> list[str]:
    """The names of those with the most photos, ties by name."""
    return sorted(folders, key=lambda name: (-len(folders[name]), name))[:count]


def _too_few(folder: Path, found: int, needed: int, selection: FaceSelection) -> DataError:
    if found == 0:
        return DataError(
            f"expected pictures ({READ}) in {folder}, found none{list_folder(folder).others}"
        )
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
