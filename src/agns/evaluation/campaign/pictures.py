"""A campaign's figures: success with its interval, success against stealth, and transfer."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from agns.evaluation.campaign.tables import Line
from agns.evaluation.campaign.transfer import TransferLine
from agns.evaluation.figures import save_figure

_COLORS = ("#d1495b", "#30638e", "#edae49", "#66a182", "#8d6a9f", "#2e4057", "#8d99ae")


def draw_intervals(path: Path, lines: Sequence[Line]) -> None:
    """Draw each line's held-out success with its interval, beside benign frames.

    Args:
        path: A PNG file.
        lines: The table.
    """
    figure = Figure(figsize=(7.6, 0.9 + 0.32 * len(lines)), layout="constrained")
    axis = figure.subplots()
    places = range(len(lines), 0, -1)
    for place, one in zip(places, lines, strict=True):
        axis.plot(one.held_out_interval, (place, place), color="#d1495b", linewidth=2)
    axis.plot(
        [one.held_out_success for one in lines], places, "o", color="#d1495b", markersize=5,
        label="held-out photos, 95 % over subjects",
    )  # fmt: skip
    axis.plot(
        [one.benign_success for one in lines], places, "|", color="#30638e", markersize=9,
        label="benign frames",
    )  # fmt: skip
    axis.set_yticks(
        list(places), [f"{one.recognizer}, {one.goal}, {one.attack}" for one in lines], fontsize=8
    )
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("success", fontsize=8)
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=7, loc="best")
    save_figure(figure, path)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which points no other one beats: none is at least as high in both and higher in one."""
    return [
        not any(other[0] >= one[0] and other[1] >= one[1] and other != one for other in points)
        for one in points
    ]


def draw_stealth(path: Path, lines: Sequence[Line]) -> None:
    """Draw each attack's success over how much its frames look like eyeglasses, two ways.

    To the right stand frames that the pretrained discriminator believes in more, and that lie
    nearer to a real one. Attacks that none beats in both are joined: the Pareto front.

    Args:
        path: A PNG file.
        lines: The table.
    """
    groups: dict[tuple[str, str], list[Line]] = {}
    for one in lines:
        groups.setdefault((one.recognizer, one.goal), []).append(one)
    figure = Figure(figsize=(8.6, 3.1 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 2, squeeze=False, sharey=True)
    for (left, right), ((recognizer, goal), group) in zip(panels, groups.items(), strict=True):
        left.set_ylabel(f"{recognizer}, {goal}\nheld-out success", fontsize=8)
        for axis, label, stealth in (
            (left, "discriminator's belief", [one.discriminator_score for one in group]),
            (right, "distance to the nearest real frame", [one.nearest_real for one in group]),
        ):
            rates = [one.held_out_success for one in group]
            sign = 1 if axis is left else -1
            front = pareto_front([(sign * x, y) for x, y in zip(stealth, rates, strict=True)])
            best = sorted((x, y) for x, y, on in zip(stealth, rates, front, strict=True) if on)
            axis.plot(*zip(*best, strict=True), color="#8888", linewidth=1, zorder=0)
            for place, (one, x) in enumerate(zip(group, stealth, strict=True)):
                axis.plot(
                    x, one.held_out_success, "o", color=_COLORS[place % len(_COLORS)],
                    label=one.attack,
                )  # fmt: skip
            axis.set_xlabel(label, fontsize=8)
            axis.set_ylim(-0.05, 1.05)
            axis.grid(alpha=0.3)
        right.invert_xaxis()
        left.legend(fontsize=7)
    save_figure(figure, path)


def draw_transfer(path: Path, lines: Sequence[Line], transfers: Sequence[TransferLine]) -> None:
    """Draw, for each goal and attack, success by where frames were made and where they are scored.

    Args:
        path: A PNG file.
        lines: The campaign's table: frames scored where they were made.
        transfers: Those scored elsewhere.
    """
    rates = {
        (one.goal, one.attack, one.recognizer, one.recognizer): one.held_out_success
        for one in lines
    } | {(one.goal, one.attack, one.made_against, one.scored_on): one.digital for one in transfers}
    kinds = list(dict.fromkeys((goal, attack) for goal, attack, _, _ in rates))
    names = list(dict.fromkeys(place for key in rates for place in key[2:]))
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    side = 0.6 * len(names) + 1.6
    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, (goal, attack) in zip(panels, kinds, strict=False):
        matrix = [
            [rates.get((goal, attack, made, on), float("nan")) for on in names] for made in names
        ]
        axis.imshow(matrix, vmin=0, vmax=1, cmap="Oranges")
        for row, values in enumerate(matrix):
            for column, value in enumerate(values):
                words = "" if value != value else f"{value:.0%}"
                color = "white" if value > 0.7 else "black"
                axis.text(column, row, words, ha="center", va="center", fontsize=8, color=color)
        axis.set_xticks(range(len(names)), names, fontsize=7, rotation=45)
        axis.set_yticks(range(len(names)), names, fontsize=7)
        axis.set_title(f"{goal}, {attack}", fontsize=8)
    for axis in panels[len(kinds) :]:
        axis.set_visible(False)
    panels[0].set_ylabel("made against", fontsize=8)
    panels[0].set_xlabel("scored on", fontsize=8)
    save_figure(figure, path)
