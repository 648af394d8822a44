"""One attack from photos to honest figures: split, score on held-out photos, compare."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.goals import Dodge, Impersonate
from agns.attack.methods import Method, name_of, palette_of
from agns.attack.result import AttackResult, save_result
from agns.data.faces import FaceSet
from agns.data.splits import Split, craft_held_out_split
from agns.data.twins import count_saved_anew, find_twins
from agns.errors import AttackError, ConfigError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.attack_report import AttackReport, check_results_directory, describe
from agns.evaluation.checks import find_warnings, recognized_share
from agns.evaluation.controls import logits_wearing
from agns.evaluation.experiment import Experiment, build_goal
from agns.evaluation.metrics import measure_split
from agns.evaluation.plots import draw_before_after, draw_history
from agns.models.weights import device_of
from agns.storage import versions, write_json
from agns.types import Chosen, Faces, Logits, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """An experiment whose photos are shared out, and seen by the victim without a frame."""

    apparatus: Apparatus
    """The networks and the real frames."""

    experiment: Experiment
    """Goal and subject."""

    method: Method
    """The attack's settings."""

    out: Path
    """Directory for the results."""

    goal: Dodge | Impersonate
    """In the victim's classes."""

    own: FaceSet
    """The subject's photos."""

    split: Split
    """Into craft and held-out photos."""

    faces: Mapping[str, Faces]
    """Of both sides, `craft` and `held_out`."""

    placements: Mapping[str, Placement]
    """Where frames sit on them."""

    plain: Mapping[str, Logits]
    """What the victim says of them without a frame."""

    @property
    def recognized(self) -> dict[str, Chosen]:
        """Which of them are recognised without a frame."""
        subject = self.goal.subject
        own_class = subject if isinstance(subject, int) else -1
        return {side: logits.argmax(1) == own_class for side, logits in self.plain.items()}

    def attack(self, progress: Progress = silent) -> AttackResult:
        """Attack on the craft photos."""
        return self.method.run(
            self.apparatus.victim,
            self.faces["craft"],
            self.goal,
            frames=self.apparatus.glasses,
            nets=(self.apparatus.generator, self.apparatus.discriminator),
            placement=self.placements["craft"],
            progress=progress,
        )

    def report(self, outcome: AttackResult) -> AttackReport:
        """Score what the attack found, and write everything."""
        apparatus, experiment, own = self.apparatus, self.experiment, self.own
        recognizer, goal, recognized = apparatus.victim, self.goal, self.recognized
        save_result(outcome, self.out)
        worn = {
            side: logits_wearing(
                recognizer, photos, outcome.frames[:1], placement=self.placements[side]
            )
            for side, photos in self.faces.items()
        }
        controls = {
            name: measure_split(goal, logits, recognized["held_out"])
            for name, logits in apparatus.control_logits(
                own.subset(self.split.second),
                self.placements["held_out"],
                count=experiment.control_frames,
                seed=experiment.seed,
            ).items()
        }
        held_out = measure_split(goal, worn["held_out"], recognized["held_out"])
        bare = measure_split(goal, self.plain["held_out"], recognized["held_out"])
        scale = apparatus.scale.printed_with(palette_of(self.method))
        stealth = scale.measure(outcome.frames[0])
        saved_anew = count_saved_anew(own, find_twins(own))
        report = AttackReport(
            goal=experiment.goal,
            subject=experiment.subject,
            target=experiment.target,
            recognizer=apparatus.recognizer_name,
            seed=experiment.seed,
            iterations=outcome.iterations,
            seconds=round(outcome.seconds, 2),
            stopped_because=outcome.stopped_because,
            stop_value=goal.stop,
            reached_stop_value=outcome.met,
            craft=measure_split(goal, worn["craft"], recognized["craft"]),
            held_out=held_out,
            held_out_without_frame=bare,
            controls=controls,
            stealth=stealth,
            benign_stealth=scale.ranges,
            photos={
                "craft": [own.photos[i] for i in self.split.first.tolist()],
                "held_out": [own.photos[i] for i in self.split.second.tolist()],
            },
            craft_digests=[own.digests[i] for i in self.split.first.tolist()],
            held_out_digests=[own.digests[i] for i in self.split.second.tolist()],
            saved_anew=saved_anew,
            craft_photos_seen_in_training=sum(
                own.digests[i] in apparatus.photos_seen for i in self.split.first.tolist()
            ),
            warnings=find_warnings(
                outcome,
                held_out,
                controls,
                # Of somebody who is no class, no photo can be recognised.
                None if goal.subject is None else recognized_share(recognized),
                stealth,
                bare,
                saved_anew,
            ),
            config={
                **asdict(experiment),
                **asdict(self.method),
                "device": str(device_of(recognizer)),
            },
            versions=versions(),
            method=name_of(self.method),
            physical=experiment.physical,
        )
        draw_before_after(
            self.out / "before_after.png",
            self.faces["held_out"],
            self.placements["held_out"].wear(
                self.faces["held_out"],
                outcome.frames[:1],
                torch.arange(len(self.faces["held_out"])),
            ),
            self.plain["held_out"],
            worn["held_out"][0],
            recognizer.identities,
            title=describe(report),
        )
        draw_history(self.out / "history.png", outcome.history, goal.stop)
        # Last: what holds a result is whole.
        write_json(self.out / "result.json", report)
        return report


