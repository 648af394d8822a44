"""What a campaign would run, and how long that takes on this machine."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agns.cli.console import bar, say, show
from agns.cli.face_options import SYNTHETIC_FRESH_PHOTOS
from agns.cli.opening import known_identities, open_for_campaign

if TYPE_CHECKING:
    from agns.evaluation.attack_setup import AttackSetup
    from agns.evaluation.campaign.cells import Cell
    from agns.evaluation.campaign.plan import Plan, PlanVictim


def rehearse(plan: "Plan", cells: "Sequence[Cell]", device: str) -> None:
    """Show the number of attacks of each kind, and what they take at least and at most."""
    from agns.evaluation.campaign.cells import UNIVERSAL
    from agns.evaluation.campaign.estimate import measure_speed, seconds_of, seconds_of_crowd

    crowds = {crowd.name: crowd for crowd in plan.universal}
    methods = {entry.name: entry.method for entry in plan.attacks}
    counts = Counter((cell.recognizer, cell.goal, cell.attack) for cell in cells)
    rows, least, most = [], 0.0, 0.0
    for victim in plan.recognizers:
        setup, _ = open_for_campaign(victim, plan, device)
        with bar(f"Measuring {victim.name}") as progress:
            speed = measure_speed(setup)
            progress(1, 1, {})
        for kind, count in counts.items():
            if kind[0] == victim.name:
                if kind[1] == UNIVERSAL:
                    crowd = crowds[kind[2]]
                    low, high = seconds_of_crowd(
                        crowd, speed, subjects=len(known_identities(victim)),
                        held_out=_held_out(victim, setup, crowd.experiment.craft),
                        glasses=len(setup.glasses),
                    )  # fmt: skip
                else:
                    low, high = seconds_of(
                        methods[kind[2]], speed, craft=plan.craft,
                        held_out=_held_out(victim, setup, plan.craft),
                        control_frames=plan.control_frames, glasses=len(setup.glasses),
                        sharing=len(plan.attacks) * len(plan.goals),
                    )  # fmt: skip
                least, most = least + count * low, most + count * high
                rows.append((*kind, str(count), _minutes(count * low), _minutes(count * high)))
    show(("recogniser", "goal", "attack", ">attacks", ">minutes at least", ">at most"), rows)
    say(
        f"{len(cells)} attacks in all, about {_minutes(least)} to {_minutes(most)} minutes in one "
        "process on this machine: the fewest if every attack met its stop value at once, the most "
        "if none ever did; reading or drawing photos and scoring on other recognisers come on top"
    )


def _held_out(victim: "PlanVictim", setup: "AttackSetup", craft: int) -> float:
    """Photos that an attack is scored on, on average over the victim's identities."""
    from agns.data.face_folder import list_identities

    if victim.faces is None:
        return max(SYNTHETIC_FRESH_PHOTOS - craft, SYNTHETIC_FRESH_PHOTOS / 2)
    listed = list_identities(victim.faces)
    known = [len(listed[name]) for name in setup.recognizer.identities if listed.get(name)]
    seen = len(setup.photos_seen)
    fresh = sum(known) - (seen or craft * len(known))
    return max(1, fresh) / len(known)


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.1f}" if minutes < 10 else f"{minutes:.0f}"
