"""What makes training photos harder for a recogniser as it stands: adversarial training."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from agns.models.recognizer import Recognizer
from agns.models.victim import Victim
from agns.types import Faces, Labels

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@runtime_checkable
class Challenge(Protocol):
    """Settings, a dataclass, that are called with each batch."""

    def __call__(
        self, recognizer: Victim, faces: Faces, labels: Labels, *, rng: torch.Generator
    ) -> Faces:
        """Make photos harder.

        Args:
            recognizer: As it stands, in evaluation mode.
            faces: Of the canonical size, in [0, 1], where the recogniser is.
            labels: Their classes.
            rng: Of every draw.

        Returns:
            As many, in [0, 1], without a graph.
        """
        ...


def recorded(challenge: "Challenge | None") -> dict[str, object]:
    """A challenge as a record has it; nothing of none."""
    if challenge is None:
        return {}
    assert dataclasses.is_dataclass(challenge)
    settings: DataclassInstance = challenge
    return {"challenge": {"kind": type(challenge).__name__, **dataclasses.asdict(settings)}}


@contextlib.contextmanager
def asked(recognizer: Recognizer) -> Iterator[Recognizer]:
    """Within, a recogniser in training answers as in evaluation mode."""
    training = recognizer.training
    recognizer.eval()
    try:
        yield recognizer
    finally:
        recognizer.train(training)