def prepare(
    apparatus: Apparatus,
    faces: FaceSet,
    experiment: Experiment,
    method: Method,
    out: Path,
    *,
    placement: Placement = FIXED,
) -> Trial:
    """Share out a subject's photos and show them to the victim without a frame.

    Args and errors are those of `run_experiment`.
    """
    check_results_directory(out)
    recognizer = apparatus.victim
    goal = build_goal(experiment, recognizer)
    own = faces.of(experiment.subject)
    places = placement.homographies
    if experiment.physical != (places is not None) or (
        places is not None and len(places) != len(own)
    ):
        raise ConfigError(
            f"a physical experiment needs a homography for each of {len(own)} photos, and a "
            f"digital one none; got {0 if places is None else len(places)}"
        )
    split = craft_held_out_split(
        own,
        subject=experiment.subject,
        craft=experiment.craft,
        seed=experiment.seed,
        seen=apparatus.photos_seen,
    )
    sides = {"craft": own.faces(split.first), "held_out": own.faces(split.second)}
    placements = {
        "craft": placement.part(split.first),
        "held_out": placement.part(split.second),
    }
    with torch.no_grad():
        plain = {
            side: torch.cat([recognizer(some) for some in photos.split(64)])
            for side, photos in sides.items()
        }
    trial = Trial(
        apparatus=apparatus,
        experiment=experiment,
        method=method,
        out=out,
        goal=goal,
        own=own,
        split=split,
        faces=sides,
        placements=placements,
        plain=plain,
    )
    recognized = trial.recognized["craft"]
    if goal.name == "dodge" and not recognized.any():
        raise AttackError(
            f"the recogniser recognises none of {len(recognized)} craft photos of "
            f"{experiment.subject} even without a frame: there is nothing to dodge"
        )
    return trial


def run_experiment(
    apparatus: Apparatus,
    faces: FaceSet,
    experiment: Experiment,
    method: Method,
    out: Path,
    *,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AttackReport:
    """Attack on one split of the subject's photos, score on the other, and write everything.

    No photo that the recogniser was trained on is scored on; see `craft_held_out_split`.

    Args:
        apparatus: The networks and the real frames.
        faces: Photos, the subject's among them.
        experiment: Goal and subject.
        method: The attack's settings, which say what attack it is.
        out: Directory for the results; must not hold a result yet.
        placement: Where frames sit on the subject's photos, in their order, for the attack and
            for every score.
        progress: Told of every step.

    Raises:
        ConfigError: The recogniser does not know the target, or the subject who is to dodge it,
            they are one, or `out` holds a result; or there is no such palette.
        AttackError: The recogniser recognises none of the subject's photos, so that there is
            nothing to dodge.
        DataError: The subject has fewer than two photos, or the recogniser was trained on all; or
            the palette cannot be read.
    """
    trial = prepare(apparatus, faces, experiment, method, out, placement=placement)
    return trial.report(trial.attack(progress))
