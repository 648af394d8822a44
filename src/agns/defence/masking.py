"""Masking: a victim that never sees where a frame may be, and is therefore blind to it.

What that guarantees stands in `agns.defence.certificate`.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from agns.attack.goals import with_nobody
from agns.defence.certificate import certified, two_rounds
from agns.defence.defended import Defended
from agns.defence.filling import Filling, fill
from agns.defence.placements import Placements, covering_region
from agns.errors import ConfigError
from agns.models.gallery import Gallery
from agns.models.victim import Victim
from agns.settings import Range, check_settings
from agns.types import CANVAS, Chosen, Faces, Labels, Logits

_ALONG = 64
"""Most faces shown at once."""

_MOST = 100
"""Regions of a file."""

ENROLLED_MASKED = "enrolled_masked"
"""In a gallery's record: it compares masked photos with masked ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """Masking of all places that a frame may have, within bounds, or of parts of them in turn."""

    filling: Filling = "diffusion"
    """What stands in the masked region: the border's colours run together, the photo's mean colour,
    or grey."""

    dilation: Annotated[float, Range("[0, 40]")] = 2.0
    """Pixels around the frame that are masked with it."""

    shift: Annotated[float, Range("[0, 60]")] = 0.0
    """Largest number of pixels by which a frame may sit to the side and up or down, either way."""

    scale: Annotated[float, Range("[0, 0.5]")] = 0.0
    """Largest share by which it may be larger or smaller."""

    turn: Annotated[float, Range("[0, 45]")] = 0.0
    """Largest angle in degrees by which it may be turned, either way."""

    parts: Annotated[int, Range("[1, 6]")] = 1
    """1 masks all places at once. More divides the shifts into as many along each axis, masks one
    and another of them in turn, and decides in two rounds (PatchCleanser)."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.parts > 1 and self.shift == 0:
            raise ConfigError("parts divide the shifts, and there is none: give a shift, or 1 part")

    @property
    def placements(self) -> Placements:
        """All that a frame may have."""
        return Placements(
            x=(-self.shift, self.shift),
            y=(-self.shift, self.shift),
            scale=(1 - self.scale, 1 + self.scale),
            turn=(-self.turn, self.turn),
        )

    def regions(self) -> Bool[Tensor, "regions 224 224"]:
        """What is masked in turn: every placement lies within one of these."""
        parts = self.placements.split(self.parts)
        return torch.stack([covering_region(one, dilation=self.dilation) for one in parts])

    def around(self, victim: Victim) -> "Masked":
        """The victim, masked; see `Masked`."""
        return Masked(victim, self.regions(), filling=self.filling)


class Masked(Defended):
    """A victim that is shown faces in which regions are filled from the rest.

    With one region it sees no pixel of it, and its gradient there is exactly 0. With several it
    decides in two rounds. Its logits are those under the region that decides, so that whoever comes
    first is who is decided on; their gradient is that of the mean over all regions, as an attack
    that knows the defence would follow it.

    Args:
        victim: Of any task; a recogniser is copied and frozen.
        regions: Filled in turn.
        filling: How.
    """

    kind = "masking"

    def __init__(
        self, victim: Victim, regions: Bool[Tensor, "regions 224 224"], *, filling: Filling
    ) -> None:
        super().__init__(victim)
        self.filling = filling
        self.register_buffer("regions", regions)

    def forward(self, faces: Faces) -> Logits:
        """Recognise canonical faces in [0, 1] without seeing what the regions hold."""
        regions = self._regions
        if len(regions) == 1:
            return self.victim(fill(faces, regions[0], self.filling))
        first = torch.stack([self.victim(fill(faces, one, self.filling)) for one in regions])
        with torch.no_grad():
            _, by = two_rounds(self._second_round(faces, self._decided(first)))
            by = by.reshape(len(faces), -1).expand(-1, first.shape[2])
            picked = first.gather(0, by[None])[0]
        mean = first.mean(0)
        return picked + (mean - mean.detach())

    def settings(self) -> dict[str, object]:
        """How regions are filled."""
        return {"filling": self.filling}

    def tensors(self) -> dict[str, Tensor]:
        """The regions."""
        return {"regions": self._regions.to(torch.uint8)}

    @classmethod
    def build(
        cls, victim: Victim, settings: Mapping[str, object], tensors: Mapping[str, Tensor]
    ) -> "Masked":
        """Put regions of a file around a victim."""
        regions, filling = tensors["regions"], settings["filling"]
        if regions.shape[1:] != (CANVAS, CANVAS) or not 1 <= len(regions) <= _MOST:
            raise ValueError(f"regions are {tuple(regions.shape)}")
        for known in get_args(Filling):
            if filling == known:
                return cls(victim, regions > 0, filling=known)
        raise ValueError(f"there is no filling {filling!r}")

    @property
    def _regions(self) -> Bool[Tensor, "regions 224 224"]:
        return self.get_buffer("regions")

    @torch.no_grad()
    def decisions(self, faces: Faces) -> Int64[Tensor, "regions regions decisions"]:
        """What is decided under each pair of regions.

        Each photo has one decision, the place of the identity it is taken for (the number of
        identities for nobody); in verification one for each claim, 1 where it is believed.
        """
        count = len(self._regions)
        rows: list[list[Tensor]] = [[torch.empty(0)] * count for _ in range(count)]
        for one in range(count):
            for other in range(one, count):
                both = self._regions[one] | self._regions[other]
                parts = [
                    self.victim(fill(some, both, self.filling)) for some in faces.split(_ALONG)
                ]
                rows[one][other] = rows[other][one] = self._decided(torch.cat(parts)[None])[0]
        return torch.stack([torch.stack(row) for row in rows])

    def certify(self, faces: Faces, classes: Labels) -> Chosen:
        """Which photos no frame within the regions can keep from being taken for their class.

        Args:
            faces: Without a frame, in [0, 1].
            classes: Of each photo; in verification, whose claim is made.
        """
        decisions = self.decisions(faces)
        if self.task != "verification":
            return certified(decisions, classes)
        claims = decisions.unflatten(2, (len(faces), len(self.identities)))
        own = claims[:, :, torch.arange(len(faces)), classes]
        return certified(own, torch.ones_like(classes))

    def _decided(self, logits: Tensor) -> Tensor:
        """Decisions by logits: (..., photos, identities) to (..., decisions)."""
        if self.task == "verification":
            return (logits > 0).long().flatten(-2)
        if self.task == "open-set":
            logits = with_nobody(logits.flatten(0, -2)).unflatten(0, logits.shape[:-1])
        return logits.argmax(-1)

    def _second_round(
        self, faces: Faces, first: Int64[Tensor, "regions decisions"]
    ) -> Int64[Tensor, "regions regions decisions"]:
        """Decisions under pairs, as far as the second round needs them; the others are -1."""
        count, each = len(first), first.shape[1] // max(1, len(faces))
        found = torch.full((count, count, first.shape[1]), -1)
        found[range(count), range(count)] = first
        minority = (first != first.mode(0).values).unflatten(1, (len(faces), each)).any(2)
        for one in range(count):
            photos = minority[one].nonzero()[:, 0]
            if len(photos) == 0:
                continue
            places = (photos[:, None] * each + torch.arange(each)).flatten()
            for other in range(count):
                if other != one:
                    both = self._regions[one] | self._regions[other]
                    logits = self.victim(fill(faces[photos], both, self.filling))
                    found[one, other, places] = self._decided(logits[None])[0]
        return found


def thresholds_of(victim: Victim) -> Gallery | None:
    """The gallery whose logits are a victim's own, and move with its threshold; None without one.

    That is a gallery itself, or one that is masked in one region and was enrolled for it: others'
    thresholds are of photos that are not masked.
    """
    if isinstance(victim, Masked) and len(victim.get_buffer("regions")) == 1:
        victim = victim.victim
        if not (isinstance(victim, Gallery) and victim.record.get(ENROLLED_MASKED)):
            return None
    return victim if isinstance(victim, Gallery) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedPhotos:
    """Training photos as a masked recogniser sees them: a challenge for its training."""

    masking: Masking

    def __call__(
        self, recognizer: Victim, faces: Faces, labels: Labels, *, rng: torch.Generator
    ) -> Faces:
        """Fill one region in all photos, or two of several that are drawn for each batch."""
        regions = _regions_of(self.masking)
        one, other = torch.randint(len(regions), (2,), generator=rng).tolist()
        return fill(faces, (regions[one] | regions[other]).to(faces.device), self.masking.filling)


@functools.lru_cache(maxsize=2)
def _regions_of(masking: Masking) -> Bool[Tensor, "regions 224 224"]:
    return masking.regions()
