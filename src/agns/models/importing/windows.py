"""What foreign files' convolutions and pooling do before PyTorch's: uneven borders, what counts."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from agns.models.importing.foreign_step import Refused, within

Border: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Pixels added above and below, left and right."""


def full_border(
    sizes: Sequence[int], window: Sequence[int], steps: Sequence[int], *, odd_first: bool = False
) -> Border:
    """The border with which ceil(size / step) windows fit; `odd_first` puts the odd one before."""
    pairs = []
    for size, length, step in zip(sizes, window, steps, strict=True):
        missing = max((-(-size // step) - 1) * step + length - size, 0)
        less = missing // 2
        pairs.append((missing - less, less) if odd_first else (less, missing - less))
    return pairs[0], pairs[1]


def bordered(x: Tensor, border: Border, fill: float = 0.0) -> Tensor:
    """Pictures (batch, channels, height, width) with a border."""
    (top, bottom), (left, right) = border
    if not any((top, bottom, left, right)):
        return x
    within((*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right))
    return F.pad(x, [left, right, top, bottom], value=fill)


def convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    steps: Sequence[int],
    border: Border,
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """A convolution, whose border may be uneven."""
    (top, bottom), (left, right) = border
    even = top == bottom and left == right and min(top, left) >= 0
    return F.conv2d(
        x if even else bordered(x, border), weight, bias, stride=tuple(steps),
        padding=(top, left) if even else 0, dilation=tuple(dilation), groups=groups,
    )  # fmt: skip


def pooled(
    x: Tensor,
    window: Sequence[int],
    steps: Sequence[int],
    border: Border,
    *,
    largest: bool,
    border_counts: bool = False,
) -> Tensor:
    """The largest number in each window, or the mean, in which the border may count as zeros."""
    for length, size in zip(window, x.shape[2:], strict=True):
        if not 1 <= length <= 2 * size:
            raise Refused(f"a window of {tuple(window)} does not fit {tuple(x.shape[2:])}")
    sides = tuple(window), tuple(steps)
    if largest:
        return F.max_pool2d(bordered(x, border, float("-inf")), *sides)
    wide = bordered(x, border)
    made = F.avg_pool2d(wide, *sides)
    if wide is x or border_counts:
        return made
    return made / F.avg_pool2d(bordered(torch.ones_like(x[:1, :1]), border), *sides)
