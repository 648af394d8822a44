"""Templates of enrolled people, and thresholds from other people's comparisons."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.data.faces import FaceSet
from agns.errors import ConfigError, DataError
from agns.models.embedder import Embedder, Metric, distances
from agns.types import Embeddings, Faces, Progress, silent

Rule: TypeAlias = Literal["mean", "best"]
"""What a face is compared with: the mean of a person's embeddings, or the nearest of them."""

RATES = (0.1, 0.01, 0.001, 0.0001)
"""False-accept rates of operating points, where there are enough comparisons."""

CARRIED = 10
"""False accepts that a rate must come to among the comparisons that it is calibrated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A threshold, and how many impostors it accepts."""

    false_accept_rate: float
    """Share of impostor comparisons that it accepts, as calibrated, in (0, 1); of an open set the
    share of strangers' photos that it takes for somebody."""

    threshold: float
    """Distance below which a comparison is accepted."""

    comparisons: int
    """Impostor comparisons that it was calibrated on; of an open set, of a stranger's photo with as
    many people as are enrolled. Those of one person are alike, so that they carry less than their
    number says."""

    people: int
    """Whose photos they were; none is enrolled."""


def enrol(
    embedder: Embedder, enrolled: FaceSet | Mapping[str, Faces], rule: Rule
) -> dict[str, Embeddings]:
    """Templates by name: one for each person by the rule `mean`, one for each photo by `best`.

    Raises:
        ConfigError: Somebody has no photo.
    """
    if isinstance(enrolled, FaceSet):
        everybody = embed_photos(embedder, enrolled)
        embedded = {name: everybody[enrolled.places_of(name)] for name in people_of(enrolled)}
    else:
        with torch.no_grad():
            embedded = {name: embedder(faces) for name, faces in enrolled.items()}
    for name, own in embedded.items():
        if len(own) == 0:
            raise ConfigError(f"{name} is to be enrolled without a photo")
    if rule == "best":
        return embedded
    return {name: _mean(own, embedder) for name, own in embedded.items()}


@torch.no_grad()
def embed_photos(
    embedder: Callable[[Faces], Embeddings],
    photos: FaceSet,
    *,
    batch: int = 64,
    progress: Progress = silent,
) -> Embeddings:
    """Embeddings of a set's photos, in their order."""
    found = []
    for places in torch.arange(len(photos)).split(batch):
        found.append(embedder(photos.faces(places)))
        progress(int(places[-1]) + 1, len(photos), {})
    return torch.cat(found)


def _mean(embedded: Embeddings, embedder: Embedder) -> Embeddings:
    mean = embedded.mean(0, keepdim=True)
    return functional.normalize(mean) if embedder.unit else mean


def people_of(faces: FaceSet) -> list[str]:
    """The identities that have photos."""
    return [faces.identities[label] for label in faces.labels.unique().tolist()]


def compare(
    embedded: Embeddings,
    templates: Embeddings,
    owners: Int64[Tensor, " templates"],
    metric: Metric,
) -> Float[Tensor, "_ identities"]:
    """Distances of embeddings from everybody's nearest template."""
    apart = distances(embedded, templates, metric)
    count = int(owners[-1]) + 1
    if count == len(owners):
        return apart
    nearest = apart.new_full((len(apart), count), torch.inf)
    return nearest.scatter_reduce(1, owners.expand(len(apart), -1), apart, "amin")


