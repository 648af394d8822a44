"""A campaign's tables: rows of text."""

from collections.abc import Sequence

from agns.campaign.curves import CurveAtPoint, CurvePoint, QueriesSummary
from agns.campaign.summary import AttackSummary, PointSummary, TransferSummary
from agns.evaluation.report import Table


def success_table(attacks: Sequence[AttackSummary]) -> Table:
    """A row for each recogniser, goal and attack."""
    head = (
        "recogniser", "goal", "attack", "attacks", "subjects", "met the stop value", "published",
        "craft", "held out", "95 % interval", "of those recognised", "benign frames",
        "seconds", "by chance against the first",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, f"{one.done} of {one.planned}", str(one.subjects),
            f"{one.met_stop_value / one.done:.0%} ({_interval(one.met_interval)})",
            _share(one.published, 0), _share(one.craft_success, 0), _share(one.held_out_success),
            _interval(one.held_out_interval), _share(one.recognized_success, 0),
            _share(one.benign_success, 0), f"{one.seconds:.1f}",
            "-" if one.against_first is None else f"p = {one.against_first:.3f}",
        )
        for one in attacks
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def point_table(points: Sequence[PointSummary]) -> Table:
    """A row for each recogniser, goal, attack and false-accept rate."""
    head = (
        "recogniser", "goal", "attack", "false accepts", "subjects", "held out", "95 % interval",
        "of those recognised", "benign frames", "no frame",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, f"{one.false_accept_rate:g}", str(one.subjects),
            _share(one.held_out_success), _interval(one.held_out_interval),
            _share(one.recognized_success, 0), _share(one.benign_success), _share(one.bare_success),
        )
        for one in points
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def queries_table(points: Sequence[QueriesSummary]) -> Table:
    """A row for each recogniser, goal, attack and number of queries."""
    head = (
        "recogniser", "goal", "attack", "queries", "subjects", "held out", "95 % interval",
        "benign frames",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, str(one.queries), str(one.subjects),
            _share(one.held_out_success), _interval(one.held_out_interval),
            _share(one.benign_success),
        )
        for one in points
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def curve_table(points: Sequence[CurvePoint]) -> Table:
    """A row for each universal attack, group and number of frames."""
    head = (
        "recogniser", "attack", "seed", "frames", "worn by", "picked", "95 % interval",
        "subjects that dodge", "benign, picked", "any", "benign, any",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.attack, str(one.seed), str(one.frames),
            f"{one.subjects} {one.worn_by}", _share(one.picked), _interval(one.picked_interval),
            _share(one.subjects_dodging), _share(one.benign_picked), _share(one.any),
            _share(one.benign_any),
        )
        for one in points
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=2)


def curves_at_points_table(points: Sequence[CurveAtPoint]) -> Table:
    """A row for each universal attack, rate and group, of the fewest frames and of the most."""
    counted: dict[tuple[str, str, int], set[int]] = {}
    for one in points:
        counted.setdefault((one.recognizer, one.attack, one.seed), set()).add(one.frames)
    ends = {which: (min(frames), max(frames)) for which, frames in counted.items()}
    head = (
        "recogniser", "attack", "seed", "false accepts", "frames", "worn by", "picked",
        "95 % interval", "subjects that dodge", "benign, picked", "no frame",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.attack, str(one.seed), f"{one.false_accept_rate:g}",
            str(one.frames), f"{one.subjects} {one.worn_by}", _share(one.picked),
            _interval(one.picked_interval), _share(one.subjects_dodging),
            _share(one.benign_picked), _share(one.bare),
        )
        for one in points
        if one.frames in ends[one.recognizer, one.attack, one.seed]
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=2)


def transfer_table(transfers: Sequence[TransferSummary]) -> Table:
    """A row for each goal, attack and pair of recognisers."""
    head = (
        "goal", "attack", "made against", "scored on", "subjects", "success", "95 % interval",
        "photographed", "benign frames", "no frame",
    )  # fmt: skip
    rows = [
        (
            one.goal, one.attack, one.made_against, one.scored_on, str(one.subjects),
            _share(one.digital), _interval(one.digital_interval), _share(one.photographed),
            _share(one.benign), _share(one.bare),
        )
        for one in transfers
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=4)


def _share(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"
