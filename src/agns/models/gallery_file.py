"""What a gallery's file says, checked before anything is made of it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from agns.data.faces import composed
from agns.errors import WeightsError, why
from agns.models.embedder import Embedder
from agns.models.operating_points import OperatingPoint, Rule
from agns.models.record import plain, recorded
from agns.models.victim import Task
from agns.storage import load_tensors
from agns.types import CANVAS, Embeddings

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Embedding(BaseModel):
    source: str
    digest: str


class WrittenGallery(BaseModel):
    """What a gallery's file says beside its templates; whatever else is its record."""

    identities: tuple[str, ...]
    rule: Rule
    task: Task
    threshold: _Length | None
    slope: _Length
    embedder: _Embedding
    operating_points: tuple[OperatingPoint, ...] = ()


FORMAT = "agns-gallery-1"
"""What a gallery's file calls itself."""


def read_told(path: Path) -> tuple[WrittenGallery, dict[str, Tensor], dict[str, object]]:
    """What a gallery's file says, its tensors, and its record.

    Raises:
        ConfigError: There is no such file.
        WeightsError: It holds no gallery, or is damaged.
    """
    tensors, metadata = load_tensors(path)
    if metadata.pop("format", None) != FORMAT:
        raise WeightsError(f"{path} holds no gallery written by agns")
    try:
        values = {name: json.loads(text) for name, text in metadata.items()}
        told = WrittenGallery(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise WeightsError(f"{path} holds an unusable gallery: {where}: {first['msg']}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} holds an unusable gallery: {why(error)}") from error
    if told.task != "closed-set" and told.threshold is None:
        raise WeightsError(f"{path} holds an unusable gallery: {told.task} without a threshold")
    if len(set(map(composed, told.identities))) < max(2, len(told.identities)):
        raise WeightsError(f"{path} holds an unusable gallery: its people are not two or more")
    own = {*WrittenGallery.model_fields, "checked"} - {"operating_points"}
    return told, tensors, {name: value for name, value in values.items() if name not in own}


def gallery_rows(path: Path) -> list[tuple[str, str]]:
    """A gallery's file in words, as pairs; none where it holds something else.

    Raises:
        WeightsError: It is damaged.
    """
    try:
        told, _, record = read_told(path)
    except WeightsError as error:
        if "holds no gallery" in str(error):
            return []
        raise
    threshold = "none" if told.threshold is None else f"{told.threshold:.4f}"
    points = ", ".join(
        f"{one.false_accept_rate:g} below {one.threshold:.4f}" for one in told.operating_points
    )
    rows = [
        ("embedding", told.embedder.source),
        ("compared with", "the mean of photos" if told.rule == "mean" else "the nearest photo"),
        ("task", told.task),
        ("threshold", threshold),
        ("false accepts", points or "not calibrated"),
        ("people", f"{len(told.identities)}: {', '.join(told.identities)}"),
    ]
    return [(name, plain(value)) for name, value in rows] + list(recorded(record))


def templates_in(
    tensors: Mapping[str, Tensor], told: WrittenGallery, embedder: Embedder
) -> dict[str, Embeddings]:
    """Each person's templates.

    Raises:
        ValueError: They, or the operating points, make no sense.
    """
    for point in told.operating_points:
        if not (0 < point.false_accept_rate < 1 and 0 < point.threshold < math.inf):
            raise ValueError("an operating point is none")
    if lacking := {"templates", "owners"} - tensors.keys():
        raise ValueError(f"it lacks {min(lacking)}")
    templates, owners = tensors["templates"], tensors["owners"]
    people = torch.arange(len(told.identities))
    listed = owners.dtype == torch.int64 and owners.ndim == 1
    if not listed or not torch.equal(owners.unique_consecutive(), people):
        raise ValueError("its templates do not fit its people")
    with torch.no_grad():
        width = embedder(torch.full((1, 3, CANVAS, CANVAS), 0.5)).shape[1]
    if templates.shape != (len(owners), width) or templates.dtype not in _FLOATS:
        raise ValueError(f"its templates are not {width} numbers each")
    if not templates.float().isfinite().all():
        raise ValueError("its templates are not finite")
    return dict(
        zip(told.identities, templates.float().split(owners.bincount().tolist()), strict=True)
    )