def calibrate(
    embedder: Embedder,
    others: FaceSet,
    *,
    rates: Sequence[float],
    at: float,
    templates: int,
    rule: Rule,
    crowd: int = 1,
    progress: Progress = silent,
) -> tuple[OperatingPoint, ...]:
    """Thresholds at false-accept rates; see `Gallery.calibrate`.

    Args:
        embedder: Whose distances these are.
        others: Photos of people who are not enrolled.
        rates: False-accept rates.
        at: One that has to be carried.
        templates: Photos that each person is enrolled with.
        rule: What a face is compared with.
        crowd: People with whom a photo is compared at once, of whom the nearest counts.
        progress: Told after each batch of photos.

    Raises:
        ConfigError: A rate lies outside (0, 1).
        DataError: There are too few people, or too few comparisons for the rate `at`.
    """
    rates = sorted({*rates, at}, reverse=True)
    if not all(0 < rate < 1 for rate in rates):
        raise ConfigError(f"false-accept rates lie in (0, 1), got {', '.join(map(str, rates))}")
    people = people_of(others)
    counts = [len(others.places_of(name)) for name in people]
    _check_carried(counts, at=at, templates=templates, crowd=crowd)
    embedded = embed_photos(embedder, others, progress=progress)
    owners, enrolled, probes = [], [], []
    for number, name in enumerate(people):
        own = embedded[others.places_of(name)]
        if len(own) >= templates:
            chosen = _mean(own[:templates], embedder) if rule == "mean" else own[:templates]
            enrolled.append(chosen)
            owners.append(torch.full((len(chosen),), number))
            own = own[templates:]
        probes.append((number, own))
    owner, template = torch.cat(owners), torch.cat(enrolled)
    _, places = owner.unique(return_inverse=True)
    own_number = owner.unique()
    rng = torch.Generator().manual_seed(0)
    apart = torch.cat([
        _nearest(compare(own, template, places, embedder.metric)[:, own_number != number],
                 crowd, rng)
        for number, own in probes if len(own)
    ]).sort().values  # fmt: skip
    points = []
    for rate in rates:
        accepted = int(rate * len(apart) + 1e-9)
        if accepted < len(apart):
            # Of equal distances, all are refused: a rate is never exceeded.
            accepted = int(torch.searchsorted(apart, apart[accepted]))
        if accepted < CARRIED:
            if rate == at:
                raise DataError(
                    f"too many of these comparisons are equally near for a rate of {at:g}"
                )
            continue
        points.append(
            OperatingPoint(
                false_accept_rate=rate,
                threshold=float((apart[accepted - 1] + apart[min(accepted, len(apart) - 1)]) / 2),
                comparisons=len(apart),
                people=len(people),
            )
        )
    return tuple(points)


def _check_carried(counts: Sequence[int], *, at: float, templates: int, crowd: int) -> None:
    """See that people with so many photos each make enough comparisons; before any is embedded.

    Raises:
        DataError: They do not.
    """
    enrolled = sum(count >= templates for count in counts)
    if len(counts) < 2 or not enrolled:
        raise DataError(
            "thresholds need two people or more who are not enrolled, somebody of them with "
            f"{templates} photos or more; got {len(counts)} people"
        )
    made = 0
    for count in counts:
        whole = count >= templates
        made += (count - templates if whole else count) * ((enrolled - whole) // crowd)
    if crowd > 1 and enrolled <= crowd:
        raise DataError(
            f"an open set of {crowd} people needs thresholds from more than {crowd} others with "
            f"{templates} photos or more each, and there are {enrolled}"
        )
    if int(at * made + 1e-9) < CARRIED:
        least = CARRIED / max(made, CARRIED)
        # Two figures, rounded up: a rate that is carried.
        step = 10.0 ** (math.floor(math.log10(least)) - 1)
        rate = f"a rate of {math.ceil(least / step) * step:.2g} or more" if least < 0.5 else ""
        raise DataError(
            f"a false-accept rate of {at:g} needs {CARRIED / at:,.0f} impostor comparisons, and "
            f"the photos of {len(counts)} people who are not enrolled make {made:,}: take "
            f"{rate}{', or ' if rate else ''}photos of more people"
        )


def _nearest(
    apart: Float[Tensor, "photos people"], crowd: int, rng: torch.Generator
) -> Float[Tensor, " comparisons"]:
    """Distances of photos from the nearest of each of as many crowds as there are, without rest."""
    if crowd == 1:
        return apart.flatten()
    drawn = torch.randperm(apart.shape[1], generator=rng)[: apart.shape[1] // crowd * crowd]
    nearest: Tensor = apart[:, drawn].unflatten(1, (-1, crowd)).amin(2)
    return nearest.flatten()
