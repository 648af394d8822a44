"""The embedded identities: people who do not exist, drawn rather than downloaded."""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.landmarks import write_landmarks
from agns.data.simulation.portrait.painter import paint_portrait
from agns.data.simulation.portrait.person import Person, person
from agns.data.workers import each_in_order
from agns.errors import ConfigError
from agns.images import from_pixels, write_image
from agns.settings import Count, Range, check_settings
from agns.types import CANVAS, Progress, silent

_Result = TypeVar("_Result")
NotNegative: TypeAlias = Annotated[int, Range("[0, inf)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticConfig:
    """How many people to make up, and how many photos of each."""

    identities: Count = 10
    """People; the first ones are the same however many there are."""
    photos: Count = 80
    """Photos of each; likewise."""
    seed: NotNegative = 0
    """Another seed gives other people."""
    first_photo: NotNegative = 0
    """Number of the first photo taken: with 80, the 80 photos before it stay unseen."""

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def numbers(self) -> range:
        """The numbers of the photos of each identity."""
        return range(self.first_photo, self.first_photo + self.photos)


def identity_name(identity: int) -> str:
    """The folder name of somebody, counted from 0."""
    return f"Synthetic_{identity:03d}"


def draw_photo(
    seed: int, identity: int, photo: int
) -> tuple[UInt8[np.ndarray, "224 224 3"], Float[np.ndarray, "68 2"]]:
    """Draw one photo in the canonical pose, the same whatever else is drawn.

    Returns:
        RGB bytes, and the 68 landmarks as (x, y) in pixels from the top-left pixel's centre.

    Raises:
        ConfigError: An argument is negative.
    """
    if min(seed, identity, photo) < 0:
        raise ConfigError(
            f"seed, identity and photo must be at least 0, got {seed}, {identity} and {photo}"
        )
    # A trailing 0 would leave the sequence that made the person up, so photos count from 1.
    entropy = np.random.SeedSequence([seed, identity, photo + 1])
    return paint_portrait(_somebody(seed, identity), np.random.default_rng(entropy))


@functools.lru_cache(maxsize=64)
def _somebody(seed: int, identity: int) -> Person:
    return person(seed, identity)


def draw_faces(
    config: SyntheticConfig, *, workers: int = 0, progress: Progress = silent
) -> tuple[UInt8[Tensor, "photos 3 224 224"], Int64[Tensor, " photos"]]:
    """Draw every photo of everybody: RGB bytes grouped by identity, and the identities.

    Args:
        config: Whom to draw.
        workers: Processes to draw in; 0 or 1 draws in this one, to the same result.
        progress: Told after each identity.

    Raises:
        ConfigError: `workers` is negative.
    """
    pixels = torch.empty(config.identities, config.photos, 3, CANVAS, CANVAS, dtype=torch.uint8)
    for identity, drawn in enumerate(_each(_draw_identity, config, workers, progress)):
        pixels[identity] = torch.from_numpy(drawn).permute(0, 3, 1, 2)
    labels = torch.arange(config.identities).repeat_interleave(config.photos)
    return pixels.flatten(0, 1), labels


def synthetic_faces(
    config: SyntheticConfig,
    *,
    only: str | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> FaceSet:
    """Draw people as a labelled set; photos are named as `write_synthetic_folder` names them.

    Args:
        config: Whom to draw.
        only: Draw this identity's photos alone; the set still knows the others' names.
        workers: As for `draw_faces`.
        progress: Told after each identity.

    Raises:
        ConfigError: `workers` is negative, or there is no identity `only`.
    """
    names = [identity_name(identity) for identity in range(config.identities)]
    if only is None:
        pixels, labels = draw_faces(config, workers=workers, progress=progress)
    else:
        if only not in names:
            raise ConfigError(
                f"there is no identity {only!r} among {names[0]} to {names[-1]}, the drawn ones: "
                "for others give their photos with --faces"
            )
        label = names.index(only)
        pixels = torch.from_numpy(_draw_identity(config, label)).permute(0, 3, 1, 2).contiguous()
        labels = torch.full((config.photos,), label)
        progress(1, 1, {})
    drawn = names if only is None else [only]
    photos = [f"{_photo_name(name, photo)}.png" for name in drawn for photo in config.numbers]
    return faces_from_pixels(pixels, labels, names, photos)


def _photo_name(name: str, photo: int) -> str:
    """The file of somebody's photo, without its ending; photos are counted from 1."""
    return f"{name}/{name}_{photo + 1:04d}"


def write_synthetic_folder(
    root: Path, config: SyntheticConfig, *, workers: int = 0, progress: Progress = silent
) -> None:
    """Write every photo as a face folder, and the landmarks as a tree beside it.

    Photos become `<root>/<name>/<name>_0001.png`, counted from 1; their landmarks become
    `<root>.landmarks/<name>/<name>_0001.csv`, 68 lines of x,y in pixels. Workers and progress are
    those of `draw_faces`.

    Raises:
        ConfigError: `workers` is negative, or the root is a file.
    """
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file, not a folder to write faces to")
    # A root such as "." has no name of its own to call the landmarks by.
    write = functools.partial(_write_identity, Path(os.path.abspath(root)))
    for _ in _each(write, config, workers, progress):
        pass


def _each(
    work: Callable[[SyntheticConfig, int], _Result],
    config: SyntheticConfig,
    workers: int,
    progress: Progress,
) -> Iterator[_Result]:
    """Do the work for each identity, in order, here or in other processes."""
    if workers < 0:
        raise ConfigError(f"workers must be at least 0, got {workers}")
    task, people = functools.partial(work, config), range(config.identities)
    for done, result in enumerate(each_in_order(task, people, workers=workers), 1):
        yield result
        progress(done, config.identities, {})


def _draw_identity(config: SyntheticConfig, identity: int) -> UInt8[np.ndarray, "photos 224 224 3"]:
    return np.stack([draw_photo(config.seed, identity, photo)[0] for photo in config.numbers])


def _write_identity(root: Path, config: SyntheticConfig, identity: int) -> None:
    for photo in config.numbers:
        pixels, landmarks = draw_photo(config.seed, identity, photo)
        name = _photo_name(identity_name(identity), photo)
        image = from_pixels(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0]
        write_image(root / f"{name}.png", image)
        beside = root.with_name(f"{root.name}.landmarks") / f"{name}.csv"
        write_landmarks(beside, torch.from_numpy(landmarks))
