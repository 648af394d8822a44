"""Frames made against one recogniser, scored on the others that know the same people."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch

from agns.accessory.placement import FIXED
from agns.attack.goals import taken_for
from agns.campaign.ledger import Ledger
from agns.campaign.plan import Plan, PlanVictim
from agns.campaign.records import JobRecord, TransferRecord, TransferScore
from agns.campaign.running import Opened
from agns.data.faces import FaceSet, composed
from agns.data.simulation.camera import align_photos, draw_scene, photograph
from agns.data.twins import were_seen
from agns.errors import AgnsError, DataError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec, build_goal
from agns.evaluation.metrics import measure_split
from agns.evaluation.score import AttackScore
from agns.images import read_image
from agns.models.victim import Victim, class_of, task_of
from agns.types import Faces, Frames, Logits, Progress, silent


def transfer_through(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[PlanVictim], Opened],
    known: Mapping[str, Sequence[str]],
    *,
    records: Sequence[JobRecord],
    transfers: Sequence[TransferRecord],
    progress: Progress = silent,
) -> None:
    """Score each finished attack's frame on every other victim that knows its people, once.

    Args:
        plan: What the ledger was begun with.
        ledger: Takes the scores.
        out: The campaign's directory, with the jobs' artefacts.
        open_victim: Loads what a victim needs.
        known: By each victim's name, the identities that it knows and that have photos.
        records: The jobs.
        transfers: The scores that there are.
        progress: Told after each score.
    """
    there = {(one.job.key, one.victim) for one in transfers if one.score is not None}
    wanted = [
        (one.job, one.result, victim)
        for victim in plan.recognizers
        for one in records
        if isinstance(one.result, AttackScore)
        and one.job.recognizer != victim.name
        and {composed(one.job.subject), composed(one.job.target or one.job.subject)}
        <= set(known[victim.name])
        and (one.job.key, victim.name) not in there
    ]
    name, opened = "", None
    for number, (job, result, victim) in enumerate(wanted, 1):
        if opened is None or victim.name != name:
            name, opened = victim.name, open_victim(victim)
        setup, photos_of = opened
        score: TransferScore | str
        try:
            frame = read_image(job.folder(out) / "frame.png", size=(64, 176))[None]
            faces = photos_of(job.subject)
            score = score_frame(frame, result, setup, faces, controls=plan.control_frames)
        except AgnsError as error:
            score = str(error)
        ledger.enter_transfer(job, victim.name, score)
        progress(number, len(wanted), {})


@torch.no_grad()
def score_frame(
    frame: Frames, result: AttackScore, setup: AttackSetup, faces: FaceSet, *, controls: int
) -> TransferScore:
    """Score one attack's frame on a recogniser that it was not made against.

    Photos that this recogniser was trained on are left out, and those that the attack was made on:
    the same pictures, saved anew or not, or of the same file name.

    Args:
        frame: (1, 3, 64, 176), in [0, 1].
        result: The attack's.
        setup: The other recogniser's.
        faces: The subject's photos, as that recogniser takes them.
        controls: Benign frames.

    Raises:
        ConfigError: The recogniser does not know the subject or the target.
        DataError: No photo is left to score on.
    """
    goal = build_goal(
        AttackSpec(
            goal="dodge" if result.target is None else "impersonate",
            subject=result.subject,
            target=result.target,
            stop=result.stop_value,
        ),
        setup.recognizer,
    )
    # The other recogniser may take the same photos aligned or cut otherwise: names stay.
    crafted = {composed(PurePosixPath(name).stem) for name in result.photos["craft"]}
    subject = faces.of(result.subject)
    seen = were_seen(subject, setup.photos_seen | set(result.craft_digests)).tolist()
    places = [
        place
        for place, photo in enumerate(subject.photos)
        if not seen[place] and PurePosixPath(photo).stem not in crafted
    ]
    if not places:
        raise DataError(
            f"{setup.recognizer_name} or the attack has seen every photo of {result.subject}"
        )
    own, everybody = subject.subset(torch.tensor(places)), torch.arange(len(places))
    photos, victim = own.faces(everybody), setup.judge
    plain = _judged(victim, photos)
    recognized = taken_for(plain, class_of(victim, result.subject), task_of(victim))
    worn = FIXED.wear(photos, frame, everybody)
    rng = torch.Generator().manual_seed(result.seed)
    taken = torch.cat([_photographed(one[None], rng) for one in worn])
    benign = setup.control_logits(
        photos, FIXED, count=controls, seed=result.seed, names=("benign",)
    )["benign"]
    return TransferScore(
        digital=measure_split(goal, _judged(victim, worn), recognized),
        photographed=measure_split(goal, _judged(victim, taken), recognized),
        benign=measure_split(goal, benign, recognized),
        bare=measure_split(goal, plain, recognized),
    )


def _judged(victim: Victim, faces: Faces) -> Logits:
    return torch.cat([victim(some) for some in faces.split(64)])


def _photographed(worn: Faces, rng: torch.Generator) -> Faces:
    scene = draw_scene(rng)
    return align_photos(photograph(worn, scene, rng=rng), scene)
