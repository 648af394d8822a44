"""A search among frames that a shop might sell: real ones whose pieces swap their colours."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.accessory.natural_set import NaturalSet
from agns.accessory.pieces import Pieces
from agns.attack.descent import Descent, Draft
from agns.settings import Batch
from agns.types import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Recolor(Descent):
    """Real frames whose pieces take other colours of the same frame.

    Pieces, their edges and the light on them stay as they are; which piece has which colour is
    sought. It begins with the boldest of some real frames in the natural set.
    """

    colors: Batch = 6
    """Colours of a frame, each a real piece's, that its pieces choose from."""

    def begin(self, natural: NaturalSet, real: Frames) -> Draft:
        """The boldest frames as they are."""
        inside = natural.contains(real)
        usual = real[inside] if bool(inside.any()) else real
        bold = natural.length(usual).argsort(descending=True)
        return _Colors.of(usual[bold[: self.candidates]], self.colors, natural)


@dataclass(frozen=True, slots=True)
class _Colors:
    pieces: Pieces
    palette: Float[Tensor, "candidates colors 3"]
    light: Float[Tensor, " pixels"]
    numbers: Float[Tensor, "candidates pieces colors"]
    """The highest says which colour a piece has."""

    @classmethod
    def of(cls, real: Frames, colors: int, natural: NaturalSet) -> "_Colors":
        pieces = Pieces.of(real)
        sizes = torch.zeros(pieces.colors.shape[:2])
        sizes.scatter_add_(1, pieces.places, torch.ones(pieces.places.shape))
        palette = [
            _far_apart(own[size > 0], int(size.argmax()), colors)
            for own, size in zip(pieces.colors, sizes, strict=True)
        ]
        light = natural.mean.unflatten(0, (3, -1)).mean(0)
        numbers = -3 * torch.cdist(pieces.colors, torch.stack(palette))
        return cls(pieces, torch.stack(palette), light / light.mean(), numbers)

    def frames(self, numbers: Float[Tensor, "candidates pieces colors"]) -> Frames:
        soft = numbers.softmax(2)
        hard = functional.one_hot(numbers.argmax(2), numbers.shape[2])
        # Each piece has one colour; the gradient is of the mixture (straight through).
        weights = hard + soft - soft.detach()
        return self.pieces.painted(weights @ self.palette, self.light)

    def held(
        self, numbers: Float[Tensor, "candidates pieces colors"], share: float
    ) -> Float[Tensor, "candidates pieces colors"]:
        return numbers

    def chosen(self, which: Int64[Tensor, " chosen"]) -> "_Colors":
        return _Colors(
            self.pieces.subset(which), self.palette[which], self.light, self.numbers[which]
        )


def _far_apart(
    colors: Float[Tensor, "pieces 3"], first: int, count: int
) -> Float[Tensor, "colors 3"]:
    """That many of the colors, the first one and those farthest from the ones before."""
    found = colors[first, None]
    while len(found) < count:
        farthest = torch.cdist(colors, found).amin(1).argmax()
        found = torch.cat([found, colors[farthest, None]])
    return found
