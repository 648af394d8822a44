"""Attacks run and scored: one, or several on one victim side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agns.accessory.placement import FIXED, Placement
from agns.attack.methods import Method
from agns.attack.outcome import Outcome
from agns.attack.together import answer_alone, attack_together
from agns.data.faces import FaceSet
from agns.errors import AgnsError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.attack_report import AttackReport
from agns.evaluation.experiment import Experiment
from agns.evaluation.trial import Trial, prepare
from agns.types import Progress, silent


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
    return trial.report(answer_alone(apparatus.victim, trial.attack(progress)))


def run_trials(
    trials: Sequence[Trial], progress: Progress = silent
) -> list[AttackReport | AgnsError]:
    """Run attacks on one victim side by side, then score each.

    Args:
        trials: With the same apparatus.
        progress: Told of every step of each; what is done and planned is of all together.

    Returns:
        In their order, each one's report or why there is none.

    Raises:
        KeyboardInterrupt: They were broken off; none is scored.
    """
    shown = [(0, 0)] * len(trials)

    def told(place: int) -> Progress:
        def tell(done: int, total: int, figures: Mapping[str, float]) -> None:
            shown[place] = (done, total)
            progress(sum(ended for ended, _ in shown), sum(steps for _, steps in shown), figures)

        return tell

    attacks = [trial.attack(told(place)) for place, trial in enumerate(trials)]
    if not trials:
        return []
    outcomes = attack_together(trials[0].apparatus.victim, attacks)
    if any(isinstance(one, Outcome) and one.stopped_because == "interrupted" for one in outcomes):
        raise KeyboardInterrupt
    ended: list[AttackReport | AgnsError] = []
    for trial, outcome in zip(trials, outcomes, strict=True):
        try:
            ended.append(outcome if isinstance(outcome, AgnsError) else trial.report(outcome))
        except AgnsError as error:
            ended.append(error)
    return ended
