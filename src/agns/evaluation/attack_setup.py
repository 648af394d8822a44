"""What attacks need beside faces: the victim, the nets, real frames, and what is known of them."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.accessory.placement import Placement
from agns.data.faces import FaceSet
from agns.data.twins import were_seen
from agns.evaluation.controls import CONTROLS, control_frames, logits_wearing
from agns.evaluation.stealth import StealthScale
from agns.models.black_box import answering
from agns.models.dcgan import Discriminator, Generator
from agns.models.record import photos_enrolled, photos_seen
from agns.models.victim import Victim, freeze
from agns.types import Faces, Glasses, Progress, silent

_KEPT = 64
"""Sets of photos of which the controls' logits are kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AttackSetup:
    """What stays the same from attack to attack."""

    generator: Generator
    """Pretrained."""

    discriminator: Discriminator
    """Pretrained with it."""

    recognizer: Victim
    """The victim."""

    recognizer_name: str
    """How results name the victim."""

    metadata: Mapping[str, object]
    """What the victim's file says beside the weights."""

    glasses: Glasses
    """Real 64x176 frames as bytes."""

    @functools.cached_property
    def victim(self) -> Victim:
        """The recogniser in evaluation mode, laid out for speed."""
        return freeze(self.recognizer)

    @property
    def judge(self) -> Victim:
        """Whom scoring asks: the victim, but no black box, whose count is of the attack alone."""
        return answering(self.victim)

    @functools.cached_property
    def scale(self) -> StealthScale:
        """How benign frames score, the same for every attack."""
        rng = torch.Generator().manual_seed(0)
        return StealthScale(self.generator, self.discriminator, self.glasses, rng=rng)

    def control_logits(
        self,
        faces: Faces,
        placement: Placement,
        *,
        count: int,
        seed: int,
        names: tuple[str, ...] = CONTROLS,
        progress: Progress = silent,
    ) -> Mapping[str, Float[Tensor, "frames photos classes"]]:
        """What the victim says of photos that wear each control's frames.

        Attacks that are scored on the same photos share them: they do not depend on the attack.

        Args:
            faces: The held-out photos, in [0, 1].
            placement: Where frames sit on them.
            count: Frames of each control.
            seed: Of the frames.
            names: Which controls.
            progress: Told of every frame.
        """
        key = (count, seed, names, hashlib.sha256(faces.cpu().numpy().tobytes()).digest())
        # Where marks were found is not part of the key.
        known = self._known if placement.homographies is None else {}
        if key not in known:
            rng = torch.Generator().manual_seed(seed)
            frames = control_frames(self.glasses, count=count, rng=rng)
            every = [frames[name] for name in names]
            logits = logits_wearing(
                self.judge, faces, torch.cat(every), placement=placement, progress=progress
            )
            each = logits.split([len(some) for some in every])
            known[key] = dict(zip(names, each, strict=True))
            while len(known) > _KEPT:
                known.pop(next(iter(known)))
        return known[key]

    @functools.cached_property
    def _known(self) -> dict[tuple[object, ...], Mapping[str, Tensor]]:
        return {}

    @functools.cached_property
    def photos_seen(self) -> frozenset[str]:
        """Digests of the photos that the victim knows, as far as its file tells."""
        return photos_seen(self.metadata)

    def fresh(self, faces: FaceSet) -> Int64[Tensor, " fresh"]:
        """The places of the photos that nobody is enrolled with.

        A photo compared with itself is no test, neither of the attacker nor of the victim.
        """
        enrolled = photos_enrolled(self.metadata)
        if not enrolled:
            return torch.arange(len(faces))
        return (~were_seen(faces, enrolled)).nonzero()[:, 0]
