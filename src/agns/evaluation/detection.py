"""How well a detector tells adversarial photos, on subjects that it was not trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from agns.errors import DataError
from agns.evaluation.metrics import wilson_interval
from agns.evaluation.statistics import mean_interval

Suspicions = Mapping[str, Float[Tensor, " photos"]]
"""Log-odds of being adversarial, by kind: `clean`, `benign`, `adversarial`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Subjects' mean share of photos, with its 95 % interval by resampling subjects.

    Few subjects' means say little of others': the interval reaches at least as far as Wilson's
    would if each subject were one photo.
    """

    photos: int
    """Of all subjects."""
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionScores:
    """A detector at a probability of 0.5, and at all others; of subjects held out."""

    subjects: int
    recall: Rate
    """Share of adversarial photos that are refused."""
    false_alarms: Rate
    """Share of photos without a frame that are refused."""
    false_alarms_benign: Rate
    """Share of photos with benign glasses that are refused."""
    precision: float | None
    """Share of refused photos that are adversarial, where there are as many of the three kinds as
    here; None where none is refused."""
    precision_interval: tuple[float, float] | None
    """Its 95 % Wilson interval over photos, as if these were independent."""
    auc: float
    """Area under the ROC curve of adversarial photos beside both others."""
    eer: float
    """Where as large a share of adversarial photos passes as others are refused."""
    roc: Mapping[str, Sequence[float]]
    """`false_alarms` and `recall`, at all thresholds, ascending."""


def score_detection(subjects: Sequence[Suspicions], *, seed: int = 0) -> DetectionScores:
    """Score a detector.

    Args:
        subjects: Of each subject held out, the photos' log-odds by kind.
        seed: Of the resampling.

    Raises:
        DataError: There is no adversarial photo, or no other.
    """
    from torchmetrics.functional.classification import binary_auroc, binary_eer, binary_roc

    kinds = ("clean", "benign", "adversarial")
    whole = {kind: torch.cat([own[kind] for own in subjects]) for kind in kinds}
    passing = torch.cat([whole["clean"], whole["benign"]])
    if not len(whole["adversarial"]) or not len(passing):
        raise DataError("a detector is scored on adversarial photos and on others")
    rng = torch.Generator().manual_seed(seed)

    def rate(kind: str) -> Rate:
        flags = [(own[kind] > 0).float().tolist() for own in subjects if len(own[kind])]
        share = sum(sum(own) / len(own) for own in flags) / len(flags)
        photos = sum(map(len, flags))
        pairs = (mean_interval(flags, rng=rng), wilson_interval(share * len(flags), len(flags)))
        low, high = zip(*pairs, strict=True)
        return Rate(photos=photos, share=share, interval=(min(low), max(high)))

    refused = int((whole["adversarial"] > 0).sum()), int((passing > 0).sum())
    odds = torch.cat([passing, whole["adversarial"]])
    target = torch.cat([torch.zeros(len(passing)), torch.ones(len(whole["adversarial"]))]).long()
    # By their ranks: probabilities near 1 would all be one.
    _, ranks = odds.double().unique(return_inverse=True)
    sureness = ranks.double() / max(1, int(ranks.max()))
    false, true, _ = binary_roc(sureness, target)
    return DetectionScores(
        subjects=len(subjects),
        recall=rate("adversarial"),
        false_alarms=rate("clean"),
        false_alarms_benign=rate("benign"),
        precision=refused[0] / sum(refused) if sum(refused) else None,
        precision_interval=wilson_interval(refused[0], sum(refused)) if sum(refused) else None,
        auc=float(binary_auroc(sureness, target)),
        eer=float(binary_eer(sureness, target)),
        roc={"false_alarms": false.tolist(), "recall": true.tolist()},
    )
