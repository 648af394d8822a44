"""Galleries: an embedding and people who are enrolled with photos, as a victim like any other.

A face is compared with each person's templates. Where there is a threshold, a comparison below it
is accepted. Thresholds come from impostor comparisons of other people, at a false-accept rate.
"""

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor, nn

from agns.data.faces import FaceSet, composed
from agns.data.twins import were_seen
from agns.errors import ConfigError, WeightsError
from agns.models.checkpoint import weights_digest
from agns.models.embedder import Embedder
from agns.models.gallery_file import FORMAT, read_told, templates_in
from agns.models.operating_points import (
    RATES,
    OperatingPoint,
    Rule,
    calibrate,
    compare,
    enrol,
    people_of,
)
from agns.models.record import photos_enrolled, plain
from agns.models.victim import Task, task_of
from agns.storage import save_tensors
from agns.types import Embeddings, Faces, Logits, Progress, silent

LOGITS = 20.0
"""How many logits a distance of one threshold makes: a tenth of it is odds of 7 to 1."""


class Gallery(nn.Module):
    """An embedding and enrolled people as a victim.

    Logits are `LOGITS` for each threshold's length by which a face is nearer than the threshold, so
    that 0 is the threshold itself.

    Args:
        embedder: In evaluation mode; not changed.
        enrolled: Photos of the people, whose identities it takes: a `FaceSet`, or canonical faces
            in [0, 1] by name.
        rule: What a face is compared with.
        task: `verification` of a claim or `open-set` identification, which need a threshold, or
            `closed-set` identification, which ignores it.
        threshold: Distance below which a comparison is accepted; None for a closed set.

    Raises:
        ConfigError: There are fewer than two people, somebody has no photo, or there is no
            threshold where the task needs one.
    """

    task: Task
    points: tuple[OperatingPoint, ...] = ()
    """Operating points, loosest first; the threshold is one of them where `calibrate` set it."""
    record: Mapping[str, object] = MappingProxyType({})
    """How it came about, as JSON values: `enrolled_photos` holds their digests."""

    def __init__(
        self,
        embedder: Embedder,
        enrolled: FaceSet | Mapping[str, Faces],
        *,
        rule: Rule = "mean",
        task: Task | None = None,
        threshold: float | None = None,
    ) -> None:
        templates = enrol(embedder, enrolled, rule)
        self._fill(embedder, tuple(templates), list(templates.values()), rule, task, threshold)
        if isinstance(enrolled, FaceSet):
            self.record = {"enrolled_photos": sorted(set(enrolled.digests))}

    def _fill(
        self,
        embedder: Embedder,
        identities: Sequence[str],
        templates: Sequence[Embeddings],
        rule: Rule,
        task: Task | None,
        threshold: float | None,
    ) -> None:
        super().__init__()
        self.identities = tuple(map(composed, identities))
        if len(set(self.identities)) < max(2, len(self.identities)):
            raise ConfigError("a gallery needs at least two people, each of another name")
        if threshold is not None and not 0 < threshold < math.inf:
            raise ConfigError(f"a threshold is a distance above 0, got {threshold}")
        self.embedder, self.rule = embedder, rule
        self.task = task or ("closed-set" if threshold is None else "verification")
        task_of(self)
        if threshold is None and self.task != "closed-set":
            raise ConfigError(f"{self.task} needs a threshold: give one, or calibrate the gallery")
        self.threshold = threshold
        self.slope = LOGITS / (1.0 if threshold is None else threshold)
        owners = [torch.full((len(own),), place) for place, own in enumerate(templates)]
        self.register_buffer("templates", torch.cat(list(templates)))
        self.register_buffer("owners", torch.cat(owners))

    @classmethod
    def of_templates(
        cls,
        embedder: Embedder,
        templates: Mapping[str, Embeddings],
        *,
        rule: Rule = "mean",
        task: Task | None = None,
        threshold: float | None = None,
    ) -> "Gallery":
        """A gallery of templates that are embedded already, by name."""
        made = cls.__new__(cls)
        made._fill(embedder, tuple(templates), list(templates.values()), rule, task, threshold)
        return made

    def forward(self, faces: Faces) -> Logits:
        """Compare faces with everybody.

        Args:
            faces: Canonical faces, float32 RGB, (batch, 3, 224, 224), in [0, 1].

        Returns:
            (batch, identities).

        Raises:
            ImageContractError: The faces have another size, layout or range.
        """
        threshold = 0.0 if self.threshold is None else self.threshold
        logits: Logits = self.slope * (threshold - self.distances(faces))
        return logits

    def distances(self, faces: Faces) -> Float[Tensor, "batch identities"]:
        """How far faces lie from everybody: from the mean of their templates or the nearest."""
        return compare(
            self.embedder(faces),
            self.get_buffer("templates"),
            self.get_buffer("owners"),
            self.embedder.metric,
        )

    def at(self, false_accept_rate: float) -> "Gallery":
        """The same gallery at another of its operating points.

        Raises:
            ConfigError: It has no such point.
        """
        for point in self.points:
            if math.isclose(point.false_accept_rate, false_accept_rate, rel_tol=1e-6):
                other = copy.copy(self)
                other.threshold = point.threshold
                return other
        known = ", ".join(f"{point.false_accept_rate:g}" for point in self.points) or "none"
        raise ConfigError(
            f"the gallery has no operating point at a false-accept rate of {false_accept_rate:g}: "
            f"it has {known}"
        )

    def logits_at(
        self, logits: Float[Tensor, "*some identities"], point: OperatingPoint
    ) -> Float[Tensor, "*some identities"]:
        """What logits would be at another operating point."""
        threshold = 0.0 if self.threshold is None else self.threshold
        return logits + self.slope * (point.threshold - threshold)

    def calibrate(
        self,
        others: FaceSet,
        *,
        rates: Sequence[float] = RATES,
        at: float = 0.001,
        templates: int = 3,
        task: Task = "verification",
        progress: Progress = silent,
    ) -> "Gallery":
        """The same gallery with thresholds from other people's impostor comparisons.

        Each of the others is enrolled by the gallery's rule with some photos, and everybody else's
        remaining photos are compared with them: as a gallery is used. For a claim, each such
        comparison counts. For `open-set` identification a photo is compared with as many of them
        at once as the gallery has people, drawn at random, and is accepted where the nearest is:
        the rate is the share of strangers' photos that are taken for anybody (ISO/IEC 19795-1's
        false-positive identification rate).

        Args:
            others: Photos of people who are not enrolled; who has too few is compared alone.
            rates: False-accept rates of its operating points; those that the number of comparisons
                does not carry are left out (`CARRIED`).
            at: Which of them is the threshold.
            templates: Photos that each of the others is enrolled with.
            task: What the gallery is for.
            progress: Told after each batch of photos.

        Raises:
            ConfigError: Somebody of them is enrolled.
            DataError: There are too few comparisons for the rate, or too few people for an open
                set.
        """
        both = sorted(set(self.identities) & set(people_of(others)))
        if both:
            raise ConfigError(f"thresholds come from people who are not enrolled, and {both[0]} is")
        known = photos_enrolled(self.record)
        if known and (count := int(were_seen(others, known).sum())):
            raise ConfigError(
                f"thresholds come from people who are not enrolled, and {count} of these photos "
                "are among those that people are enrolled with"
            )
        points = calibrate(
            self.embedder, others, rates=rates, at=at, templates=templates, rule=self.rule,
            crowd=len(self.identities) if task == "open-set" else 1, progress=progress,
        )  # fmt: skip
        other = copy.copy(self)
        other.points, other.task = points, task
        other.threshold = next(one.threshold for one in points if one.false_accept_rate == at)
        other.slope = LOGITS / other.threshold
        other.record = {
            **self.record,
            "operating_points": [asdict(point) for point in points],
            "threshold_photos": sorted(set(others.digests)),
        }
        return other

    def write(self, path: Path, *, source: str) -> None:
        """Write templates, thresholds and record as one safetensors file; not the embedding.

        Args:
            path: The file.
            source: Where the embedding comes from: `dlib`, or a file.
        """
        about = {
            "identities": list(self.identities),
            "rule": self.rule,
            "task": self.task,
            "threshold": self.threshold,
            "slope": self.slope,
            "embedder": {"source": source, "digest": weights_digest(self.embedder)},
        }
        metadata = {name: json.dumps(value) for name, value in {**self.record, **about}.items()}
        save_tensors(path, dict(self.named_buffers(recurse=False)), {"format": FORMAT, **metadata})

    @classmethod
    def read(cls, path: Path | str, find: Callable[[str], Embedder]) -> "Gallery":
        """Read what `write` wrote.

        Args:
            path: The file.
            find: The embedding that a source names.

        Raises:
            ConfigError: There is no such file, or no such embedding.
            WeightsError: It holds no gallery, is damaged, or was made with another embedding.
        """
        told, tensors, record = read_told(Path(path))
        try:
            embedder = find(told.embedder.source)
        except (ConfigError, OSError) as error:
            source = plain(told.embedder.source)[:200]
            raise ConfigError(f"{path} compares by the embedding {source}: {error}") from error
        if weights_digest(embedder) != told.embedder.digest:
            raise WeightsError(
                f"{path} was made with another embedding than {told.embedder.source} is now: "
                "enrol its people anew"
            )
        try:
            own = templates_in(tensors, told, embedder)
        except ValueError as error:
            raise WeightsError(f"{path} holds an unusable gallery: {error}") from error
        made = cls.of_templates(
            embedder, own, rule=told.rule, task=told.task, threshold=told.threshold
        )
        made.slope, made.points = told.slope, told.operating_points
        made.record = record
        if "checked" in embedder.record:
            made.record = {**made.record, "checked": embedder.record["checked"]}
        return made.eval()
