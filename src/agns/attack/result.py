"""What every attack leaves, before it is scored on other photos; in memory, and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from agns.accessory.frame import place
from agns.attack.goals import Goal
from agns.errors import ConfigError
from agns.images import write_image
from agns.models.dcgan import Generator
from agns.storage import save_tensors, write_json
from agns.types import Frames, Latents

if TYPE_CHECKING:
    from agns.attack.attack import Attack

Reason: TypeAlias = Literal[
    "reached the stop value",
    "used up the eyeglasses",
    "used up its steps",
    "used up its frames",
    "used up its queries",
    "interrupted",
    "lost the victim",
    "not finite",
]
"""Why an attack's loop ended."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BestAfter:
    """The best frame that an attack had after so many queries."""

    queries: int
    frame: Frames
    """(1, 3, 64, 176), in [0, 1]."""


@dataclass(slots=True, kw_only=True, eq=False)
class AttackResult:
    """The frames that an attack found, and how it found them."""

    frames: Frames
    """(frames, 3, 64, 176), in [0, 1], best first."""

    probability: float
    """The best frame's mean class probability over the craft photos, in [0, 1]: the subject's
    when dodging, else the target's."""

    met: bool
    """Whether that reaches the goal's stop value."""

    iterations: int
    """Steps taken."""

    seconds: float
    """Time spent in the loop, with sampling and scoring frames."""

    stopped_because: Reason
    """Why the loop ended."""

    history: list[dict[str, float]] = field(default_factory=list)
    """Figures of each step, the mean class probability among them. Of AGN also the
    discriminator's objective, the recogniser's, and the discriminator's training loss; of attacks
    that only ask, the best probability so far, and the queries."""

    queries: int | None = None
    """Faces that the victim was asked about; None where nobody counted."""

    lost: str = ""
    """What the victim said as it failed, where that ended the attack."""

    best_after: Sequence[BestAfter] = ()
    """Where queries were counted: the best frame after more and more of them, the last one last."""

    generator: Generator | None = None
    """What drew the frames, in evaluation mode, where there is one: a fine-tuned copy."""

    latents: Latents | None = None
    """What it drew them from, (frames, 25)."""

    goal: Goal | None = None
    """What the attack was to reach, by names."""

    craft_digests: Sequence[str] = ()
    """Of the craft photos' pictures, where they came as a `FaceSet`."""

    attack: "Attack | None" = None
    """The attack that made it, with its settings."""

    seed: int | None = None
    """Of the attack's draws."""


def save_result(result: AttackResult, out: Path) -> None:
    """Write what an attack found into a directory.

    `frame.png` is the best frame, 64x176, and `frame_on_canvas.png` the same on the 224x224
    canvas; `frames/` holds it and the others, best first; `history.json` the figures of each step.
    Where a generator drew them, `latents.safetensors` is what `generator.safetensors`, the
    fine-tuned one, drew them from; `agns.AGN.draw` does it again. What an earlier attack left that
    ended before its result was written goes.
    """
    frames = result.frames
    for left in (out / "frames").glob("[0-9][0-9]*.png"):
        left.unlink()
    for name in ("latents", "generator"):
        (out / f"{name}.safetensors").unlink(missing_ok=True)
    write_image(out / "frame.png", frames[0])
    write_image(out / "frame_on_canvas.png", place(frames[:1])[0])
    for rank, frame in enumerate(frames):
        write_image(out / "frames" / f"{rank + 1:02d}.png", frame)
        write_image(out / "frames" / f"{rank + 1:02d}_on_canvas.png", place(frame[None])[0])
    if result.generator is not None and result.latents is not None:
        save_tensors(out / "latents.safetensors", {"latents": result.latents}, {})
        result.generator.write(out / "generator.safetensors")
    write_json(out / "history.json", {"steps": result.history})


def frame_file(path: Path) -> Path:
    """The best frame of an attack's directory, or the file itself where it is one.

    Raises:
        ConfigError: There is neither.
    """
    found = path / "frame.png" if path.is_dir() else path
    if not found.is_file():
        raise ConfigError(f"{path} is no picture of a frame, nor a directory with a frame.png")
    return found
