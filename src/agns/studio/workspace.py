"""What every page of a server shares: recognisers, faces, eyeglasses and runs."""

import functools
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from agns.attack.attack import Nets, shipped_nets
from agns.data.eyeglasses import read_eyeglasses
from agns.data.face_folder import list_identities
from agns.data.simulation.drawn_frames import draw_frames
from agns.evaluation.stealth import StealthScale
from agns.loading import LoadedVictim, load_victim
from agns.models.victim import Victim, freeze
from agns.studio.attack_request import AttackRequest
from agns.studio.runs import Run, Runs
from agns.types import Glasses

SHIPPED = "The recogniser that comes with agns"

REAL = 200
"""Real frames that generated ones stand beside on the page; attacks take all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Workspace:
    """What `agns studio` was begun with."""

    root: Path
    """Folder of runs and campaigns."""
    faces: Path | None = None
    """Face folder; None for drawn faces."""
    glasses: Path | None = None
    """Folder of eyeglasses; None for drawn ones."""
    recognizers: tuple[str, ...] = ()
    """Further ones to choose, as for `agns.load`."""
    runs: Runs = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", Runs(self.root))

    @property
    def choices(self) -> list[str]:
        """The recognisers that a page offers."""
        return [SHIPPED, *self.recognizers]

    def source(self, choice: str, uploaded: str | None) -> str | None:
        """What a choice stands for, as for `agns.load`: a path comes from no browser."""
        if choice in self.recognizers:
            return choice
        return uploaded if choice != SHIPPED else None

    def open(self, source: str | None) -> LoadedVictim:
        """A recogniser, kept for the next question.

        Raises:
            AgnsError: As `agns.loading.load_victim`.
        """
        return _opened(source)

    def begin(
        self, request: AttackRequest, *, uploaded: str | None, folder: Path | None = None
    ) -> Run:
        """Begin an attack; an uploaded recogniser is kept with it, as its session may end.

        Raises:
            ConfigError: As many run as may at a time.
        """
        self.runs.check_room()
        if uploaded is not None and request.recognizer == uploaded:
            folder = self.runs.new_folder() if folder is None else folder
            kept = (folder / "recognizer.safetensors").resolve()
            shutil.copyfile(uploaded, kept)
            request = replace(request, recognizer=str(kept))
        return self.runs.begin(request, folder=folder)

    def subjects(self, victim: Victim) -> list[str]:
        """Whose photos there are: those in the face folder, or the drawn people."""
        if self.faces is None:
            return list(victim.identities)
        return sorted(list_identities(self.faces))

    @property
    def faces_folder(self) -> str | None:
        """The face folder, as a command finds it from anywhere."""
        return None if self.faces is None else str(self.faces.resolve())

    @property
    def glasses_folder(self) -> str | None:
        """The folder of eyeglasses, likewise."""
        return None if self.glasses is None else str(self.glasses.resolve())

    @functools.cached_property
    def nets(self) -> Nets:
        """The generator and discriminator that come with agns."""
        return shipped_nets()

    @functools.cached_property
    def real(self) -> Glasses:
        """Some real eyeglasses."""
        if self.glasses is not None:
            return read_eyeglasses(self.glasses)[:REAL]
        return draw_frames(REAL)

    @functools.cached_property
    def scale(self) -> StealthScale:
        """How benign frames score."""
        return StealthScale(*self.nets, self.real, rng=torch.Generator().manual_seed(0))


@functools.lru_cache(maxsize=3)
def _opened(source: str | None) -> LoadedVictim:
    loaded = load_victim(source)
    return loaded._replace(recognizer=freeze(loaded.recognizer))
