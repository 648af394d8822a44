"""What a gallery's file says, checked before anything is made of it."""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from agns.models.embedder import Embedder
from agns.models.operating_points import OperatingPoint, Rule
from agns.models.victim import Task
from agns.types import CANVAS, Embeddings

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


def templates_in(
    tensors: Mapping[str, Tensor], told: WrittenGallery, embedder: Embedder
) -> dict[str, Embeddings]:
    """Each person's templates.

    Raises:
        KeyError: They are missing.
        ValueError: They, or the operating points, make no sense.
    """
    for point in told.operating_points:
        if not (0 < point.false_accept_rate < 1 and 0 < point.threshold < math.inf):
            raise ValueError("an operating point is none")
    templates, owners = tensors["templates"], tensors["owners"]
    people = torch.arange(len(told.identities))
    if owners.dtype != torch.int64 or not torch.equal(owners.unique_consecutive(), people):
        raise ValueError("its templates do not fit its people")
    with torch.no_grad():
        width = embedder(torch.full((1, 3, CANVAS, CANVAS), 0.5)).shape[1]
    if templates.shape != (len(owners), width) or not templates.isfinite().all():
        raise ValueError(f"its templates are not {width} finite numbers each")
    return dict(
        zip(told.identities, templates.float().split(owners.bincount().tolist()), strict=True)
    )
