"""How many subjects a few frames serve: figures over the number of frames, and their picture.

Photos of one subject are not independent of one another, so a subject counts by the share of its
photos, and intervals come from resampling subjects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool
from matplotlib.figure import Figure
from torch import Tensor

from agns.evaluation.plots import save_figure
from agns.evaluation.statistics import mean_interval
from agns.types import Chosen

Group: TypeAlias = Literal["craft", "unseen"]
"""`craft`: subjects with whose photos frames were made. `unseen`: others, whom the recogniser knows
all the same."""

MadeBy: TypeAlias = Literal["attack", "benign"]
"""The attack's frames, or benign ones chosen by the same rule from as many candidates."""

Rule: TypeAlias = Literal["picked", "any"]
"""`picked`: each subject wears the one frame that did best on photos of its own that are not
scored. `any`: a photo counts if any of the frames dodges on it. Nobody can choose so; it is a bound
that no way of picking exceeds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wearer:
    """What a series of frames did on one subject's photos."""

    name: str
    """Of the identity."""

    picking: Bool[Tensor, "frames own"]
    """Whether each frame dodges on each photo that the subject may pick a frame by."""

    scored: Bool[Tensor, "frames held_out"]
    """The same on the photos that are scored."""

    recognized: Chosen
    """For each scored photo, whether it was recognised without a frame."""

    bare: Chosen
    """Whether it dodges without a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Success over subjects; `None` where there are none with photos to count."""

    subjects: int
    """Subjects counted."""

    photos: int
    """Their photos counted."""

    success_rate: float | None
    """Mean over subjects of the share of photos that dodge."""

    interval: tuple[float, float] | None
    """Its 95 % interval, by resampling subjects."""

    subjects_dodging: float | None
    """Share of subjects of whom more than half of the photos dodge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachPoint:
    """What the first so many frames are worth to a group of subjects."""

    frames: int
    """How many frames there are to choose from."""

    group: Group
    """Whose photos."""

    made_by: MadeBy
    """Which frames."""

    rule: Rule
    """How a frame is chosen among them."""

    all: Reach
    """Over all held-out photos."""

    recognized: Reach
    """Over those recognised without a frame; subjects without any are left out."""


def pick(picking: Bool[Tensor, "frames own"]) -> int:
    """The frame that dodges on the most photos; the first of equals."""
    counts = picking.sum(1).tolist()
    return counts.index(max(counts))


def wear_one(wearer: Wearer, frames: int, rule: Rule) -> Chosen:
    """Whether each scored photo dodges with the first so many frames, chosen by the rule."""
    if rule == "any":
        return wearer.scored[:frames].any(0)
    return wearer.scored[pick(wearer.picking[:frames])]


def measure_reach(dodged: Sequence[Bool[Tensor, " _"]], *, seed: int = 0) -> Reach:
    """Success over subjects.

    Args:
        dodged: For each subject, whether each photo dodges; subjects without photos do not count.
        seed: Of the resampling.
    """
    counted = [some.double() for some in dodged if len(some)]
    if not counted:
        return Reach(subjects=0, photos=0, success_rate=None, interval=None, subjects_dodging=None)
    shares = [float(some.mean()) for some in counted]
    return Reach(
        subjects=len(shares),
        photos=sum(map(len, counted)),
        success_rate=sum(shares) / len(shares),
        interval=mean_interval(
            [[share] for share in shares], rng=torch.Generator().manual_seed(seed)
        ),
        subjects_dodging=sum(share > 0.5 for share in shares) / len(shares),
    )


def reach_curve(
    wearers: Sequence[Wearer],
    counts: Sequence[int],
    *,
    group: Group,
    made_by: MadeBy,
    seed: int = 0,
) -> list[ReachPoint]:
    """Success over the number of frames, by each rule.

    Args:
        wearers: Each subject of a group, all with the same frames.
        counts: Numbers of frames, each at most as many as there are.
        group: Which group it is.
        made_by: Which frames they are.
        seed: Of the resampling.
    """
    points = []
    rules: tuple[Rule, ...] = ("picked", "any")
    for rule in rules:
        for count in counts:
            dodged = [wear_one(wearer, count, rule) for wearer in wearers]
            known = [some[wearer.recognized] for some, wearer in zip(dodged, wearers, strict=True)]
            points.append(
                ReachPoint(
                    frames=count,
                    group=group,
                    made_by=made_by,
                    rule=rule,
                    all=measure_reach(dodged, seed=seed),
                    recognized=measure_reach(known, seed=seed),
                )
            )
    return points


def draw_reach(path: Path, points: Sequence[ReachPoint], *, title: str) -> None:
    """Draw success over the number of frames, among photos recognised without a frame.

    Args:
        path: A PNG file.
        points: As `reach_curve` gives them, of all groups and frames.
        title: What stands above.
    """
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    panels = figure.subplots(1, 2, sharey=True)
    groups: tuple[tuple[Group, str], ...] = (
        ("unseen", "subjects not crafted on"),
        ("craft", "subjects crafted on, other photos"),
    )
    lines = (
        ("attack", "picked", "this attack, one picked on other photos", "#d1495b", "-"),
        ("attack", "any", "this attack, any of them (a bound)", "#d1495b", ":"),
        ("benign", "picked", "benign frames, one picked on other photos", "#30638e", "-"),
        ("benign", "any", "benign frames, any of them (a bound)", "#30638e", ":"),
    )
    for panel, (group, words) in zip(panels, groups, strict=True):
        for made_by, rule, label, color, style in lines:
            found = [
                (point.frames, point.recognized.success_rate, *point.recognized.interval)
                for point in points
                if (point.group, point.made_by, point.rule) == (group, made_by, rule)
                and point.recognized.success_rate is not None
                and point.recognized.interval is not None
            ]
            counts, rates, low, high = ([row[place] for row in found] for place in range(4))
            panel.plot(counts, rates, style, color=color, marker="o", markersize=3, label=label)
            if rule == "picked":
                panel.fill_between(counts, low, high, color=color, alpha=0.15)
        panel.set_title(words, fontsize=9)
        panel.set_xlabel("frames to choose from", fontsize=8)
        panel.set_ylim(-0.03, 1.03)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("recognised photos that dodge", fontsize=8)
    panels[1].legend(fontsize=7)
    save_figure(figure, path)
