"""What every part of `agns demo` is given: the victim, faces, and where to write."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from agns.cli.console import bar
from agns.cli.face_options import FaceOptions, open_faces, open_glasses, open_subject
from agns.cli.launching import command
from agns.data.face_folder import list_identities
from agns.data.faces import FaceSet
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.twins import were_seen
from agns.errors import ConfigError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.demonstration import SHOWN
from agns.loading import LoadedVictim, load_setup
from agns.models.record import photos_seen, recorded_crop

DEMO_FRAMES = 2560
"""Drawn frames that the demonstration's attacks see; fewer than the whole set saves time."""

TRIED = 8
"""Photos of each drawn identity that the recogniser is shown."""


@dataclass(frozen=True)
class Demo:
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

    def options(self, recognizer: str = "--recognizer") -> tuple[object, ...]:
        """The options that name the victim and the faces, for a command line."""
        named = ((recognizer, self.recognizer), ("--faces", self.faces))
        return tuple(word for pair in named if pair[1] is not None for word in pair)

    @property
    def named(self) -> str:
        """The recogniser's file as Python takes it; nothing for that which comes with agns."""
        return "" if self.recognizer is None else repr(str(self.recognizer))

    def drawing(self, photos: int) -> list[str]:
        """The command that writes so many drawn photos of each, if faces are drawn."""
        size = ("--identities", len(self.known), "--photos", photos, "--first-photo", 80)
        return [] if self.faces else [command("faces", "draw", "--out", "faces", *size)]

    def loading(self) -> list[str]:
        """Lines of Python that load the victim, and faces from a folder."""
        crop = recorded_crop(self.victim.metadata)
        cut = "" if crop is None else f", center_crop={crop}"
        return [
            "import agns",
            f"victim = agns.load({self.named})",
            f"faces = agns.load_faces({str(self.faces or 'faces')!r}{cut})",
        ]

    @property
    def by_hand(self) -> Path:
        """Where the same done by hand may go: what this run writes is not written over."""
        return self.out.with_name(f"{self.out.name}-by-hand")

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The recogniser's identities whom the folder has; all of them without a folder."""
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
        """Two identities: those that the demonstration shows, others by the seed."""
        _, subject, target = SHOWN
        if {subject, target} <= set(self.known):
            return subject, target
        rng = torch.Generator().manual_seed(self.seed)
        first, second = torch.randperm(len(self.known), generator=rng)[:2].tolist()
        return self.known[first], self.known[second]

    def photos(self, subject: str) -> FaceSet:
        """One identity's photos."""
        options = FaceOptions(root=self.faces, center_crop=recorded_crop(self.victim.metadata))
        return open_subject(options, subject, self.victim.recognizer.identities)

    def unseen(self) -> FaceSet:
        """Photos of all identities that the recogniser was not trained on."""
        if self.faces is None:
            drawn = SyntheticConfig(identities=len(self.known), photos=TRIED, first_photo=80)
            with bar("Drawing faces") as progress:
                return synthetic_faces(drawn, progress=progress)
        crop = recorded_crop(self.victim.metadata)
        photos = open_faces(FaceOptions(root=self.faces, names=self.known, center_crop=crop))
        fresh = (~were_seen(photos, photos_seen(self.victim.metadata))).nonzero()[:, 0]
        if not len(fresh):
            raise ConfigError(
                f"the recogniser was trained on every photo in {self.faces}: give others"
            )
        return photos.subset(fresh)

    def setup(self) -> AttackSetup:
        """The networks that come with agns, and some drawn frames."""
        return load_setup(self.victim, open_glasses(None, count=DEMO_FRAMES))
