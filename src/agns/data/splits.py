"""Deterministic splits of labelled faces.

Each identity is shuffled by a generator of its own, seeded from the seed and its name, over its
photos in the order of their names. So an identity is split alike whatever others stand beside
it. Copies of one picture go to one side together, those that were saved anew too; see
`agns.data.twins`.
"""

import hashlib
from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from agns.data.twins import Pictures, find_twins
from agns.errors import ConfigError, DataError
from agns.settings import whole


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Two sides that share no photo and no picture of one identity: places, ascending."""

    first: Int64[Tensor, " first"]
    """For training, or for crafting an attack."""

    second: Int64[Tensor, " second"]
    """Held out."""


def stratified_split(
    faces: Pictures,
    *,
    held_fraction: float = 0.2,
    seed: int = 0,
    at_least: Literal[0, 1] = 1,
    twins: Int64[Tensor, " photos"] | None = None,
) -> Split:
    """Hold out a part of each identity's photos.

    Args:
        faces: Each identity that has photos at all must have two pictures or more.
        held_fraction: The part of each identity that goes to the second side, in (0, 1),
            rounded to whole photos; each side keeps at least one.
        seed: Decides which photos.
        at_least: How many photos of an identity go to the second side at least. With 0, one with
            too few photos for the fraction, or too many copies of each, keeps them all on the
            first.
        twins: Equal for photos of one picture, where `find_twins` has found them already.

    Returns:
        Training photos first, held-out photos second.

    Raises:
        ConfigError: `held_fraction` lies outside (0, 1).
        DataError: An identity has fewer than two different pictures.
    """
    if not 0 < held_fraction < 1:
        raise ConfigError(f"held_fraction must lie in (0, 1), got {held_fraction}")
    twins = find_twins(faces) if twins is None else twins
    held: list[int] = []
    for identity in faces.identities:
        count = len(faces.places_of(identity))
        if count == 0 or (at_least == 0 and round(held_fraction * count) == 0):
            continue
        groups = _grouped(faces, identity, twins)
        if at_least == 0 and len(groups) < 2:
            continue
        groups = _shuffled(groups, identity, seed)
        wanted = min(max(round(held_fraction * count), 1), count - 1)
        taken = _take(groups, wanted)
        if not taken and at_least:
            # No group of copies is small enough: the smallest stands in.
            taken = sorted(groups, key=len)[0]
        held += taken
    return _split(torch.arange(len(faces)), second=held)


def craft_held_out_split(
    faces: Pictures,
    *,
    subject: str,
    craft: int = 16,
    seed: int = 0,
    seen: Container[str] = frozenset(),
) -> Split:
    """Divide one subject's photos into those an attack is made on and those it is scored on.

    A photo that the recogniser was trained on is no fair test, but an attacker may well craft on
    it. So where there are such photos, all crafting is done on them, and every other photo is
    held out.

    Args:
        faces: Holds the subject.
        subject: The identity that wears the glasses.
        craft: The most photos to craft on, at least 1; where no photo was seen in training,
            never more than half of them are.
        seed: Decides which photos.
        seen: Digests of the photos that the recogniser was trained on.

    Returns:
        Photos to craft on first, held-out photos second.

    Raises:
        ConfigError: There is no such subject, or `craft` is below 1.
        DataError: The subject has fewer than two different pictures, each in more copies than
            `craft`, or every picture was seen in training.
    """
    craft, seed = whole(craft, "craft", 1), whole(seed, "seed")
    places = faces.places_of(subject)
    own = faces.subset(places)
    groups = [
        [int(places[at]) for at in group]
        for group in _shuffled(_grouped(own, subject, find_twins(own)), subject, seed)
    ]
    # Whoever was trained on a picture has seen it saved anew.
    known = [group for group in groups if any(faces.digests[place] in seen for place in group)]
    if known:
        fresh = [place for group in groups if group not in known for place in group]
        if not fresh:
            raise DataError(
                f"the recogniser was trained on all {len(places)} photos of {subject}, which "
                "leaves none to score an attack on"
            )
        chosen = _take(known, craft)
        held = sorted(fresh)
    else:
        chosen = _take(groups, min(craft, len(places) // 2))
        held = [place for place in places.tolist() if place not in set(chosen)]
    if not chosen:
        raise DataError(
            f"every picture of {subject} has at least {min(map(len, known or groups))} copies, "
            f"too many to craft on {craft}"
        )
    return Split(first=torch.tensor(sorted(chosen)), second=torch.tensor(held))


def _grouped(faces: Pictures, identity: str, twins: Int64[Tensor, " photos"]) -> list[list[int]]:
    """The places of an identity's photos, copies of a picture together, in the order of names."""
    groups: dict[int, list[int]] = {}
    for place in sorted(faces.places_of(identity).tolist(), key=lambda place: faces.photos[place]):
        groups.setdefault(int(twins[place]), []).append(place)
    return list(groups.values())


def _shuffled(groups: list[list[int]], identity: str, seed: int) -> list[list[int]]:
    """An identity's groups of copies in random order."""
    if len(groups) < 2:
        raise DataError(
            f"expected at least two different photos of {identity} to split, found {len(groups)}"
        )
    # Python's own hash differs from run to run.
    own = hashlib.sha256(f"{seed}\0{identity}".encode("utf-8", "surrogateescape")).digest()
    rng = torch.Generator().manual_seed(int.from_bytes(own[:7]))
    return [groups[index] for index in torch.randperm(len(groups), generator=rng).tolist()]


def _take(groups: list[list[int]], most: int) -> list[int]:
    """Whole groups in their order, as many as fit into `most` places."""
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= most:
            taken += group
    return taken


def _split(places: Int64[Tensor, " places"], *, second: list[int]) -> Split:
    held = torch.isin(places, torch.tensor(second, dtype=torch.int64))
    return Split(first=places[~held], second=places[held])
