"""What people's answers say: how often each kind of frame is taken for real.

People are clusters: each has an own leaning towards "real", so that their answers are not
independent of one another. Intervals come from resampling people; they are for these frames, and
for people like those asked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from agns.evaluation.metrics import Z95
from agns.evaluation.statistics import expanded_percentiles, mean_interval
from agns.survey.answers import Answers, Key
from agns.survey.questions import DRAWN, REAL

PAPER = {"real": 0.61, "agn": 0.47, "agn-paper": 0.47, "ccs16": 0.31}
"""Shares of frames marked real in the user study of Sharif et al., A General Framework for
Adversarial Examples with Objectives, ACM TOPS 2019 (doi.org/10.1145/3317611), by kind."""

FEWEST = 30
"""People below whom a warning is given: with fewer clusters, resampling them gives intervals that
may be too narrow (Cameron, Gelbach and Miller 2008)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OddsRatio:
    """The odds of being marked real, over those of real frames."""

    value: float
    """0 to infinity; 1 where people do not tell the kinds apart."""

    interval: tuple[float, float]
    """95 %: by resampling people, or as if all answers were independent, whichever is wider to
    each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindScore:
    """How frames of one kind are judged."""

    kind: str
    frames: int
    """Of this kind that anybody answered."""

    people: int
    """Who answered any."""

    answers: int

    marked_real: int
    """Answers that say real."""

    share: float
    """Mean over people of the share that each marked real, in [0, 1]."""

    interval: tuple[float, float]
    """Its 95 % interval, by resampling people; see `mean_interval`."""

    odds_ratio: OddsRatio | None
    """None of real frames themselves, and where there are none."""

    paper: float | None
    """The published share, of its own frames and people; see `PAPER`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """How one frame is judged."""

    frame: str
    kind: str
    source: str
    answers: int
    marked_real: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyScore:
    """What a survey found."""

    survey: str
    worn: bool
    people: int

    partial: int
    """People among them who did not answer all frames; what they answered counts."""

    kinds: Sequence[KindScore]
    """Real frames first."""

    frames: Sequence[FrameScore]
    warnings: Sequence[str]


def score_survey(key: Key, people: Sequence[Answers], *, seed: int = 0) -> SurveyScore:
    """Score the answers of at least one person.

    Args:
        key: What each picture is.
        people: What each said; see `read_answers`.
        seed: Of the resampling.
    """
    kinds = sorted(set(key.kinds.values()), key=lambda kind: (kind != REAL, kind))
    counts = {kind: _counts(key, people, kind) for kind in kinds}
    scores = []
    for kind in kinds:
        real, total = counts[kind].unbind(1)
        answered = total > 0
        if not bool(answered.any()):
            continue
        shares = (real[answered] / total[answered]).tolist()
        rng = torch.Generator().manual_seed(seed)
        scores.append(
            KindScore(
                kind=kind,
                frames=len(_asked(key, people, kind)),
                people=int(answered.sum()),
                answers=int(total.sum()),
                marked_real=int(real.sum()),
                share=sum(shares) / len(shares),
                interval=mean_interval([[share] for share in shares], rng=rng),
                odds_ratio=_odds_ratio(counts[kind], counts.get(REAL), kind, seed=seed),
                paper=PAPER.get(kind),
            )
        )
    partial = sum(len(one.marked_real) < len(key.kinds) for one in people)
    return SurveyScore(
        survey=key.survey,
        worn=key.worn,
        people=len(people),
        partial=partial,
        kinds=scores,
        frames=[_frame_score(key, people, frame) for frame in key.kinds],
        warnings=_warnings(key, people, partial),
    )


def _warnings(key: Key, people: Sequence[Answers], partial: int) -> list[str]:
    warnings = []
    if len(people) < FEWEST:
        who = "One person" if len(people) == 1 else f"{len(people)} people"
        warnings.append(
            f"{who} took part: with fewer than {FEWEST}, intervals may be too narrow, and the "
            "shares are of these people alone."
        )
    if partial:
        who = "One person" if partial == 1 else f"{partial} people"
        warnings.append(f"{who} did not answer all frames; what was answered counts.")
    if drawn := sum(source.startswith(DRAWN) for source in key.sources.values()):
        were = "was" if drawn == 1 else "were"
        warnings.append(
            f"{drawn} of the real frames {were} drawn by agns, not photographed: their share is "
            "not the paper's."
        )
    return warnings


def _asked(key: Key, people: Sequence[Answers], kind: str) -> set[str]:
    return {frame for one in people for frame in one.marked_real if key.kinds[frame] == kind}


def _counts(key: Key, people: Sequence[Answers], kind: str) -> Float64[Tensor, "people 2"]:
    """How many frames of a kind each person marked real, and answered."""
    rows = []
    for one in people:
        said = [real for frame, real in one.marked_real.items() if key.kinds[frame] == kind]
        rows.append((sum(said), len(said)))
    return torch.tensor(rows, dtype=torch.float64)


def _frame_score(key: Key, people: Sequence[Answers], frame: str) -> FrameScore:
    said = [one.marked_real[frame] for one in people if frame in one.marked_real]
    return FrameScore(
        frame=frame,
        kind=key.kinds[frame],
        source=key.sources[frame],
        answers=len(said),
        marked_real=sum(said),
    )


def _odds_ratio(
    counts: Float64[Tensor, "people 2"],
    real: Float64[Tensor, "people 2"] | None,
    kind: str,
    *,
    seed: int,
    samples: int = 10_000,
) -> OddsRatio | None:
    """The ratio of the odds of all answers together."""
    if kind == REAL or real is None or not bool(real.sum()):
        return None
    tables = torch.cat([counts, real], 1)
    tables = tables[tables.sum(1) > 0]
    people = len(tables)
    seen, spread = _log_odds_ratio(tables.sum(0))
    low, high = float(seen - Z95 * spread), float(seen + Z95 * spread)
    if people > 1:
        rng = torch.Generator().manual_seed(seed)
        chosen = torch.randint(people, (samples, people), generator=rng)
        times = torch.zeros(samples, people, dtype=torch.float64)
        times.scatter_add_(1, chosen, torch.ones_like(times))
        resampled, _ = _log_odds_ratio(times @ tables)
        ends = expanded_percentiles(resampled, clusters=people)
        low, high = min(low, ends[0]), max(high, ends[1])
    return OddsRatio(value=math.exp(seen), interval=(math.exp(low), math.exp(high)))


def _log_odds_ratio(
    counts: Float64[Tensor, "*tables 4"],
) -> tuple[Float64[Tensor, "*tables"], Float64[Tensor, "*tables"]]:
    """Logarithms of odds ratios, and their standard errors (Woolf 1955).

    Where a cell is 0, half an answer is added to each of the four (Haldane 1956).

    Args:
        counts: Frames of one kind that were marked real, and answered; the same of real frames.
    """
    marked, answered, real_marked, real_answered = counts.unbind(-1)
    cells = torch.stack([marked, answered - marked, real_marked, real_answered - real_marked], -1)
    cells = cells + 0.5 * (cells == 0).any(-1, keepdim=True)
    signs = cells.new_tensor([1, -1, -1, 1])
    return (cells.log() * signs).sum(-1), (1 / cells).sum(-1).sqrt()
