"""What all defences are: victims around victims, which can be kept in files."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from agns.models.checkpoint import weights_digest
from agns.models.victim import Task, Victim, freeze, refuses, task_of
from agns.storage import save_tensors

FORMAT = "agns-defence-1"
"""What a defence's file calls itself."""


@runtime_checkable
class Defence(Protocol):
    """How a victim is defended: settings, or what was read from a file."""

    def around(self, victim: Victim) -> Victim:
        """The victim that is attacked in this one's place."""
        ...


class Defended(nn.Module, ABC):
    """A victim around a victim.

    Args:
        victim: Of any task; a network is copied, and frozen.
    """

    kind: ClassVar[str]
    """What its files call it."""

    for_any: ClassVar[bool] = True
    """Whether it can be put around another victim than the one that it was made for."""

    task: Task

    refuses: bool
    """Whether the last identity is of faces that it, or the victim within, refuses."""

    def __init__(self, victim: Victim) -> None:
        super().__init__()
        self.victim: Victim = freeze(victim)
        self.identities = tuple(victim.identities)
        self.task, self.refuses = task_of(victim), refuses(victim)
        self.record: Mapping[str, object] = {
            **(getattr(victim, "record", None) or {}), "defence": self.kind
        }  # fmt: skip

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """What it is, as JSON values, apart from its tensors."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Its own, without those of the victim within."""

    @classmethod
    @abstractmethod
    def build(
        cls, victim: Victim, settings: Mapping[str, object], tensors: Mapping[str, Tensor]
    ) -> "Defended":
        """Put what a file holds around a victim.

        Raises:
            AgnsError, KeyError, TypeError, ValueError, RuntimeError: It makes no sense.
        """

    def write(self, path: Path, *, victim: Victim, source: str) -> None:
        """Write the defence as one safetensors file; not the victim within.

        Args:
            path: The file.
            victim: Whom it was put around.
            source: Where that comes from: a file, or empty for the recogniser that comes along.
        """
        about = {
            "kind": self.kind,
            "settings": self.settings(),
            "victim": {"source": source, "digest": digest_of(victim)},
        }
        metadata = {name: json.dumps(value) for name, value in about.items()}
        save_tensors(path, self.tensors(), {"format": FORMAT, **metadata})


def digest_of(victim: Victim) -> str:
    """What a victim is known by; empty for one that is no network."""
    return weights_digest(victim) if isinstance(victim, nn.Module) else ""
