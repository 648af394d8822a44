"""Which frames people are asked about, in what order, and the key to what each of them is."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.frame import frame_mask, place, silhouette
from agns.accessory.wear import wear
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import ConfigError, DataError
from agns.images import from_pixels, read_image, to_picture, to_pixels
from agns.models.dcgan import Generator, sample_latents
from agns.storage import read_json
from agns.types import Image

REAL = "real"
GENERATED = "generated"
"""Kinds of frames that nobody crafted; those of attacks are called after their methods."""

DRAWN = "drawn by agns"
"""How the source of a frame begins that stands for a real one and is none."""

FORM = 1
"""Of the key, and of answers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A frame that people may be asked about."""

    image: Float[Tensor, "3 64 176"]
    """In [0, 1]."""

    kind: str
    """`REAL`, `GENERATED`, or an attack's method."""

    source: str
    """Where it comes from, for the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One picture that people see."""

    name: str
    """What it is called in the page and in answers: random, so that it tells nothing."""

    picture: bytes
    """A PNG."""

    kind: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What people are asked; the page has all but kinds and sources, which the key has."""

    questions: Sequence[Question]
    """In random order."""

    worn: bool
    """Whether the frames are on a face."""

    seed: int

    @property
    def name(self) -> str:
        """What answers call it by: a digest of what people see."""
        shown = hashlib.sha256()
        for question in self.questions:
            shown.update(question.name.encode() + hashlib.sha256(question.picture).digest())
        return shown.hexdigest()[:16]

    def key(self) -> Mapping[str, object]:
        """What each picture is, for `read_key`."""
        return {
            "form": FORM,
            "survey": self.name,
            "seed": self.seed,
            "worn": self.worn,
            "frames": [
                {"frame": one.name, "kind": one.kind, "source": one.source}
                for one in self.questions
            ],
        }


def attack_frames(path: Path) -> list[Candidate]:
    """The best frames of attacks: of one, of a campaign, of those in a folder, or a picture.

    Args:
        path: A 64x176 picture; the directory of an attack, or of a campaign; or a folder of
            directories of attacks, or of 64x176 pictures.

    Raises:
        ConfigError: There is no frame.
        DataError: A `result.json` is damaged.
        UnreadableImage: A picture does not decode.
        ImageContractError: A picture has another size.
    """
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise ConfigError(f"{path} holds no frame of an attack: no frame.png, no picture")
    return [
        Candidate(image=read_image(file, size=(64, 176)), kind=_method(file), source=str(file))
        for file in files
    ]


def _files(folder: Path) -> list[Path]:
    for pattern in ("frame.png", "cells/*/frame.png", "*/frame.png"):
        found = sorted(folder.glob(pattern))
        # A campaign's attack is done once it has a result.
        if finished := [one for one in found if (one.parent / "result.json").is_file()]:
            return finished
    return sorted(folder.glob("*.png"))


def _method(file: Path) -> str:
    """The method of the attack that a frame is of, "attack" where nothing tells it."""
    result = file.parent / "result.json"
    if file.name != "frame.png" or not result.is_file():
        return "attack"
    method = read_json(result).get("method")
    if method is not None and not isinstance(method, str):
        raise DataError(f"{result} is not the result of an attack")
    # Nobody's frame is to count as one that nobody crafted.
    return f"attack {method}" if method in (REAL, GENERATED) else method or "attack"


def compose_survey(
    candidates: Sequence[Candidate], *, count: int, face: Image | None, seed: int
) -> Survey:
    """Choose frames of each kind, at random, and put them in random order.

    All frames are cut to the same silhouette and stored alike, so that nothing but what is on them
    tells kinds apart.

    Args:
        candidates: Of at least two kinds.
        count: Most frames of a kind.
        face: (3, 224, 224), in [0, 1], to wear each frame; None shows frames alone, on white.
        seed: Of the choice, the order and the names.

    Raises:
        ConfigError: The frames are all of one kind, or two kinds have the same picture.
    """
    rng = torch.Generator().manual_seed(seed)
    unlike = _unlike(candidates)
    kinds = sorted({one.kind for one in unlike})
    if len(kinds) < 2:
        raise ConfigError(f"there should be frames of two kinds at least, got those of {kinds}")
    chosen: list[Candidate] = []
    for kind in kinds:
        own = [one for one in unlike if one.kind == kind]
        chosen += [own[at] for at in torch.randperm(len(own), generator=rng)[:count].tolist()]
    order = torch.randperm(len(chosen), generator=rng).tolist()
    names = torch.randperm(2**20, generator=rng)[: len(chosen)].tolist()
    questions = [
        Question(
            name=f"{name:05x}",
            picture=_png(_shown(chosen[at].image, face)),
            kind=chosen[at].kind,
            source=chosen[at].source,
        )
        for at, name in zip(order, names, strict=True)
    ]
    return Survey(questions=questions, worn=face is not None, seed=seed)


def _unlike(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The first of each picture: several attacks may have found the same frame."""
    first: dict[bytes, Candidate] = {}
    for one in candidates:
        same = first.setdefault(to_pixels(_shown(one.image, None)[None]).numpy().tobytes(), one)
        if same.kind != one.kind:
            raise ConfigError(
                f"{one.source} is the same picture as {same.source}, which counts as {same.kind}"
            )
    return list(first.values())


def _shown(frame: Float[Tensor, "3 64 176"], face: Float[Tensor, "3 224 224"] | None) -> Image:
    if face is None:
        return torch.lerp(torch.ones_like(frame), frame, frame_mask())
    return wear(face[None], place(frame[None]), silhouette())[0]


def _png(image: Image) -> bytes:
    packed = io.BytesIO()
    to_picture(image).save(packed, format="PNG")
    return packed.getvalue()


def real_frames(
    frames: RealFrames, count: int, *, names: Sequence[str] | None, seed: int
) -> list[Candidate]:
    """Real frames, chosen at random.

    Args:
        frames: To choose from.
        count: Most frames.
        names: Of their pictures; None where they are drawn.
        seed: Of the choice.
    """
    rng = torch.Generator().manual_seed(seed)
    places = torch.randperm(len(frames), generator=rng)[:count]
    return [
        Candidate(
            image=image,
            kind=REAL,
            source=f"{DRAWN}, frame {place}" if names is None else names[place],
        )
        for place, image in zip(places.tolist(), from_pixels(frames[places]), strict=True)
    ]


@torch.no_grad()
def generated_frames(generator: Generator, count: int, *, seed: int) -> list[Candidate]:
    """Frames that a generator draws from random latents."""
    latents = sample_latents(count, rng=torch.Generator().manual_seed(seed))
    return [
        Candidate(image=image, kind=GENERATED, source=f"generated from seed {seed}, frame {place}")
        for place, image in enumerate(generator(latents))
    ]
