"""Who dodges with which frame, and a choice of a few frames that serves as many as can be."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agns.accessory.placement import FIXED
from agns.attack.goals import Dodge, resolve_goal
from agns.models.victim import Victim
from agns.types import Faces, Frames, Labels, Progress, silent


def covered(worth: Float[Tensor, "choices persons"]) -> float:
    """The mean, over persons, of what the best choice is worth to each; 0 without a choice."""
    return float(worth.amax(0).mean()) if len(worth) else 0.0


def choose_greedily(worth: Float[Tensor, "choices persons"], count: int) -> list[int]:
    """Choose, one after another, what adds most to what the best choice is worth to everybody.

    With worths of 0 and 1 this is the greedy rule for maximum coverage. For any worth of at least
    0 it reaches at least 1 - 1/e of the best there is (Nemhauser, Wolsey & Fisher 1978). The first
    of the choices are the choice of fewer.

    Args:
        worth: What each choice is worth to each person, at least 0.
        count: How many to choose; all, where there are no more.

    Returns:
        Places of the choices. Between equals that which is worth most altogether comes first, then
        the first.
    """
    worth = worth.double()
    best = torch.zeros(worth.shape[1], dtype=torch.float64)
    chosen: list[int] = []
    while len(chosen) < min(count, len(worth)):
        gains = (worth - best).clamp_min(0).sum(1)
        gains[chosen] = -1
        # Sums of the same worths may differ by rounding.
        equals = torch.nonzero(gains >= gains.max() - 1e-9)[:, 0].tolist()
        totals = {place: round(float(worth[place].sum()), 9) for place in equals}
        place = max(equals, key=lambda place: (totals[place], -place))
        chosen.append(place)
        best = torch.maximum(best, worth[place])
    return chosen


@torch.no_grad()
def dodges(
    victim: Victim,
    faces: Faces,
    subjects: Labels,
    frames: Frames,
    *,
    batch: int = 64,
    progress: Progress = silent,
) -> Bool[Tensor, "frames photos"]:
    """Whether each photo, wearing each frame, is taken for somebody else than its subject.

    Args:
        victim: In evaluation mode.
        faces: (photos, 3, 224, 224), in [0, 1].
        subjects: For each photo, its subject's class.
        frames: (frames, 3, 64, 176), in [0, 1].
        batch: Most faces at once.
        progress: Told after each frame.
    """
    goal = resolve_goal(Dodge(tuple(subjects.tolist())), victim)
    assert isinstance(goal, Dodge)
    rows = []
    for done, frame in enumerate(frames, 1):
        parts = [
            goal.on(places).succeeded(victim(FIXED.wear(faces, frame[None], places)))
            for places in torch.arange(len(faces)).split(batch)
        ]
        rows.append(torch.cat(parts))
        progress(done, len(frames), {})
    return torch.stack(rows)


def worth_to_subjects(
    dodged: Bool[Tensor, "frames photos"], subjects: Labels
) -> Float[Tensor, "frames subjects"]:
    """The share of each subject's photos that each frame dodges on; subjects by class, ascending.

    A subject wears one frame, so what the chosen ones are worth is what the best of them is.
    """
    classes = sorted(set(subjects.tolist()))
    return torch.stack([dodged[:, subjects == own].double().mean(1) for own in classes], 1)
