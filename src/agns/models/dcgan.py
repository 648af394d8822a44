"""The eyeglass generator and discriminator (Sharif et al. 2019, section 4.1)."""

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from agns.accessory.frame import frame_mask
from agns.models.card import CardWords
from agns.models.folding import through
from agns.models.halving import FromPicture, SameFromPicture, SameToPicture, ToPicture
from agns.models.initialization import draw_gan_weights
from agns.models.layers import Convention, SameConv2d, SameConvTranspose2d, norm_epsilon
from agns.models.layout import device_of
from agns.models.sharing import Shareable
from agns.types import Frames, Latents

LATENT = 25
"""Length of a latent; its entries are uniform on [-1, 1]."""


def sample_latents(count: int, *, rng: torch.Generator) -> Latents:
    """Draw latents from U[-1, 1]^25 with a CPU generator."""
    return 2 * torch.rand(count, LATENT, generator=rng) - 1


class EyeglassNetwork(Shareable, tags=["eyeglasses"]):
    """What generator and discriminator share: their contract and their files."""

    convention: Convention
    """Form of the convolutions' padding and of the batch norms."""

    def specification(self) -> dict[str, object]:
        """Latents, frames and convention, as JSON values."""
        return {
            "latent": {"length": LATENT, "distribution": "U[-1, 1]"},
            "frames": {"size": [64, 176], "range": [0, 1], "colour": "RGB", "layout": "NCHW"},
            "convention": self.convention,
        }


def _convention(content: Mapping[str, object]) -> Convention:
    # Files of before this choice hold networks of the paper's form.
    return "tensorflow" if content.get("convention") == "tensorflow" else "torch"


class Generator(EyeglassNetwork, pipeline_tag="unconditional-image-generation"):
    """Latents to 64x176 eyeglass frames: a fully connected layer, four transposed convolutions.

    Args:
        convention: "torch" is the paper's; "tensorflow" is the Keras port, whose transposed
            convolutions draw a pixel further down and right, with epsilon 1e-3 in the batch norms.
    """

    kind = words = "generator"

    def __init__(self, *, convention: Convention = "torch") -> None:
        super().__init__()
        self.convention = convention
        norm = nn.BatchNorm1d(7040, eps=norm_epsilon(convention))
        self.project = nn.Sequential(nn.Linear(LATENT, 7040), norm, nn.ReLU(inplace=True))
        self.draw = nn.Sequential(
            *_doubling(160, 80, convention),
            *_doubling(80, 40, convention),
            *_doubling(40, 20, convention),
            _transposed(20, 3, convention),
            nn.Tanh(),
        )

    @classmethod
    def build(cls, content: Mapping[str, object], tensors: Mapping[str, Tensor]) -> "Generator":
        """Make the generator that a file describes, still to be filled."""
        return cls(convention=_convention(content))

    def _described(self) -> Iterator[tuple[str, str]]:
        yield "network", "eyeglass generator"
        yield "takes", f"latents of {LATENT} numbers in [-1, 1]"
        yield "gives", "64x176 RGB frames in [0, 1]"

    def card(self) -> CardWords:
        """What a card says of the network."""
        return {
            "title": "Eyeglass generator",
            "what": "Draws 64x176 eyeglass frames from latents.",
            "use": "frames = generator(latents)  "
            "# (batch, 25) in [-1, 1] to (batch, 3, 64, 176) in [0, 1]",
            "limits": "It is where an attack on a recogniser begins.",
        }

    def forward(self, latents: Latents) -> Frames:
        """Draw frames in [0, 1], black off the silhouette; tanh's [-1, 1] stays inside.

        What lies off the silhouette is never worn. Left to the networks, it is the one thing
        they play for: real frames are exactly black there, which no tanh reaches.
        """
        return self._drawn(self._grid(latents), latents)

    def draw_across(self, latents: Float[Tensor, "frames rows columns latent"]) -> Frames:
        """Draw frames that change from side to side, and from top to bottom.

        Args:
            latents: For each frame, a grid of them, evenly spaced from edge to edge; what lies
                between is drawn from what lies between them.
        """
        cells = functional.interpolate(
            latents.movedim(3, 1), size=(4, 11), mode="bilinear", align_corners=True
        )  # (frames, latent, 4, 11)
        grids = self._grid(cells.movedim(1, 3).flatten(0, 2)).unflatten(0, (-1, 4, 11))
        # Each cell of its own latent's grid: (frames, 160, 4, 11)
        own = grids.diagonal(dim1=1, dim2=4).diagonal(dim1=1, dim2=3)
        return self._drawn(own, latents)

    def _grid(self, latents: Latents) -> Float[Tensor, "batch 160 4 11"]:
        return through(self.project, latents.to(device_of(self))).reshape(-1, 160, 4, 11)

    def _drawn(self, grid: Float[Tensor, "batch 160 4 11"], latents: Tensor) -> Frames:
        # 8x22, 16x44, 32x88, 64x176; in the latents' precision also under autocast
        drawn = through(self.draw, grid).to(latents)
        return (drawn + 1) / 2 * frame_mask().to(drawn)


