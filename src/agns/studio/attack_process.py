"""The process of one run: `python -m agns.studio.attack_process FOLDER`.

It does what `agns attack` does, by the same functions, and tells how far it is in files.
"""

import contextlib
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.interrupts import interruptible
from agns.cli.recognize import likeliest
from agns.errors import AgnsError
from agns.storage import write_json
from agns.studio.attack_request import AttackRequest

if TYPE_CHECKING:
    import torch

    from agns.accessory.placement import Placement
    from agns.data.faces import FaceSet
    from agns.models.victim import Victim
    from agns.types import Progress

BETWEEN = 0.5
"""Seconds between two pictures for the page."""

MOST_POINTS = 300
"""Of a curve: more would only make its file large."""


class Telling:
    """Tells pages how far a run is, by files in its folder."""

    def __init__(self, folder: Path, recognizer: "Victim", *, stop: float) -> None:
        self._folder = folder
        self._recognizer = recognizer
        self._told = 0.0
        self._shown: tuple[torch.Tensor, torch.Tensor] | None = None
        self._content: dict[str, object] = {"stop": stop}
        self._curve: list[list[float | None]] = []
        self._every = 1

    def phase(self, words: str) -> None:
        """Tell what is being done."""
        self._content |= {"phase": words, "done": 0, "total": 0, "figures": {}}
        self._write()

    @contextlib.contextmanager
    def watching(self, victim: "Victim") -> "Iterator[None]":
        """Keep the first face of those that a network is shown, and what it says of it."""
        from torch import nn

        def keep(module: object, given: "tuple[torch.Tensor, ...]", said: "torch.Tensor") -> None:
            self._shown = given[0][0].detach(), said[0].detach().float()

        # What is no network cannot be watched; then there are curves alone.
        handle = victim.register_forward_hook(keep) if isinstance(victim, nn.Module) else None
        try:
            yield
        finally:
            if handle is not None:
                handle.remove()

    @contextlib.contextmanager
    def steps(self) -> "Iterator[Progress]":
        """What an attack reports its steps to."""
        self.phase("Attacking")
        yield self._step
        self.phase("Scoring on held-out photos")

    def _step(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        if done % self._every == 0 or done == total:
            self._curve.append([done, figures.get("probability"), figures.get("best")])
            if len(self._curve) > MOST_POINTS:
                self._curve, self._every = self._curve[1::2], self._every * 2
        self._content |= {"done": done, "total": total, "figures": dict(figures)}
        if time.monotonic() - self._told >= BETWEEN or done in (1, total):
            self._picture()
            self._write()

    def _picture(self) -> None:
        if self._shown is None:
            return
        from agns.images import write_image

        face, logits = self._shown
        write_image(self._folder / "live.png", face.clamp(0, 1), quick=True)
        self._content["shown"] = likeliest(self._recognizer, logits, 4)

    def _write(self) -> None:
        self._told = time.monotonic()
        write_json(self._folder / "progress.json", self._content | {"curve": self._curve})


def work(folder: Path) -> None:
    """Attack, score, and write everything.

    Raises:
        AgnsError: As `agns attack` does.
    """
    from agns.accessory.printability import palette_at
    from agns.attack.methods import palette_of
    from agns.cli.face_options import open_glasses
    from agns.evaluation.attack_spec import build_goal
    from agns.evaluation.prepared_attack import run_attack
    from agns.loading import attacked_crop, load_setup, load_victim
    from agns.training.precision import set_up_process

    request = AttackRequest.read(folder / "request.json")
    set_up_process()
    victim = load_victim(request.recognizer, "auto")
    attack, spec = request.attack(), request.spec()
    palette_at(palette_of(attack))
    goal = build_goal(spec, victim.recognizer)
    telling = Telling(folder, victim.recognizer, stop=goal.stop)
    telling.phase("Reading photos" if request.faces or request.physical else "Drawing photos")
    crop = None if request.physical else attacked_crop(victim, None)
    faces, placement = _photos(request, victim.recognizer.identities, crop)
    telling.phase("Preparing eyeglasses")
    glasses = open_glasses(None if request.glasses is None else Path(request.glasses))
    setup = load_setup(victim, glasses)
    with telling.watching(setup.victim):
        run_attack(
            setup, faces, spec, attack, folder / "result",
            placement=placement, bar=telling.steps(), tell=telling.phase,
        )  # fmt: skip


def _photos(
    request: AttackRequest, identities: tuple[str, ...], crop: int | None
) -> "tuple[FaceSet, Placement]":
    """The subject's photos, and where frames sit on them."""
    import torch

    from agns.accessory.marks import marks_homography
    from agns.accessory.placement import FIXED, Placement
    from agns.cli.face_options import FaceOptions, open_subject
    from agns.data.faces import faces_from_pixels
    from agns.data.listing import list_folder
    from agns.data.marked_photos import load_marked_photos
    from agns.images import read_image, to_pixels

    if request.photos is None:
        root = None if request.faces is None else Path(request.faces)
        return open_subject(FaceOptions(root=root, center_crop=crop), request.subject,
                            identities), FIXED  # fmt: skip
    if request.marks is None:
        marked = load_marked_photos(Path(request.photos), request.subject)
        return marked.faces, marked.placement
    paths = list_folder(Path(request.photos)).pictures
    pixels = to_pixels(torch.stack([read_image(path) for path in paths]))
    names = [path.name for path in paths]
    faces = faces_from_pixels(pixels, torch.zeros(len(paths)).long(), (request.subject,), names)
    return faces, Placement(homographies=marks_homography(torch.tensor(request.marks)))


def main() -> None:
    """Do the work of the folder that the command line names, and say how it ended."""
    folder = Path(sys.argv[1])

    def end(state: str, sentence: str = "") -> None:
        write_json(folder / "ended.json", {"state": state, "sentence": sentence})

    # The page's button sends it, also where the server was begun in the background, ignoring it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interruptible(lambda: work(folder))
    except AgnsError as error:
        end("failed", str(error))
    except KeyboardInterrupt:
        end("stopped", "it was stopped before it had a result")
    except Exception as error:
        # Whatever else it is, the page says it in a sentence, and the log keeps all of it.
        traceback.print_exc()
        end("failed", f"{type(error).__name__}: {error}")
    else:
        end("done")


if __name__ == "__main__":
    main()
