"""Scoring a frame on photos that no attack has seen: pure, in memory."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import Nets, frames_of, photos_of, shipped_nets
from agns.attack.goals import Goal, name_goal, resolve_goal, taken_for
from agns.attack.methods import name_of, palette_of, settings_of
from agns.attack.query import query_logits
from agns.attack.result import AttackResult, BestAfter, Reason
from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import RealFrames
from agns.data.twins import count_saved_anew, find_twins
from agns.defence.masking import thresholds_of
from agns.errors import AttackError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.controls import logits_wearing
from agns.evaluation.metrics import measure_split, shares_taken
from agns.evaluation.sanity import (
    PROBABILITIES,
    are_probabilities,
    find_seen,
    find_unchecked,
    find_warnings,
)
from agns.evaluation.score import AttackScore, PointScore, QueryPoint, ScoredPhotos
from agns.images import check_images
from agns.models.layout import device_of
from agns.models.victim import Victim
from agns.settings import whole
from agns.storage import versions
from agns.types import CANVAS, Chosen, Faces, Logits, Progress, silent

REAL = 1000
"""Of the drawn set, how many frames the nearest real one is looked for among."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """Craft or held-out photos, as the victim sees them without a frame."""

    photos: Faces | FaceSet
    faces: Faces
    """The same as a tensor."""
    placement: Placement
    """Where frames sit on them."""
    logits: Logits
    """Without a frame."""

    def recognized(self, goal: Goal) -> Chosen:
        """Which are recognised without a frame; of somebody who is no class, none is."""
        if not isinstance(goal.subject, int):
            return torch.zeros(len(self.faces), dtype=torch.bool)
        return taken_for(self.logits, goal.subject, goal.task)


def recognize_photos(victim: Victim, photos: Faces | FaceSet, placement: Placement = FIXED) -> Side:
    """Show photos to a victim.

    Raises:
        AttackError: There are none, or the victim gives something else than a finite logit for
            each identity.
        ImageContractError: They are no canonical faces.
    """
    faces = photos_of(photos)
    check_images(faces, size=(CANVAS, CANVAS))
    if len(faces) == 0:
        raise AttackError("scoring needs at least one photo")
    with torch.no_grad():
        # Copies: a victim may write to what it is given.
        logits = torch.cat([query_logits(victim, some.clone()) for some in faces.split(64)])
    if not bool(logits.isfinite().all()):
        raise AttackError("the victim's logits are not all finite")
    return Side(photos=photos, faces=faces, placement=placement, logits=logits)


def evaluate(
    result: AttackResult,
    victim: Victim,
    held_out: Faces | FaceSet,
    *,
    craft: Faces | FaceSet | None = None,
    goal: Goal | None = None,
    seed: int = 0,
    control_frames: int = 32,
    frames: RealFrames | None = None,
    nets: Nets | None = None,
    placement: Placement = FIXED,
) -> AttackScore:
    """Score an attack's best frame on photos that it has not seen.

    Args:
        result: As the attack returned it.
        victim: Who was attacked, or another with the same people.
        held_out: Photos of the subject, none of which the attack was made on, nor the victim
            trained on: a `FaceSet`, or canonical faces, (photos, 3, 224, 224), in [0, 1].
        craft: The photos that it was made on, to be scored apart; where frames are not worn
            physically.
        goal: What counts as success; None for the attack's own.
        seed: Of the controls.
        control_frames: Frames of each control.
        frames: Real eyeglasses; None for the first thousand of the drawn set.
        nets: What benign frames are drawn and judged by; None for those that come with agns.
        placement: Where frames sit on the held-out photos.

    Raises:
        AttackError: There are no photos, the result does not say with what goal it was made, or the
            victim gives something else than a finite logit for each identity.
        ConfigError: The victim does not know somebody.
        ImageContractError: The faces are no canonical faces.
    """
    goal = result.goal if goal is None else goal
    if goal is None:
        raise AttackError("the result does not say what its goal was: name it")
    goal, seed = resolve_goal(goal, victim), whole(seed, "seed")
    generator, discriminator = copy.deepcopy(shipped_nets() if nets is None else nets)
    glasses = frames_of(None)[torch.arange(REAL)] if frames is None else frames
    setup = AttackSetup(
        generator=generator.eval(),
        discriminator=discriminator.eval(),
        recognizer=victim,
        recognizer_name=type(victim).__name__,
        metadata=getattr(victim, "record", None) or {},
        glasses=glasses if isinstance(glasses, Tensor) else glasses[torch.arange(len(glasses))],
    )
    scored = recognize_photos(setup.judge, held_out, placement)
    return score_attack(
        setup, result, goal,
        held_out=scored, craft=None if craft is None else recognize_photos(setup.judge, craft),
        seed=seed, control_frames=control_frames,
        saved_anew=count_saved_anew(held_out, find_twins(held_out))
        if isinstance(held_out, FaceSet) else 0,
    )  # fmt: skip


def score_attack(
    setup: AttackSetup,
    result: AttackResult,
    goal: Goal,
    *,
    held_out: Side,
    craft: Side | None,
    seed: int,
    control_frames: int,
    saved_anew: int,
    subject: str = "",
    physical: bool = False,
    config: Mapping[str, object] | None = None,
    progress: Progress = silent,
) -> AttackScore:
    """Score an attack; see `evaluate`.

    Args:
        setup: The victim, and what benign frames come from.
        result: What the attack found.
        goal: In the victim's classes.
        held_out: Photos to score on.
        craft: Those that the attack was made on.
        seed: Of the controls.
        control_frames: Frames of each control.
        saved_anew: How many photos look like another one.
        subject: Who wears the frame, be it somebody whom the victim does not know.
        physical: Whether frames are warped onto a worn one.
        config: Settings to be told beside the attack's own.
        progress: Told of every frame of the controls, which take longest.
    """
    victim, frame = setup.judge, result.frames[:1]
    check_images(frame, size=FRAME_SIZE)
    if result.stopped_because not in get_args(Reason):
        raise AttackError(
            f"an attack ends because it {', '.join(get_args(Reason))}, "
            f"got {result.stopped_because!r}"
        )
    wears = partial(logits_wearing, victim, held_out.faces, placement=held_out.placement)
    wearing = wears(frame)
    recognized = held_out.recognized(goal)
    success = measure_split(goal, wearing, recognized)
    bare = measure_split(goal, held_out.logits, recognized)

    def point_at(one: BestAfter) -> QueryPoint:
        held = measure_split(goal, wears(one.frame), recognized)
        return QueryPoint(queries=one.queries, held_out=held)

    on_craft = None
    known = recognized
    if craft is not None:
        worn = logits_wearing(victim, craft.faces, frame, placement=craft.placement)
        on_craft = measure_split(goal, worn, craft.recognized(goal))
        known = torch.cat([craft.recognized(goal), recognized])
    benign = setup.control_logits(
        held_out.faces, held_out.placement, count=control_frames, seed=seed, progress=progress
    )
    controls = {name: measure_split(goal, own, recognized) for name, own in benign.items()}
    scale = setup.scale.printed_with(palette_of(result.attack))
    stealth = scale.measure(result.frames[0])
    sides = {"craft": None if craft is None else craft.photos, "held_out": held_out.photos}
    sets = {name: photos for name, photos in sides.items() if isinstance(photos, FaceSet)}
    digests = {name: photos.digests for name, photos in sets.items()}
    digests.setdefault("craft", tuple(result.craft_digests))
    named = name_goal(goal, victim)
    return AttackScore(
        goal=goal.name,
        subject=subject or (named.subject if isinstance(named.subject, str) else ""),
        target=str(named.target) if named.name == "impersonate" else None,
        recognizer=setup.recognizer_name,
        seed=seed,
        iterations=result.iterations,
        seconds=round(result.seconds, 2),
        stopped_because=result.stopped_because,
        stop_value=goal.stop,
        reached_stop_value=result.met,
        craft=on_craft,
        held_out=success,
        held_out_without_frame=bare,
        controls=controls,
        operating_points=_at_points(victim, goal, held_out, wearing, benign),
        stealth=stealth,
        benign_stealth=scale.ranges,
        photos={name: list(photos.photos) for name, photos in sets.items()},
        craft_digests=list(digests["craft"]),
        queries=result.queries,
        by_queries=[point_at(one) for one in result.best_after],
        held_out_digests=list(digests.get("held_out", ())),
        saved_anew=saved_anew,
        taken_for=shares_taken(wearing[0], victim),
        craft_photos_seen_in_training=sum(own in setup.photos_seen for own in digests["craft"]),
        warnings=[
            *find_seen(
                held_out.photos,
                setup.metadata,
                crafted=set(digests["craft"]),
                craft=None if craft is None else craft.faces,
            ),
            *find_unchecked(setup.metadata),
            *([PROBABILITIES] if are_probabilities(held_out.logits) else []),
            *find_warnings(
                result,
                success,
                controls,
                None if goal.subject is None else float(known.float().mean()),
                stealth,
                bare,
                saved_anew,
                on_craft,
            ),
        ],
        config={
            **({} if result.attack is None else settings_of(result.attack)),
            **(config or {}),
            "device": str(device_of(setup.recognizer)),
        },
        versions=versions(),
        method="unknown" if result.attack is None else name_of(result.attack),
        physical=physical,
        result=result,
        scored=ScoredPhotos(
            faces=held_out.faces,
            without_frame=held_out.logits,
            with_frame=wearing[0],
            placement=held_out.placement,
            identities=victim.identities,
        ),
    )


def _at_points(
    victim: Victim, goal: Goal, held_out: Side, wearing: Tensor, benign: Mapping[str, Tensor]
) -> list[PointScore]:
    """The same logits judged at each of a gallery's thresholds."""
    if (gallery := thresholds_of(victim)) is None:
        return []
    scores = []
    for point in gallery.points:
        moved = replace(held_out, logits=gallery.logits_at(held_out.logits, point))
        recognized = moved.recognized(goal)
        score = PointScore(
            false_accept_rate=point.false_accept_rate,
            threshold=point.threshold,
            held_out=measure_split(goal, gallery.logits_at(wearing, point), recognized),
            held_out_without_frame=measure_split(goal, moved.logits, recognized),
            controls={
                name: measure_split(goal, gallery.logits_at(own, point), recognized)
                for name, own in benign.items()
            },
        )
        scores.append(score)
    return scores
