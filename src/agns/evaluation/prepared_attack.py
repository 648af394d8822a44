"""One attack from photos to honest numbers: split, attack, score on held-out photos."""

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import Attack
from agns.attack.goals import Goal
from agns.attack.methods import name_of, settings_of
from agns.attack.result import AttackResult, save_result
from agns.data.faces import FaceSet
from agns.data.splits import craft_held_out_split
from agns.data.twins import count_saved_anew, find_twins
from agns.errors import AgnsError, AttackError, ConfigError, ImageContractError, why
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec, build_goal
from agns.evaluation.evaluate import Side, recognize_photos, score_attack
from agns.evaluation.score import AttackScore, check_results_directory
from agns.images import check_images
from agns.storage import json_text
from agns.types import Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedAttack:
    """An attack whose photos are shared out, and seen by the victim without a frame."""

    setup: AttackSetup
    """The networks and the real frames."""

    spec: AttackSpec
    """Goal and subject."""

    attack: Attack
    """The attack's settings."""

    goal: Goal
    """In the victim's classes."""

    craft: Side
    """Photos to attack on."""

    held_out: Side
    """Photos to score on."""

    saved_anew: int
    """How many of the subject's photos look like another one."""

    def run(self, progress: Progress = silent) -> AttackResult:
        """Attack on the craft photos.

        Raises:
            AttackError: Also where an attack of the user's own fails, or gives something else than
                a result with frames.
        """
        own = name_of(self.attack)
        try:
            result = self.attack.run(
                self.setup.victim,
                self.craft.photos,
                self.goal,
                seed=self.spec.seed,
                frames=self.setup.glasses,
                nets=(self.setup.generator, self.setup.discriminator),
                placement=self.craft.placement,
                progress=progress,
            )
        except AgnsError:
            raise
        except Exception as error:
            if ":" not in own:
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise AttackError(
                f"{own} failed with {type(error).__name__}: {error} ({where.filename}, line "
                f"{where.lineno})"
            ) from error
        frames = getattr(result, "frames", None)
        if not isinstance(result, AttackResult) or not isinstance(frames, Tensor):
            raise AttackError(f"{own} should give an AttackResult with frames, got {result!r:.80}")
        try:
            check_images(frames, size=FRAME_SIZE)
        except ImageContractError as error:
            raise AttackError(f"{own} gives frames that are none: {error}") from error
        if len(frames) == 0:
            raise AttackError(f"{own} gives no frame")
        return result

    def score(self, result: AttackResult, progress: Progress = silent) -> AttackScore:
        """Score what the attack found, beside benign frames, of which `progress` is told."""
        # An attack of the user's own need not say who made its result.
        result.attack = self.attack
        return score_attack(
            self.setup,
            result,
            self.goal,
            held_out=self.held_out,
            craft=self.craft,
            seed=self.spec.seed,
            control_frames=self.spec.control_frames,
            saved_anew=self.saved_anew,
            subject=self.spec.subject,
            physical=self.spec.physical,
            config=asdict(self.spec),
            progress=progress,
        )


def prepare(
    setup: AttackSetup,
    faces: FaceSet,
    spec: AttackSpec,
    attack: Attack,
    *,
    placement: Placement = FIXED,
) -> PreparedAttack:
    """Share out a subject's photos and show them to the victim without a frame.

    No photo that the recogniser was trained on is scored on; see `craft_held_out_split`.

    Args:
        setup: The networks and the real frames.
        faces: Photos, the subject's among them.
        spec: Goal and subject.
        attack: The attack's settings, which say what attack it is.
        placement: Where frames sit on the subject's photos, in their order, for the attack and
            for every score.

    Raises:
        ConfigError: The recogniser does not know the target, or the subject who is to dodge it, or
            they are one.
        AttackError: The recogniser recognises none of the subject's photos, so that there is
            nothing to dodge.
        DataError: The subject has fewer than two photos, or the recogniser was trained on all.
    """
    goal = build_goal(spec, setup.victim)
    try:
        json_text(settings_of(attack), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the settings of {name_of(attack)} are written with its results, and one cannot be: "
            f"{error}"
        ) from error
    own = faces.of(spec.subject)
    homographies = placement.homographies
    if spec.physical != (homographies is not None) or (
        homographies is not None and len(homographies) != len(own)
    ):
        raise ConfigError(
            f"a physical attack needs a homography for each of {len(own)} photos, and a "
            f"digital one none; got {0 if homographies is None else len(homographies)}"
        )
    fresh = setup.fresh(own)
    own, placement = own.subset(fresh), placement.part(fresh)
    split = craft_held_out_split(
        own, subject=spec.subject, craft=spec.craft, seed=spec.seed, seen=setup.photos_seen
    )
    craft, held_out = (
        recognize_photos(setup.judge, own.subset(side), placement.part(side))
        for side in (split.first, split.second)
    )
    if goal.name == "dodge" and not craft.recognized(goal).any():
        raise AttackError(
            f"the recogniser recognises none of {len(craft.faces)} craft photos of "
            f"{spec.subject} even without a frame: there is nothing to dodge"
        )
    return PreparedAttack(
        setup=setup,
        spec=spec,
        attack=attack,
        goal=goal,
        craft=craft,
        held_out=held_out,
        saved_anew=count_saved_anew(own, find_twins(own)),
    )


def run_attack(
    setup: AttackSetup,
    faces: FaceSet,
    spec: AttackSpec,
    attack: Attack,
    out: Path,
    *,
    placement: Placement = FIXED,
    bar: AbstractContextManager[Progress] | None = None,
    scoring: AbstractContextManager[Progress] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> AttackScore:
    """Attack on one split of the subject's photos, score on the other, and write everything.

    Arguments and errors are those of `prepare` and `AttackScore.save`; `bar` opens what is told of
    every step, `scoring` what is told of every frame that its own is compared with, and `tell` is
    told, where the attack was interrupted, that scoring begins.
    """
    check_results_directory(out)
    prepared = prepare(setup, faces, spec, attack, placement=placement)
    with bar or nullcontext(silent) as progress:
        result = prepared.run(progress)
    if result.stopped_because == "interrupted":
        tell("Interrupted: scoring the best frame so far; a second time leaves it without scores")
    try:
        with scoring or nullcontext(silent) as progress:
            score = prepared.score(result, progress)
    except (AgnsError, OSError) as error:
        # What was found may have cost many queries.
        save_result(result, out)
        raise AttackError(f"{why(error)}; the frames found are in {out}, without scores") from error
    score.save(out)
    return score
