"""What the run of a recogniser's training begins with, records, and leaves behind."""

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
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.start import Start
from agns.run_directory import RunDirectory
from agns.storage import write_json
from agns.training.challenge import Challenge, recorded
from agns.training.recipe import RecognizerTraining
from agns.training.recognizer_scores import RecognizerScores, Rounding, score_recognizer
from agns.training.run import Provenance, open_run
from agns.training.teacher import Teaching
from agns.training.training_data import TrainingData
from agns.types import Progress, silent


def begin_recognizer(
    arch: str, identities: tuple[str, ...], start: Start | None, *, rng: torch.Generator
) -> Recognizer:
    """An untrained recogniser, in the form of the backbone to start from, and with its weights.

    Raises:
        ConfigError: The backbone is of another family.
    """
    if start is None:
        return build_recognizer(arch, identities, rng=rng)
    recognizer = build_recognizer(
        arch, identities, rng=rng, pooling=start.network.pooling,
        convention=start.network.convention,
    )  # fmt: skip
    start.give(recognizer)
    return recognizer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecognizerRun:
    """One training of a recogniser: what goes into its record, and what ends it."""

    out: Path
    """The run directory."""

    config: RecognizerTraining
    data: TrainingData
    about: Provenance
    start: Start | None
    """The backbone that it began with, whose photos count as seen too."""

    challenge: Challenge | None = None
    """What made the photos harder."""

    teaching: Teaching | None = None
    """What a teacher said, whose photos count as seen too."""

    precision: str
    """Of the forward and backward pass."""

    processes: int = 1
    """How many share a batch."""

    def open(self, *, resume: bool) -> RunDirectory:
        """Begin the run directory, or go on with it.

        Raises:
            ConfigError: As `RunDirectory` raises it, or the backbone to start from, or the teacher,
                was trained on photos that were cut otherwise, so that nobody can tell which it has
                seen.
        """
        start, teaching, crop, data = self.start, self.teaching, self.about.center_crop, self.data
        before = [] if start is None else [(str(start.path), start.seen, start.center_crop)]
        before += [] if teaching is None else [(teaching.name, teaching.seen, teaching.center_crop)]
        for name, seen, own in before:
            if seen and own != crop:
                raise ConfigError(
                    f"{name} was trained on photos cut to {own or 'nothing'}, and these are cut to "
                    f"{crop or 'nothing'}: cut them alike"
                )
        record = {
            **asdict(self.config),
            "precision": self.precision,
            "processes": self.processes,
            **recorded(self.challenge),
            **({} if self.teaching is None else {"teacher_weights": self.teaching.weights}),
            "identities": data.faces.identities,
            "start_weights": None if start is None else weights_digest(start.network.backbone),
        }
        glasses = torch.cat([data.glasses, data.unseen_glasses])
        run = open_run(
            self.out, record, self.about, data.faces, data.split, glasses, resume=resume,
            origin={"start": self._start, "photos": len(data.faces), **self._taught},
        )  # fmt: skip
        write_classes(self.out / "classes.json", data.faces.identities)
        return run

    @property
    def _start(self) -> str | None:
        return None if self.start is None else self.start.path.name

    @property
    def _taught(self) -> dict[str, str]:
        return {} if self.teaching is None else {"teacher": self.teaching.name}

    def record(self, scores: RecognizerScores | None = None) -> dict[str, object]:
        """What the weights carry: the recipe, where they come from, and the photos seen."""
        split = self.data.split
        # Validation photos chose the weights: to an attack, the victim has seen them.
        seen = torch.cat([split.training, split.validation]).sort().values
        digests = [self.data.faces.digests[place] for place in seen.tolist()]
        before = frozenset() if self.start is None else self.start.seen
        before |= frozenset() if self.teaching is None else self.teaching.seen
        return {
            "recipe": json.loads(json.dumps(asdict(self.config))),
            **recorded(self.challenge),
            "source": self.about.source,
            "center_crop": self.about.center_crop,
            "start": self._start,
            **self._taught,
            "precision": self.precision,
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

        The figures are kept beside the scores; the rest is as `score_recognizer` has it.
        """
        faces = self.data.faces
        scores = score_recognizer(
            recognizer, faces.subset(self.data.split.test), self.data.unseen_glasses,
            seed=self.config.seed, rounding=rounding, progress=progress,
        )  # fmt: skip
        anew = count_saved_anew(faces, find_twins(faces))
        write_json(self.out / "scores.json", {**asdict(scores), **figures, "saved_anew": anew})
        recognizer.record = self.record(scores)
        recognizer.write(self.out / "recognizer.safetensors")
        return scores
