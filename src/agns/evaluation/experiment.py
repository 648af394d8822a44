"""One attack from photos to honest figures: split, attack, score on held-out photos, compare."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.goals import Dodge, Impersonate
from agns.attack.methods import Method, attack, name_of, palette_of
from agns.attack.result import save_outcome
from agns.data.faces import FaceSet
from agns.data.splits import craft_held_out_split
from agns.errors import AttackError, ConfigError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.attack_report import AttackReport, check_results_directory, describe
from agns.evaluation.checks import find_warnings, recognized_share
from agns.evaluation.controls import logits_wearing
from agns.evaluation.figures import draw_before_after, draw_history
from agns.evaluation.metrics import measure_split
from agns.models.recognizer import Recognizer
from agns.models.weights import device_of
from agns.storage import versions, write_json
from agns.types import Progress, silent

PHYSICAL_STOPS = {"dodge": 0.005, "impersonate": 0.990}
"""Stop values of physical attacks: photos differ more than the craft photos show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is attacked, for whom, and on how many photos."""

    goal: Literal["dodge", "impersonate"]
    """The goal."""

    subject: str
    """The identity that wears the glasses; a class of the recogniser's unless impersonating."""

    target: str | None = None
    """The identity to be taken for; only when impersonating."""

    stop: float | None = None
    """Stop value; when not given, the goal's own: 0.01 or 0.924, physically 0.005 or 0.990 (Sharif
    et al. 2019, section 5.2)."""

    craft: int = 16
    """Most photos to craft on; at most half of the subject's where none was trained on."""

    control_frames: int = 32
    """Frames of each control."""

    seed: int = 0
    """Seed of the split and of every draw."""

    physical: bool = False
    """Whether the photos show a worn frame that the generated one is warped onto."""

    center_crop: int | None = None
    """The central square that the photos were cut to; None where it is the recogniser's own."""

    def __post_init__(self) -> None:
        if self.goal == "dodge" and self.target is not None:
            raise ConfigError("dodging has no target")
        if self.goal == "impersonate" and self.target is None:
            raise ConfigError("impersonation needs a target: name one with --target")
        if self.control_frames < 1:
            raise ConfigError(f"control_frames must be at least 1, got {self.control_frames}")


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
    check_results_directory(out)
    recognizer = apparatus.victim
    goal = build_goal(experiment, recognizer)
    own = faces.subset(faces.of(experiment.subject))
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
    own_class = -1 if goal.subject is None else goal.subject
    recognized = {side: logits.argmax(1) == own_class for side, logits in plain.items()}
    if goal.name == "dodge" and not recognized["craft"].any():
        raise AttackError(
            f"the recogniser recognises none of {len(recognized['craft'])} craft photos of "
            f"{experiment.subject} even without a frame: there is nothing to dodge"
        )

    outcome = attack(
        method,
        recognizer,
        sides["craft"],
        goal,
        generator=apparatus.generator,
        discriminator=apparatus.discriminator,
        glasses=apparatus.glasses,
        placement=placements["craft"],
        progress=progress,
    )
    save_outcome(outcome, out)

    worn = {
        side: logits_wearing(recognizer, photos, outcome.frames[:1], placement=placements[side])
        for side, photos in sides.items()
    }
    controls = {
        name: measure_split(goal, logits, recognized["held_out"])
        for name, logits in apparatus.control_logits(
            own.subset(split.second),
            placements["held_out"],
            count=experiment.control_frames,
            seed=experiment.seed,
        ).items()
    }
    held_out = measure_split(goal, worn["held_out"], recognized["held_out"])
    bare = measure_split(goal, plain["held_out"], recognized["held_out"])
    scale = apparatus.scale.printed_with(palette_of(method))
    stealth = scale.measure(outcome.frames[0])
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
            "craft": [own.photos[i] for i in split.first.tolist()],
            "held_out": [own.photos[i] for i in split.second.tolist()],
        },
        craft_digests=[own.digests[i] for i in split.first.tolist()],
        craft_photos_seen_in_training=sum(
            own.digests[i] in apparatus.photos_seen for i in split.first.tolist()
        ),
        warnings=find_warnings(
            outcome,
            held_out,
            controls,
            # Of somebody who is no class, no photo can be recognised.
            None if goal.subject is None else recognized_share(recognized),
            stealth,
            bare,
        ),
        config={**asdict(experiment), **asdict(method), "device": str(device_of(recognizer))},
        versions=versions(),
        method=name_of(method),
        physical=experiment.physical,
    )
    write_json(out / "result.json", report)
    draw_before_after(
        out / "before_after.png",
        sides["held_out"],
        placements["held_out"].wear(
            sides["held_out"], outcome.frames[:1], torch.arange(len(sides["held_out"]))
        ),
        plain["held_out"],
        worn["held_out"][0],
        recognizer.identities,
        title=describe(report),
    )
    draw_history(out / "history.png", outcome.history, goal.stop)
    return report


def build_goal(experiment: Experiment, recognizer: Recognizer) -> Dodge | Impersonate:
    """The goal in the recogniser's classes.

    Raises:
        ConfigError: The recogniser does not know the target, or the subject who is to dodge it,
            or they are one.
    """
    stop = experiment.stop
    if stop is None and experiment.physical:
        stop = PHYSICAL_STOPS[experiment.goal]
    stops = {} if stop is None else {"stop": stop}
    if experiment.target is None:
        return Dodge(subject=recognizer.index_of(experiment.subject), **stops)
    if experiment.target == experiment.subject:
        raise ConfigError(
            f"the target {experiment.target} is the subject: impersonation needs somebody else"
        )
    known = experiment.subject in recognizer.identities
    return Impersonate(
        subject=recognizer.index_of(experiment.subject) if known else None,
        target=recognizer.index_of(experiment.target),
        **stops,
    )
