"""Files to [0, 1] tensors and back: the only home of uint8 pictures."""

import io
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image as PilImage

from agns.decoding import read_pixels
from agns.errors import ConfigError, ImageContractError
from agns.types import Image, Images, Pixels
from agns.writing import replacing

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""File endings, in lower case, of pictures that are written; `agns.file_kinds` has those read."""


def check_images(images: torch.Tensor, *, size: tuple[int, int] | None = None) -> None:
    """Hold a batch against the image contract: float32 RGB, (batch, 3, height, width), in [0, 1].

    Raises:
        ImageContractError: The dtype, layout, channel count, range or `size`, if any, is another.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ImageContractError(
            f"expected images shaped (batch, 3, height, width), got {tuple(images.shape)}"
        )
    if images.dtype != torch.float32:
        raise ImageContractError(f"expected float32 images, got {images.dtype}")
    if size is not None and tuple(images.shape[2:]) != size:
        raise ImageContractError(
            f"expected images of {size[0]}x{size[1]} pixels, "
            f"got {images.shape[2]}x{images.shape[3]}"
        )
    if images.numel() == 0:
        return
    low, high = (float(bound) for bound in torch.aminmax(images.detach()))
    # Written so that NaN fails too; warping and resizing may overshoot by a rounding error.
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageContractError(f"expected values in [0, 1], got [{low:.4g}, {high:.4g}]")


def read_image(path: Path, *, size: tuple[int, int] | None = None) -> Image:
    """Read one picture, of any `size` (height, width) if none is asked for.

    Raises:
        ConfigError: There is no such file.
        UnreadableImage: The file does not decode.
        ImageContractError: The picture has another size than asked for.
    """

    def check(height: int, width: int) -> None:
        if size is not None and (height, width) != size:
            raise ImageContractError(
                f"expected {path} to be {size[0]}x{size[1]} pixels, got {height}x{width}"
            )

    pixels = read_pixels(path, check).transpose(2, 0, 1).copy()
    return torch.from_numpy(pixels).to(torch.float32).div_(255)


def from_pixels(pixels: Pixels) -> Images:
    """Bytes to float32 in [0, 1]."""
    return pixels.to(torch.float32) / 255


def to_pixels(images: Images) -> Pixels:
    """Float32 in [0, 1] to the nearest bytes; what lies outside is clipped."""
    return (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def to_picture(image: Image) -> PilImage.Image:
    """One [0, 1] tensor as a Pillow picture."""
    return PilImage.fromarray(to_pixels(image[None])[0].permute(1, 2, 0).contiguous().numpy())


def check_picture_name(path: Path) -> None:
    """Complain early of a picture that cannot be written.

    Raises:
        ConfigError: The name ends otherwise than `IMAGE_SUFFIXES`.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ConfigError(f"a picture's name ends in {', '.join(IMAGE_SUFFIXES)}, got {path}")


def write_image(path: Path, image: Image, *, quick: bool = False) -> None:
    """Write one [0, 1] tensor as a PNG or JPEG file (by its ending), atomically.

    With `quick`, PNGs are packed less, in a quarter of the time; they are a little larger.

    Raises:
        ConfigError: As `check_picture_name`.
    """
    check_picture_name(path)
    packed = io.BytesIO()
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    to_picture(image).save(packed, format=kind, compress_level=1 if quick else 6)
    with replacing(path) as temporary:
        # Pillow itself says nothing of a JPEG that a full disk cuts short.
        temporary.write_bytes(packed.getbuffer())


def tile(
    images: Images, *, columns: int, gap: int = 2, background: float = 1.0
) -> Float[torch.Tensor, "3 sheet_height sheet_width"]:
    """Lay a batch out row by row as one picture, `gap` pixels of grey between and around them."""
    count, _, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = images.new_full(
        (3, gap + rows * (height + gap), gap + columns * (width + gap)), background
    )
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet
