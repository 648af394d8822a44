"""The launch of a training and what is told at its end, and command lines as a shell takes them."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli import interrupts
from agns.cli.console import bar, percent, say
from agns.cli.face_options import FaceOptions, open_faces, open_glasses, say_saved_anew
from agns.cli.interrupts import between_steps
from agns.writing import plain

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from agns.data.faces import FaceSet
    from agns.models.recognizer import Recognizer
    from agns.training.parallel import Machines
    from agns.training.recognizer_scores import RecognizerScores
    from agns.training.run import Provenance
    from agns.types import Glasses, Progress


@dataclass(frozen=True, slots=True)
class Begun:
    """A training on photos that has been launched, before its first step."""

    fabric: "Fabric"
    photos: "FaceSet"
    glasses: "Glasses"
    about: "Provenance"
    title: str

    @contextlib.contextmanager
    def steps(self) -> "Iterator[Progress]":
        """Show the steps; what interrupts waits for the end of one, if this process is alone."""
        with (
            bar(f"Training {self.title}") as shown,
            between_steps(shown, processes=self.fabric.world_size) as progress,
        ):
            yield progress


@contextlib.contextmanager
def begin_training(
    machines: "Machines",
    options: FaceOptions,
    glasses: Path | None,
    out: Path,
    title: str,
    *,
    resume: bool,
) -> "Iterator[Begun]":
    """Launch a training, and read what it is made on."""
    from agns.training.parallel import first_then_others
    from agns.training.run import Provenance

    with _launched(machines, out, resume=resume) as fabric:
        # The others find on the disk what the first one has decoded, drawn and downloaded.
        photos = first_then_others(fabric, lambda: open_faces(options))
        frames = first_then_others(fabric, lambda: open_glasses(glasses, count=2000))
        about = Provenance(
            source=options.source, center_crop=options.center_crop, command=command(*sys.argv[1:])
        )
        yield Begun(fabric, photos, frames, about, title)


@contextlib.contextmanager
def _launched(machines: "Machines", out: Path, *, resume: bool) -> "Iterator[Fabric]":
    """Start the processes of a training; all but the first are silent.

    Each process runs the command anew from its beginning.

    Args:
        machines: What to run on.
        out: The run directory, which the first process checks before any other starts.
        resume: As `RunDirectory` takes it.

    Raises:
        ConfigError: The directory cannot be used.
    """
    from agns.errors import AgnsError
    from agns.run_directory import RunDirectory
    from agns.training.parallel import is_first_process, running

    if is_first_process():
        RunDirectory.check(out, resume=resume)
        with running(machines) as fabric:
            yield fabric
        return
    try:
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
            running(machines) as fabric,
        ):
            yield fabric
    except AgnsError:
        # The first process says it.
        sys.exit(1)
    except (Exception, KeyboardInterrupt):
        if interrupts.interrupted():
            sys.exit(interrupts.exit_code())
        raise


def command(*words: object) -> str:
    """A command line that a shell takes as it is, whatever names are in it."""
    return " ".join(["agns", *map(_quoted, words)])


def _quoted(word: object) -> str:
    # A path must not pass for an option.
    text = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    if plain(text) == text:
        return shlex.quote(text)
    # What cannot be printed as it is, shells take byte by byte.
    return "$'" + "".join(f"\\x{byte:02x}" for byte in os.fsencode(text)) + "'"


def report_training(
    recognizer: "Recognizer",
    scores: "RecognizerScores",
    photos: "FaceSet",
    out: Path,
    recipe: Mapping[str, object],
) -> None:
    """Report a training's mistakes, and say how good its recogniser is."""
    from agns.data.twins import count_saved_anew, find_twins
    from agns.evaluation.recognizer_report import report_recognizer
    from agns.training.run import photos_as_begun

    plot_losses(out, "loss", "validation_loss")
    photos, split = photos_as_begun(out, photos)
    copies = count_saved_anew(photos, find_twins(photos))
    with bar("Looking for mistakes") as progress:
        report_recognizer(
            recognizer, photos.subset(split.test), scores, out, saved_anew=copies,
            recipe=recipe, progress=progress,
        )  # fmt: skip
    say(
        f"On {scores.photos} test photos: accuracy {percent(scores.accuracy)}, balanced "
        f"{percent(scores.balanced_accuracy)}; {percent(scores.naive_dodging)} not recognised "
        f"when wearing benign eyeglasses."
    )
    say_saved_anew(copies)
    say(f"Wrote {out / 'recognizer.safetensors'}; {out / 'report.html'} shows the mistakes.")


def plot_losses(out: Path, *names: str) -> None:
    """Draw what a run has logged by these names into its `losses.png`."""
    from agns.evaluation.plots import draw_losses
    from agns.run_directory import RunDirectory

    draw_losses(out / "losses.png", RunDirectory(out, None, resume=True).rows(), names)
