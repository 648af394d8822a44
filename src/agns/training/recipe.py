"""How recognisers are trained: the settings, and what each architecture gets by default."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from agns.errors import ConfigError
from agns.settings import Batch, Count, Part, Range, Rate, Seed, Share, Weight, check_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerTraining:
    """How a recogniser is trained."""

    arch: str = "of10"
    """Architecture, as `agns models` names it; `of` and `vgg` take any number of identities."""

    epochs: Count = 40
    """Passes over the training photos, at most."""

    batch: Batch = 64
    """Photos in a step, over all processes."""

    rate: Rate = 2e-3
    """Largest learning rate of AdamW."""

    weight_decay: Weight = 0.02
    """AdamW's weight decay."""

    warm_up: Share = 0.1
    """Share of the steps in which the rate rises from 0; it then falls along a cosine. Faces that
    grow begin anew."""

    balance: Share = 0.5
    """Balanced class weights, as the odds with which photos are drawn: 0 draws photos evenly,
    1 draws identities evenly, in between is in between."""

    glasses_share: Share = 0.5
    """Part of each batch that wears benign eyeglasses."""

    frames_per_photo: Annotated[int, Range("[1, 10000]")] = 10
    """Different frames that a photo may wear (Sharif et al. 2019, section 5.1)."""

    erased_share: Share = 0.0
    """Part of the photos that lose a random rectangle. A defence: a recogniser that is used to it
    is much harder to fool with eyeglasses."""

    averaging: Share = 0.99
    """Decay per step of the moving average of the weights, which is what is kept."""

    sizes: tuple[int, ...] = ()
    """Face sizes in pixels that the network sees one after the other, each for an equal part of
    the epochs; 0 for its own all along. Small faces first is quicker. A VGG that begins from
    nothing grows with them: 56, 112, 224."""

    slowing: Annotated[float, Range("(0, 1]")] = 0.5
    """What the largest rate is multiplied by each time that faces grow; it then rises and falls
    anew."""

    norms: bool = False
    """Put a batch norm after each of VGG's layers but the head while it learns; they are folded
    into the layers of the weights that are kept."""

    frozen: bool = False
    """Train the head alone, on descriptors that the backbone computes once."""

    teaching: Share = 0.7
    """Where there is a teacher, the part of the loss that asks for its soft probabilities
    (`agns.training.teacher`); the other part asks for the right identity."""

    temperature: Annotated[float, Range("(0, 100]")] = 4.0
    """What both logits are divided by there."""

    held_fraction: Part = 0.2
    """Part of each identity's photos kept for testing."""

    validation_fraction: Annotated[float, Range("[0, 1)")] = 0.1
    """Part of each identity's other photos that is not trained on but chooses the weights to
    keep, and when to stop; 0 keeps the last."""

    patience: Count = 15
    """Epochs without a better validation loss after which training stops."""

    seed: Seed = 0
    """Seed of the split, the weights and every draw."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.sizes == (0,):
            object.__setattr__(self, "sizes", ())
        if self.norms and not self.arch.startswith("vgg"):
            raise ConfigError(f"norms are for VGG: {self.arch} has batch norms of its own")
        # OpenFace halves a picture five times, and its last pooling needs windows of 3x3.
        least = 65 if self.arch.startswith("of") else 32
        if any(size < least for size in self.sizes):
            raise ConfigError(
                f"sizes of {self.arch} must be at least {least} pixels, got {self.sizes}"
            )

    def size_in(self, epoch: int) -> int | None:
        """The height and width in pixels of an epoch, counted from 0; None is the network's own."""
        if not self.sizes:
            return None
        # Counted from the end, so that the last size is reached however few epochs there are.
        left = self.epochs - 1 - epoch
        return self.sizes[-1 - left * len(self.sizes) // self.epochs]

    @property
    def resized_at(self) -> tuple[int, ...]:
        """The epochs with which faces have a new size, the first included."""
        sizes = [self.size_in(epoch) for epoch in range(self.epochs)]
        return (0, *(at for at in range(1, self.epochs) if sizes[at] != sizes[at - 1]))


_VGG = RecognizerTraining(
    arch="vgg",
    frames_per_photo=2,
    batch=32,
    rate=5e-4,
    epochs=15,
    sizes=(*[56] * 14, 224),
    norms=True,
)
RECIPES: Mapping[str, RecognizerTraining] = {
    "of10": RecognizerTraining(arch="of10"),
    "of143": RecognizerTraining(arch="of143", frames_per_photo=100, erased_share=0.3),
    "of": RecognizerTraining(arch="of"),
    # Ten people have a third of the photos of 143, and so a third of the steps in an epoch:
    # it has two epochs of the finest faces.
    "vgg10": replace(_VGG, arch="vgg10", epochs=16, sizes=(*[56] * 14, 224, 224)),
    "vgg143": replace(_VGG, arch="vgg143"),
    "vgg": _VGG,
    "dlib": RecognizerTraining(arch="dlib", frames_per_photo=2),
}
"""Each architecture's defaults, with as many frames for a photo as in the papers. All but
those for any number of people have been measured (`results/recognizers.md`): OF143's from a
backbone that metric training prepared and with a teacher, VGG10's and VGG143's with a teacher."""


def recipe_for(arch: str, *, anew: bool = True, frozen: bool = False) -> RecognizerTraining:
    """An architecture's recipe.

    Args:
        arch: A key of `RECIPES`.
        anew: Whether the network learns from nothing. One that begins with a backbone that can
            see needs no small faces first, and smaller steps.
        frozen: Whether its head alone is trained.

    Raises:
        ConfigError: There is no such architecture.
    """
    if arch not in RECIPES:
        raise ConfigError(f"there is no recogniser {arch!r}: choose one of {', '.join(RECIPES)}")
    recipe = RECIPES[arch]
    if recipe.sizes and not anew:
        recipe = replace(recipe, sizes=(), rate=1e-4, epochs=6)
    if frozen:
        # An epoch of a head alone takes a second or two, and its descriptors do not overfit soon.
        recipe = replace(recipe, epochs=100, rate=5e-3, norms=False, frozen=True)
    return recipe


def photo_weights(labels: Tensor, balance: float) -> Tensor:
    """How likely each photo is drawn: between evenly by photo (0) and evenly by identity (1)."""
    counts = torch.bincount(labels).double()
    return counts[labels] ** -balance


def rate_share(step: int, total: int, warm_up: float) -> float:
    """Share of the largest learning rate in a step: a linear rise, then half a cosine to 0."""
    rise = max(1, round(warm_up * total))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give an optimiser's parameters a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