def _transposed(channels: int, out: int, convention: Convention) -> nn.ConvTranspose2d:
    if convention == "tensorflow":
        return (SameToPicture if out == 3 else SameConvTranspose2d)(channels, out)
    layer = ToPicture if out == 3 else nn.ConvTranspose2d
    return layer(channels, out, 5, 2, padding=2, output_padding=1)


def _doubling(channels: int, out: int, convention: Convention) -> tuple[nn.Module, ...]:
    return (
        _transposed(channels, out, convention),
        nn.BatchNorm2d(out, eps=norm_epsilon(convention)),
        nn.ReLU(inplace=True),
    )


class MinibatchDiscrimination(nn.Module):
    """How near each sample lies to the others of its batch (Salimans et al. 2016, section 3.2).

    Args:
        features: Length of a sample's features.
        kernels: Distances computed for each pair.
        dimension: Length of each kernel.
    """

    def __init__(self, features: int, kernels: int, dimension: int) -> None:
        super().__init__()
        self.kernels, self.dimension = kernels, dimension
        self.project = nn.Linear(features, kernels * dimension)

    def forward(
        self, x: Float[Tensor, "batch features"]
    ) -> Float[Tensor, "batch features_and_kernels"]:
        """Append, for each kernel, the sum over other samples of exp(-L1 distance)."""
        # A sample's distance to itself is 0, and its exponential 1.
        points = self.project(x)
        return torch.cat([x, self._sums(points, points) - 1], 1)

    def closeness(
        self, x: Float[Tensor, "batch features"], others: Float[Tensor, "others features"]
    ) -> Float[Tensor, "batch kernels"]:
        """For each kernel, the sum over `others` of exp(-L1 distance)."""
        return self._sums(self.project(x), self.project(others))

    def _sums(
        self, points: Float[Tensor, "batch projected"], others: Float[Tensor, "others projected"]
    ) -> Float[Tensor, "batch kernels"]:
        own = points.reshape(-1, 1, self.kernels, self.dimension)
        against = others.reshape(1, -1, self.kernels, self.dimension)
        # torch.cdist's L1 is slow to differentiate; a batch is small.
        distances = (own - against).abs().sum(3)  # (batch, others, kernels)
        return torch.exp(-distances).sum(1)


