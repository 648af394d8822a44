"""What the run of a recogniser's training records, and leaves behind."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from agns.data.faces import write_classes
from agns.data.twins import count_saved_anew, find_twins
from agns.errors import ConfigError
from agns.models.checkpoint import weights_digest
from agns.models.recognizer import Recognizer
from agns.models.start import Start
from agns.run_directory import RunDirectory
from agns.storage import write_json
from agns.training.material import Material, PhotoSplit
from agns.training.recipe import RecognizerTraining
from agns.training.recognizer_scores import RecognizerScores, Rounding, score_recognizer
from agns.training.recorded import record_frames, record_photos
from agns.types import Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a training's photos come from, and how it was called, for its record."""

    source: str = ""
    """Where the photos came from."""

    center_crop: int | None = None
    """How the photos were cut, for those who use the recogniser."""

    command: str = ""
    """The command line, if there was one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecognizerRun:
    """One training of a recogniser: what goes into its record, and what ends it."""

    out: Path
    """The run directory."""

    config: RecognizerTraining
    material: Material
    about: Provenance
    start: Start | None
    """The backbone that it began with, whose photos count as seen too."""

    precision: str
    """Of the forward and backward pass."""

    processes: int = 1
    """How many share a batch."""

    def open(self, *, resume: bool) -> RunDirectory:
        """Begin the run directory, or go on with it; see `agns.training.recorded`.

        Raises:
            ConfigError: As `RunDirectory` raises it, or the backbone to start from was trained on
                photos that were cut otherwise, so that nobody can tell which it has seen.
        """
        start = self.start
        if start is not None and start.seen and start.center_crop != self.about.center_crop:
            raise ConfigError(
                f"{start.path} was trained on photos cut to {start.center_crop or 'nothing'}, and "
                f"these are cut to {self.about.center_crop or 'nothing'}: cut them alike"
            )
        material, faces = self.material, self.material.faces
        record = {
            **asdict(self.config),
            "center_crop": self.about.center_crop,
            "precision": self.precision,
            "processes": self.processes,
            "identities": faces.identities,
            "start_weights": None if start is None else weights_digest(start.network.backbone),
        }
        if not resume:
            split = PhotoSplit(material.training, material.validation, material.test)
            record_photos(self.out, faces, split)
            record_frames(self.out, torch.cat([material.glasses, material.unseen_glasses]))
        run = RunDirectory(
            self.out, record, resume=resume, command=self.about.command,
            origin={
                "source": self.about.source, "start": None if start is None else start.path.name,
                "photos": len(faces),
            },
        )  # fmt: skip
        write_classes(self.out / "classes.json", faces.identities)
        return run

    def record(self, scores: RecognizerScores | None = None) -> dict[str, object]:
        """What the weights carry: the recipe, where they come from, and the photos seen."""
        material = self.material
        # Validation photos chose the weights: to an attack, the victim has seen them.
        seen = torch.cat([material.training, material.validation]).sort().values
        digests = [material.faces.digests[place] for place in seen.tolist()]
        before = frozenset() if self.start is None else self.start.seen
        return {
            "recipe": json.loads(json.dumps(asdict(self.config))),
            **self._origin(),
            **({} if scores is None else {"scores": asdict(scores)}),
            "training_photos": [*digests, *sorted(before - set(digests))],
        }

    def finish(
        self,
        recognizer: Recognizer,
        figures: Mapping[str, float],
        *,
        rounding: Rounding = contextlib.nullcontext,
        progress: Progress = silent,
    ) -> RecognizerScores:
        """Score a recogniser in evaluation mode on the test photos; write scores and weights.

        Args:
            recognizer: With the weights to keep.
            figures: More to keep beside the scores, such as the seconds of training.
            rounding: As `score_recognizer` takes it.
            progress: As `score_recognizer` tells it.
        """
        scores = score_recognizer(
            recognizer,
            self.material.faces.subset(self.material.test),
            self.material.unseen_glasses,
            seed=self.config.seed,
            rounding=rounding,
            progress=progress,
        )
        faces = self.material.faces
        anew = {"saved_anew": count_saved_anew(faces, find_twins(faces))}
        write_json(self.out / "scores.json", {**asdict(scores), **figures, **anew})
        recognizer.record = self.record(scores)
        recognizer.write(self.out / "recognizer.safetensors")
        return scores

    def _origin(self) -> dict[str, object]:
        return {
            "source": self.about.source,
            "center_crop": self.about.center_crop,
            "start": None if self.start is None else self.start.path.name,
            "precision": self.precision,
        }
