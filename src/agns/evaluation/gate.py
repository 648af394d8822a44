"""What a capture check would say of worn photos: is there a face, are its eyes open and free?

Border gates and enrolment check a photo before anybody is recognised. This check is one such,
of what the photo alone shows: a detector must find the face; the eyelids, by their landmarks, must
be apart; and of the band across the eyes no more may differ from the cheeks' colour than on nearly
all photos without glasses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from agns.data.landmarks import Landmarker
from agns.errors import DataError
from agns.evaluation.metrics import wilson_interval
from agns.settings import Part, Range, check_settings
from agns.types import Image, Progress, silent

_RIGHT, _LEFT = range(36, 42), range(42, 48)
_SKIN = 0.6
"""Difference in the logarithm of brightness from which a pixel is no skin: a factor of 1.8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureCheck:
    """What a capture check asks for."""

    openness: Annotated[float, Range("[0, 1]")] = 0.12
    """Least height of an eye's opening over its width."""

    passing: Part = 0.95
    """Share of photos without a frame that pass by what covers the eyes; sets how much may."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Shares of photos that are refused, in [0, 1], and by which check first.

    Where each photo tried several frames, it counts as their mean.
    """

    photos: int
    no_face: float
    closed_eyes: float
    covered: float
    """More of the band across the eyes than is usual."""
    refused: float
    """By any of these."""
    interval: tuple[float, float]
    """Its 95 % Wilson interval over photos."""
    limit: float
    """How much of the band across the eyes may be covered; the mean limit, where each photo is
    checked against that of the others."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a photo shows."""

    openness: float
    """Of the eye that is less open."""
    covered: float
    """Share of the band across the eyes that is not of the cheeks' colour."""


def measure_gate(
    sets: Sequence[Sequence[Image]],
    find: Landmarker,
    check: CaptureCheck,
    *,
    progress: Progress = silent,
) -> list[Refused]:
    """Check photos without a frame first, which set how much may be covered, then others.

    Each photo without a frame is checked against the limit that the others of them set.

    Args:
        sets: Pictures of any size in [0, 1], those without a frame first; others show the same
            photos, once or with several frames.
        find: Finds faces.
        check: What is asked for.
        progress: Told after each photo.

    Raises:
        DataError: A face is found in fewer than two of the photos without a frame.
    """
    total, done = sum(map(len, sets)), 0
    seen: list[list[_Seen | None]] = []
    for pictures in sets:
        seen.append([])
        for picture in pictures:
            found = find(picture)
            seen[-1].append(_measure(picture, found[0]) if len(found) else None)
            done += 1
            progress(done, total, {})
    bare = [one.covered for one in seen[0] if one is not None]
    if len(bare) < 2:
        raise DataError(
            f"a face is found in {len(bare)} of {len(seen[0])} photos without a frame, and how "
            "much may be covered takes two"
        )

    def limit(covered: Sequence[float]) -> float:
        return float(torch.tensor(covered).quantile(check.passing))

    others = [limit(bare[:place] + bare[place + 1 :]) for place in range(len(bare))]
    return [
        _refused(seen[0], check, others, photos=len(sets[0])),
        *(
            _refused(
                some, check, [limit(bare)] * (len(some) - some.count(None)), photos=len(sets[0])
            )
            for some in seen[1:]
        ),
    ]


def _refused(
    pictures: Sequence[_Seen | None],
    check: CaptureCheck,
    limits: Sequence[float],
    *,
    photos: int,
) -> Refused:
    """Limits are of the pictures in which a face was found, in their order."""
    count = max(1, len(pictures))
    found = [one for one in pictures if one is not None]
    opened = [
        (one, limit)
        for one, limit in zip(found, limits, strict=True)
        if one.openness >= check.openness
    ]
    passed = sum(one.covered <= limit for one, limit in opened)
    refused = len(pictures) - passed
    return Refused(
        photos=photos,
        no_face=(len(pictures) - len(found)) / count,
        closed_eyes=(len(found) - len(opened)) / count,
        covered=(len(opened) - passed) / count,
        refused=refused / count,
        interval=wilson_interval(refused / count * photos, max(1, photos)),
        limit=sum(limits) / max(1, len(limits)),
    )


def _measure(picture: Image, landmarks: Float[Tensor, "68 2"]) -> _Seen:
    return _Seen(
        openness=min(_opening(landmarks[list(eye)]) for eye in (_RIGHT, _LEFT)),
        covered=covered_share(picture, landmarks),
    )


def _opening(eye: Float[Tensor, "6 2"]) -> float:
    """Mean distance of the lids over that of the corners (Soukupova & Cech 2016)."""
    lids = (eye[1] - eye[5]).norm() + (eye[2] - eye[4]).norm()
    return float(lids / (2 * (eye[0] - eye[3]).norm()).clamp_min(1e-6))


def covered_share(picture: Image, landmarks: Float[Tensor, "68 2"]) -> float:
    """Share of the band across the eyes whose colour is not that of the cheeks.

    The band reaches from brows to the middle of the nose and half an eye's width beyond the eyes;
    cheeks are squares half-way between jaw and nose.
    """
    height, width = picture.shape[1:]
    eye = float((landmarks[45] - landmarks[42]).norm())
    left, right = float(landmarks[36, 0]) - eye / 2, float(landmarks[45, 0]) + eye / 2
    top, bottom = float(landmarks[17:27, 1].mean()), float(landmarks[30, 1])
    band = _cut(picture, left, top, right, bottom, height, width)
    middles = (landmarks[[2, 14]] + landmarks[[31, 35]]) / 2
    cheeks = [
        _cut(picture, x - eye / 4, y - eye / 4, x + eye / 4, y + eye / 4, height, width)
        for x, y in middles.tolist()
    ]
    skin = torch.cat([one.flatten(1) for one in cheeks], 1)
    if band.numel() == 0 or skin.numel() == 0:
        return 1.0
    usual = (skin + 0.05).log().median(1).values[:, None, None]
    return float((((band + 0.05).log() - usual).abs().amax(0) > _SKIN).float().mean())


def _cut(
    picture: Image, left: float, top: float, right: float, bottom: float, height: int, width: int
) -> Float[Tensor, "3 _ _"]:
    rows = slice(max(0, round(top)), max(0, min(height, round(bottom) + 1)))
    columns = slice(max(0, round(left)), max(0, min(width, round(right) + 1)))
    return picture[:, rows, columns]