class Discriminator(EyeglassNetwork, pipeline_tag="image-classification"):
    """64x176 frames to one logit each: positive for what looks like real eyeglasses.

    Args:
        convention: "torch" is the paper's; "tensorflow" is the Keras port, whose convolutions pad
            the odd pixel after, with epsilon 1e-3 in the batch norms and a slope of 0.3.
        last_slope: Share of what is negative that the last convolution's activation lets through,
            in place of the convention's; the MATLAB original's lets nothing.
    """

    kind = words = "discriminator"

    def __init__(
        self, *, convention: Convention = "torch", last_slope: float | None = None
    ) -> None:
        super().__init__()
        self.convention = convention
        first, _, leak = _halving(3, 20, convention)
        *last, usual = _halving(80, 160, convention)
        self.last_slope = usual.negative_slope if last_slope is None else last_slope
        self.see = nn.Sequential(
            first,
            leak,
            *_halving(20, 40, convention),
            *_halving(40, 80, convention),
            *last,
            nn.LeakyReLU(self.last_slope, inplace=True),
        )
        self.compare = MinibatchDiscrimination(7040, 160, 3)
        self.judge = nn.Linear(7040 + 160, 1)

    def specification(self) -> dict[str, object]:
        """Latents, frames, convention and the last slope, as JSON values."""
        return {**super().specification(), "last_slope": self.last_slope}

    @classmethod
    def build(cls, content: Mapping[str, object], tensors: Mapping[str, Tensor]) -> "Discriminator":
        """Make the discriminator that a file describes, still to be filled."""
        slope = cast("str | float | None", content.get("last_slope"))
        last_slope = None if slope is None else float(slope)
        return cls(convention=_convention(content), last_slope=last_slope)

    def _described(self) -> Iterator[tuple[str, str]]:
        yield "network", "eyeglass discriminator"
        yield "takes", "64x176 RGB frames in [0, 1]"
        yield "gives", "a logit each, positive for what looks real"

    def card(self) -> CardWords:
        """What a card says of the network."""
        return {
            "title": "Eyeglass discriminator",
            "what": "Tells real 64x176 eyeglass frames from generated ones.",
            "use": "logits = discriminator(frames)  # (batch, 3, 64, 176) in [0, 1] to (batch,)",
            "limits": "It keeps an attack's eyeglasses looking real.",
        }

    def forward(self, frames: Frames) -> Float[Tensor, " frames"]:
        """Judge frames in [0, 1] against their own batch."""
        verdicts: Tensor = self.judge(self.compare(self._features(frames)))
        return verdicts.squeeze(1).to(frames.device)

    def judge_among(
        self, frames: Frames, companions: Float[Tensor, "companions 3 64 176"]
    ) -> Float[Tensor, " frames"]:
        """Judge each frame alone among companions, whatever else is judged at the same time.

        In evaluation mode this equals running each frame in one batch with the companions.

        Args:
            frames: In [0, 1].
            companions: As many as a training batch holds besides one, in [0, 1].
        """
        features, others = self._features(frames), self._features(companions)
        closeness = self.compare.closeness(features, others)
        verdicts: Tensor = self.judge(torch.cat([features, closeness], 1))
        return verdicts.squeeze(1).to(frames.device)

    def _features(self, frames: Frames) -> Float[Tensor, "frames 7040"]:
        return through(self.see, 2 * frames.to(device_of(self)) - 1).flatten(1)


def _halving(
    channels: int, out: int, convention: Convention
) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]:
    port = convention == "tensorflow"
    if port:
        layer: nn.Conv2d = (SameFromPicture if channels == 3 else SameConv2d)(channels, out, 5, 2)
    else:
        layer = (FromPicture if channels == 3 else nn.Conv2d)(channels, out, 5, 2, 2)
    return (
        layer,
        nn.BatchNorm2d(out, eps=norm_epsilon(convention)),
        nn.LeakyReLU(0.3 if port else 0.2, inplace=True),
    )


def build_gan(*, rng: torch.Generator) -> tuple[Generator, Discriminator]:
    """Both networks, their weights drawn from `rng` by `draw_gan_weights`."""
    return (
        draw_gan_weights(Generator(), rng=rng),
        draw_gan_weights(Discriminator(), rng=rng),
    )
