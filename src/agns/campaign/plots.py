"""A campaign's plots: success with its interval, success against looks, and transfer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agns.campaign.appearance import AppearanceSummary
from agns.campaign.curves import QueriesSummary
from agns.campaign.summary import AttackSummary, TransferSummary
from agns.evaluation.judges import USUAL
from agns.evaluation.lettering import legible
from agns.evaluation.plots import save_figure

_COLORS = ("#d1495b", "#30638e", "#edae49", "#66a182", "#8d6a9f", "#2e4057", "#8d99ae")


def draw_intervals(path: Path, attacks: Sequence[AttackSummary]) -> None:
    """Draw each line's held-out success with its interval, beside benign frames.

    Args:
        path: A PNG file.
        attacks: The campaign's summaries.
    """
    figure = Figure(figsize=(7.6, 0.9 + 0.32 * len(attacks)), layout="constrained")
    axis = figure.subplots()
    places = range(len(attacks), 0, -1)
    for place, one in zip(places, attacks, strict=True):
        axis.plot(one.held_out_interval, (place, place), color="#d1495b", linewidth=2)
    axis.plot(
        [one.held_out_success for one in attacks], places, "o", color="#d1495b", markersize=5,
        label="held-out photos, 95 % over subjects",
    )  # fmt: skip
    axis.plot(
        [one.benign_success for one in attacks], places, "|", color="#30638e", markersize=9,
        label="benign frames",
    )  # fmt: skip
    axis.set_yticks(
        list(places),
        [legible(f"{one.recognizer}, {one.goal}, {one.attack}") for one in attacks],
        fontsize=8,
        parse_math=False,
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


def draw_appearance(
    path: Path, attacks: Sequence[AttackSummary], appearance: Sequence[AppearanceSummary]
) -> None:
    """Draw each attack's success over how its frames look to judges that no attack has seen.

    To the right stand attacks of whose frames more pass every judge, and than whose frames fewer
    real ones look more usual. Attacks that none beats in both are joined: the Pareto front.

    Args:
        path: A PNG file.
        attacks: The campaign's summaries.
        appearance: Likewise.
    """
    looks = {(one.recognizer, one.goal, one.attack): one for one in appearance}
    judged = [one for one in attacks if (one.recognizer, one.goal, one.attack) in looks]
    groups, colors = _grouped(judged)
    figure = Figure(figsize=(8.6, 3.1 * len(groups) + 0.4), layout="constrained")
    panels = figure.subplots(len(groups), 2, squeeze=False, sharey=True)
    for (left, right), ((recognizer, goal), group) in zip(panels, groups.items(), strict=True):
        left.set_ylabel(f"{recognizer}, {goal}\nheld-out success", fontsize=8, parse_math=False)
        own = [looks[recognizer, goal, one.attack] for one in group]
        _draw_front(left, group, [one.natural / one.frames for one in own], colors, better=1)
        _draw_front(right, group, [one.worst for one in own], colors, better=-1)
        left.set_xlabel("share of frames that pass every judge", fontsize=8)
        left.set_xlim(-0.05, 1.05)
        right.set_xlabel("share of real frames that look more usual", fontsize=8)
        right.axvline(USUAL, color="#8888", linestyle=":", linewidth=1)
        right.set_xlim(1.02, 0.48)
    _name_attacks(figure, colors)
    save_figure(figure, path)


def draw_queries(path: Path, points: Sequence[QueriesSummary]) -> None:
    """Draw success over queries with its interval, a line for each attack.

    Args:
        path: A PNG file.
        points: The campaign's summaries.
    """
    groups, colors = _grouped(points)
    figure = Figure(figsize=(7.6, 3.1 * len(groups) + 0.4), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for axis, ((recognizer, goal), group) in zip(panels, groups.items(), strict=True):
        for attack in dict.fromkeys(one.attack for one in group):
            own = [one for one in group if one.attack == attack]
            queries, color = [one.queries for one in own], colors[attack]
            rates = [one.held_out_success for one in own]
            if queries == [0]:
                axis.axhline(rates[0], color=color, linestyle="--")
                continue
            low, high = zip(*(one.held_out_interval for one in own), strict=True)
            axis.fill_between(queries, low, high, color=color, alpha=0.15, linewidth=0)
            axis.plot(queries, rates, "o-", color=color, markersize=4)
        axis.set_xscale("log")
        axis.set_ylim(-0.05, 1.05)
        axis.grid(alpha=0.3)
        axis.set_ylabel(f"{recognizer}, {goal}\nheld-out success", fontsize=8, parse_math=False)
    panels[-1].set_xlabel("queries", fontsize=8)
    _name_attacks(figure, colors)
    save_figure(figure, path)


_Summary = TypeVar("_Summary", AttackSummary, QueriesSummary)


def _grouped(
    summaries: Sequence[_Summary],
) -> tuple[dict[tuple[str, str], list[_Summary]], dict[str, str]]:
    """Summaries by recogniser and goal, and each attack's colour."""
    groups: dict[tuple[str, str], list[_Summary]] = {}
    for one in summaries:
        groups.setdefault((one.recognizer, one.goal), []).append(one)
    names = dict.fromkeys(one.attack for one in summaries)
    return groups, {name: _COLORS[place % len(_COLORS)] for place, name in enumerate(names)}


def _name_attacks(figure: Figure, colors: Mapping[str, str]) -> None:
    """Say below a figure which colour is which attack's."""
    marks = [
        Line2D([], [], color=color, marker="o", linestyle="", label=name)
        for name, color in colors.items()
    ]
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_front(
    axis: Axes,
    group: Sequence[AttackSummary],
    looks: Sequence[float],
    colors: Mapping[str, str],
    *,
    better: int,
) -> None:
    rates = [one.held_out_success for one in group]
    front = pareto_front([(better * x, y) for x, y in zip(looks, rates, strict=True)])
    best = sorted((x, y) for x, y, on in zip(looks, rates, front, strict=True) if on)
    axis.plot(*zip(*best, strict=True), color="#8888", linewidth=1, zorder=0)
    for one, x, y in zip(group, looks, rates, strict=True):
        axis.plot(x, y, "o", color=colors[one.attack])
    axis.set_ylim(-0.05, 1.05)
    axis.grid(alpha=0.3)


def draw_transfer(
    path: Path, attacks: Sequence[AttackSummary], transfers: Sequence[TransferSummary]
) -> None:
    """Draw, for each goal and attack, success by where frames were made and where they are scored.

    Args:
        path: A PNG file.
        attacks: The campaign's summaries: frames scored where they were made.
        transfers: Those scored elsewhere.
    """
    rates = {
        (one.goal, one.attack, one.recognizer, one.recognizer): one.held_out_success
        for one in attacks
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
        labels = [legible(name) for name in names]
        axis.set_xticks(range(len(names)), labels, fontsize=7, rotation=45, parse_math=False)
        axis.set_yticks(range(len(names)), labels, fontsize=7, parse_math=False)
        axis.set_title(f"{goal}, {attack}", fontsize=8, parse_math=False)
    for axis in panels[len(kinds) :]:
        axis.set_visible(False)
    panels[0].set_ylabel("made against", fontsize=8)
    panels[0].set_xlabel("scored on", fontsize=8)
    save_figure(figure, path)
