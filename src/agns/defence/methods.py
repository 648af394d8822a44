"""The defences there are, by name and by file; and the user's own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agns.data.faces import names_like
from agns.defence.defended import FORMAT, Defence, Defended, digest_of
from agns.defence.detector import Detected
from agns.defence.masking import Masked, Masking
from agns.errors import AgnsError, ConfigError, WeightsError
from agns.models.black_box import BlackBox
from agns.models.opening import load, make_victim
from agns.models.victim import Victim
from agns.object_reference import is_reference, names_code
from agns.storage import load_tensors

DEFENCES: Mapping[str, Defence] = {"masking": Masking()}
"""Those that need no training, by name, with their usual settings."""

KINDS: Mapping[str, type[Defended]] = {one.kind: one for one in (Masked, Detected)}
"""What files hold."""


@dataclass(frozen=True, slots=True, eq=False)
class DefenceFile:
    """A defence as `agns defend` wrote it."""

    path: Path
    kind: type[Defended]
    settings: Mapping[str, object]
    tensors: Mapping[str, Tensor]
    source: str
    """Where the victim comes from that it was made for; empty for the recogniser that comes along.
    """
    digest: str
    """What that victim is known by."""

    @classmethod
    def read(cls, path: Path) -> "DefenceFile":
        """Read a file.

        Raises:
            ConfigError: There is none.
            WeightsError: It holds no defence, or a damaged one.
        """
        tensors, metadata = load_tensors(path)
        if metadata.get("format") != FORMAT:
            raise WeightsError(f"{path} holds no defence written by agns")
        try:
            told = {name: json.loads(metadata[name]) for name in ("kind", "settings", "victim")}
            return cls(
                path, KINDS[told["kind"]], dict(told["settings"]), tensors,
                str(told["victim"]["source"]), str(told["victim"]["digest"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise WeightsError(f"{path} holds an unusable defence: {error}") from error

    def around(self, victim: Victim) -> Defended:
        """Put it around a victim.

        Raises:
            ConfigError: It was made for another, and fits no other.
            WeightsError: The file's content makes no sense.
        """
        if not self.kind.for_any and digest_of(victim) != self.digest:
            raise ConfigError(
                f"{self.path} was made for {self.source or 'the recogniser that comes along'} and "
                "fits no other: name that one, or train the defence anew"
            )
        try:
            return self.kind.build(victim, self.settings, self.tensors).eval()
        except (AgnsError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsError(f"{self.path} holds an unusable defence: {error}") from error

    def open(self) -> Defended:
        """The defence around the victim that it was made for, which lies where it did or beside it.

        Raises:
            ConfigError: There is no such victim, or it is made by code, which no file may start.
            WeightsError: It is another than it was, or cannot be read.
        """
        if is_reference(self.source):
            raise ConfigError(
                f"{self.path} was made for {self.source}, and agns runs no code that a file names: "
                f"give it as the recogniser, and {self.path} as its defence"
            )
        source = Path(self.source)
        if not source.exists() and (self.path.parent / source.name).exists():
            source = self.path.parent / source.name
        try:
            victim = load(source if self.source else None)
        except RecursionError as error:
            raise WeightsError(f"{self.path} is a defence of itself") from error
        if digest_of(victim) != self.digest:
            raise WeightsError(
                f"{self.path} was made for another {source.name or 'recogniser'} than is there "
                "now: make the defence anew"
            )
        return self.around(victim)


def read_defended(path: Path) -> Defended:
    """A file's defence around the victim that it was made for; see `DefenceFile`."""
    return DefenceFile.read(path).open()


def _likely(defence: str) -> str:
    """What was meant by what is neither a name, a file nor a reference, in words."""
    if (written := Path(defence) / "defence.safetensors").is_file():
        return f"name {written}"
    package, dot, last = defence.rpartition(".")
    if dot and last != "safetensors" and is_reference(likely := f"{package}:{last}"):
        return f"did you mean {likely}?"
    known = names_like(defence, DEFENCES)
    return known or f"name {', '.join(DEFENCES)}, a file of `agns defend`, or package.module:Name"


def defend(victim: Victim, defence: str, place: torch.device) -> Victim:
    """Put a defence around a victim, on a device.

    Args:
        victim: On that device.
        defence: A name in `DEFENCES`, a file, or `package.module:Name` of what is called with the
            victim and gives the victim that is attacked in its place.
        place: The device.

    Raises:
        ConfigError: There is none of these, it makes no victim, or it was made for another.
        WeightsError: The file cannot be read.
    """
    if isinstance(victim, BlackBox):
        # The service has it: a query is a face, however many the defence looks at.
        inner = defend(victim.victim, defence, place)
        return BlackBox(inner, budget=victim.budget, decisions_only=victim.decisions_only)
    if defence in DEFENCES:
        made: Victim = DEFENCES[defence].around(victim)
    elif not names_code(defence) and Path(defence).is_file():
        made = DefenceFile.read(Path(defence)).around(victim)
    elif is_reference(defence):
        return make_victim(defence, place, victim)
    else:
        raise ConfigError(f"there is no defence {defence!r}: {_likely(defence)}")
    return made.to(place).eval() if isinstance(made, torch.nn.Module) else made
