"""What every part of `agns demo` is given."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.face_options import FaceOptions, open_glasses, open_subject
from agns.loading import LoadedVictim, load_setup, recorded_crop

if TYPE_CHECKING:
    from agns.data.faces import FaceSet
    from agns.evaluation.attack_setup import AttackSetup

DEMO_FRAMES = 2560
"""Drawn frames that the demonstration's attacks see; fewer than the whole set saves time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What every part is given."""

    victim: LoadedVictim
    """Whom to fool."""

    recognizer: Path | None
    """Its file, if it is not the one that comes with agns."""

    faces: Path | None
    """A face folder, if not drawn faces."""

    out: Path
    """Where pictures and results go."""

    seed: int

    @property
    def options(self) -> tuple[object, ...]:
        """The options that name the victim and the faces, for a command line."""
        named = (("--recognizer", self.recognizer), ("--faces", self.faces))
        return tuple(word for pair in named if pair[1] is not None for word in pair)

    @property
    def by_hand(self) -> Path:
        """Where the same done by hand may go: what this run writes is not written over."""
        return self.out.with_name(f"{self.out.name}-by-hand")

    @property
    def known(self) -> tuple[str, ...]:
        """The recogniser's identities whom the folder has; all of them without a folder."""
        from agns.data.face_folder import list_identities
        from agns.errors import ConfigError

        identities = self.victim.recognizer.identities
        if self.faces is None:
            return identities
        listed = list_identities(self.faces)
        known = tuple(name for name in identities if listed.get(name))
        if len(known) < 2:
            raise ConfigError(
                f"{self.faces} holds {len(known)} of the recogniser's {len(identities)} "
                "identities, but a demonstration needs two: name the recogniser of these faces "
                "with --recognizer"
            )
        return known

    def pair(self) -> tuple[str, str]:
        """Two identities, by the seed."""
        import torch

        draws = torch.Generator().manual_seed(self.seed)
        first, second = torch.randperm(len(self.known), generator=draws)[:2].tolist()
        return self.known[first], self.known[second]

    def photos(self, subject: str) -> "FaceSet":
        """One identity's photos."""
        options = FaceOptions(root=self.faces, center_crop=recorded_crop(self.victim.metadata))
        return open_subject(options, subject, self.victim.recognizer.identities)

    def setup(self) -> "AttackSetup":
        """The networks that come with agns, and some drawn frames."""
        return load_setup(self.victim, open_glasses(None, count=DEMO_FRAMES))
