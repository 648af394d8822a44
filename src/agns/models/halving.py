"""Stride 2 from and to pictures of three channels, by way of twelve.

Three channels are too few to be quick with: above all the gradient at a picture took several times
as long as its multiplications need. With every second pixel taken for a channel of its own, a
kernel half as large moves over twelve channels by single steps, and the sums are the same.
"""

from torch import Tensor, nn
from torch.nn import functional

from agns.models.layers import Activations, SameConv2d, SameConvTranspose2d


def halve(
    x: Activations, weight: Tensor, bias: Tensor | None, *, before: int, size: tuple[int, int]
) -> Activations:
    """A convolution at stride 2.

    Args:
        x: Its input.
        weight: Its weights, as `quarter` lays them out.
        bias: Its bias.
        before: Zeros that it puts above the input and left of it.
        size: (height, width) of what comes out.
    """
    steps, taps = (before + 1) // 2, weight.shape[2]
    edges: list[int] = []
    for own, out in zip(x.shape[:1:-1], reversed(size), strict=True):
        edges += [2 * steps, 2 * (out - 1 + taps - steps) - own]
    padded = functional.pad(x, edges)
    batch, channels, rows, columns = padded.shape
    # As `pixel_unshuffle`, which gives an empty batch another shape; and laid out channels-last,
    # which what follows is laid out like: pooling takes ten times as long otherwise.
    parts = padded.reshape(batch, channels, rows // 2, 2, columns // 2, 2)
    laid = parts.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows // 2, columns // 2, 4 * channels)
    return functional.conv2d(laid.permute(0, 3, 1, 2), weight, bias)


def quarter(weight: Tensor, before: int) -> Tensor:
    """Weights for `halve`, (out, 4 * channels, taps, taps), from (out, channels, kernel, kernel).

    Args:
        weight: Of a convolution at stride 2; differentiable in it.
        before: Zeros that it puts above the input and left of it.
    """
    out, channels, kernel = weight.shape[:3]
    # A picture's odd pixels come after the even ones: a kernel that begins on one is moved on.
    odd = before % 2
    taps = (kernel + odd + 1) // 2
    edges = (odd, 2 * taps - kernel - odd) * 2
    parts = functional.pad(weight, edges).reshape(out, channels, taps, 2, taps, 2)
    return parts.permute(0, 1, 3, 5, 2, 4).reshape(out, 4 * channels, taps, taps)


def double(x: Activations, weight: Tensor, bias: Tensor | None, *, padding: int) -> Activations:
    """A transposed 5x5 convolution at stride 2 that doubles a picture.

    Args:
        x: Its input.
        weight: Its weights, (channels, out, 5, 5); differentiable in them, too.
        bias: Its bias.
        padding: 2 as `nn.ConvTranspose2d` with an output padding of 1, or 1 as
            `SameConvTranspose2d`.
    """
    channels, out = weight.shape[:2]
    # Output 2n + p is the sum over m of input m times tap 2n + p + padding - 2m.
    odd = padding % 2
    edges = (odd, 1 - odd) * 2
    parts = functional.pad(weight, edges).reshape(channels, out, 3, 2, 3, 2)
    phases = parts.flip(2, 4).permute(1, 3, 5, 0, 2, 4).reshape(4 * out, channels, 3, 3)
    many = None if bias is None else bias.repeat_interleave(4)
    drawn = functional.conv2d(x, phases, many, padding=1)
    batch, _, rows, columns = drawn.shape
    # As `pixel_shuffle`, empty batches included.
    parts = drawn.reshape(batch, out, 2, 2, rows, columns).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, out, 2 * rows, 2 * columns)


class FromPicture(nn.Conv2d):
    """A square convolution at stride 2, as `halve` does it."""

    @classmethod
    def of(cls, layer: nn.Conv2d) -> nn.Conv2d:
        """The same as a plain convolution that takes a picture at stride 2; others as they are."""
        if type(layer) is not nn.Conv2d or layer.in_channels > 4 or layer.stride != (2, 2):
            return layer
        kernel, padding = layer.kernel_size[0], int(layer.padding[0])
        made = cls(layer.in_channels, layer.out_channels, kernel, 2, padding)
        made.weight, made.bias = layer.weight, layer.bias
        return made

    def forward(self, x: Activations) -> Activations:
        """Pad and convolve."""
        before, kernel = int(self.padding[0]), self.kernel_size[0]
        rows, columns = ((size + 2 * before - kernel) // 2 + 1 for size in x.shape[2:])
        weight = quarter(self.weight, before)
        return halve(x, weight, self.bias, before=before, size=(rows, columns))


class SameFromPicture(SameConv2d):
    """`SameConv2d` at stride 2, as `halve` does it; for pictures of even height and width."""

    def forward(self, x: Activations) -> Activations:
        """Pad and convolve."""
        before = (self.kernel_size[0] - 2) // 2
        weight = quarter(self.weight, before)
        size = (x.shape[2] // 2, x.shape[3] // 2)
        return halve(x, weight, self.bias, before=before, size=size)


class ToPicture(nn.ConvTranspose2d):
    """A transposed 5x5 convolution that doubles a picture, as `double` does it."""

    def forward(self, x: Activations, output_size: list[int] | None = None) -> Activations:
        """Double."""
        return double(x, self.weight, self.bias, padding=int(self.padding[0]))


class SameToPicture(SameConvTranspose2d):
    """`SameConvTranspose2d`, as `double` does it."""

    def forward(self, x: Activations, output_size: list[int] | None = None) -> Activations:
        """Double."""
        return double(x, self.weight, self.bias, padding=1)
