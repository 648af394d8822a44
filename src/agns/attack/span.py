"""A search among natural frames: descent over their principal directions."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from agns.accessory.natural_set import NaturalSet
from agns.attack.descent import Descent, Draft
from agns.types import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(Descent):
    """Frames between real ones: descent over the principal directions of the natural set.

    It begins with real frames, brought onto the plane that the directions span.
    """

    def begin(self, natural: NaturalSet, real: Frames) -> Draft:
        """Real frames' coefficients."""
        return _Coefficients(natural, natural.coefficients(real[: self.candidates]))


@dataclass(frozen=True, slots=True)
class _Coefficients:
    natural: NaturalSet
    numbers: Float[Tensor, "candidates directions"]

    def frames(self, numbers: Float[Tensor, "candidates directions"]) -> Frames:
        return self.natural.frames(numbers)

    def held(
        self, numbers: Float[Tensor, "candidates directions"], share: float
    ) -> Float[Tensor, "candidates directions"]:
        lengths: Tensor = numbers.norm(dim=1, keepdim=True)
        return numbers * (share * self.natural.bound / lengths.clamp_min(1e-9)).clamp_max(1)

    def chosen(self, which: Int64[Tensor, " chosen"]) -> "_Coefficients":
        return _Coefficients(self.natural, self.numbers[which])
