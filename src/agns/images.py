"""Files to [0, 1] tensors and back: the only home of uint8 pictures."""

import contextlib
import struct
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from agns.errors import ConfigError, ImageContractError, UnreadableImage
from agns.storage import replacing
from agns.types import Image, Images, Pixels

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""File endings, in lower case, that are taken for pictures."""

_FILTERS = threading.Lock()


def check_images(images: torch.Tensor, *, size: tuple[int, int] | None = None) -> None:
    """Hold a batch against the image contract.

    Args:
        images: What claims to be float32 RGB, (batch, 3, height, width), in [0, 1].
        size: (height, width) in pixels that the batch must have, if any.

    Raises:
        ImageContractError: The dtype, layout, channel count, size or range is another.
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


def read_pixels(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a picture, turned as its EXIF data says, as RGB bytes; transparency is dropped.

    Raises:
        ConfigError: There is no such file.
        UnreadableImage: The file does not decode as a picture.
    """
    try:
        with _opened(path) as picture:
            turned = picture
            if "exif" in picture.info:
                with _pillow_quiet():
                    turned = ImageOps.exif_transpose(picture)
            if turned.mode.startswith("I"):
                # Pillow would cut 16-bit grey off at 255 in place of scaling it.
                scaled = (np.asarray(turned) / 257).clip(0, 255).round().astype(np.uint8)
                turned = PilImage.fromarray(scaled)
            return np.asarray(turned.convert("RGB"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no picture {path}") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{path} does not decode as a picture: unknown format") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,  # this and the next come from damaged EXIF data
        struct.error,
        PilImage.DecompressionBombError,
    ) as error:
        raise UnreadableImage(f"{path} does not decode as a picture: {error}") from error


@contextlib.contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Keep Pillow from warning of damaged EXIF data, which it reads as far as it can."""
    # Filters for warnings belong to the process, and pictures are read by several threads.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _opened(path: Path) -> PilImage.Image:
    """A picture whose head has been read; its pixels have not."""
    with _pillow_quiet():
        return PilImage.open(path)


def read_image(path: Path, *, size: tuple[int, int] | None = None) -> Image:
    """Read one picture as float32 RGB in [0, 1].

    Args:
        path: A JPEG or PNG file, colour or grey.
        size: (height, width) in pixels that the picture must have, if any.

    Raises:
        ConfigError: There is no such file.
        UnreadableImage: The file does not decode.
        ImageContractError: The picture has another size than asked for.
    """
    image = from_pixels(torch.from_numpy(read_pixels(path).copy()).permute(2, 0, 1)[None])[0]
    if size is not None and tuple(image.shape[1:]) != size:
        raise ImageContractError(
            f"expected {path} to be {size[0]}x{size[1]} pixels, "
            f"got {image.shape[1]}x{image.shape[2]}"
        )
    return image.contiguous()


def from_pixels(pixels: Pixels) -> Images:
    """Bytes to float32 in [0, 1]."""
    return pixels.to(torch.float32) / 255


def to_pixels(images: Images) -> Pixels:
    """Float32 in [0, 1] to the nearest bytes; what lies outside is clipped."""
    return (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def to_picture(image: Image) -> PilImage.Image:
    """One [0, 1] tensor as a Pillow picture."""
    return PilImage.fromarray(to_pixels(image[None])[0].permute(1, 2, 0).contiguous().numpy())


def write_image(path: Path, image: Image, *, quick: bool = False) -> None:
    """Write one [0, 1] tensor as a PNG or JPEG file (by its ending), atomically.

    Args:
        path: The file.
        image: The picture.
        quick: Pack PNGs less, in a quarter of the time; they are a little larger.
    """
    with replacing(path) as temporary:
        kind = "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG"
        to_picture(image).save(temporary, format=kind, compress_level=1 if quick else 6)


def tile(
    images: Images, *, columns: int, gap: int = 2, background: float = 1.0
) -> Float[torch.Tensor, "3 sheet_height sheet_width"]:
    """Lay a batch out row by row as one picture.

    Args:
        images: Pictures of one size, in [0, 1].
        columns: Pictures in a row, at least 1.
        gap: Pixels between and around the pictures.
        background: Grey level between them, in [0, 1].

    Returns:
        The sheet, in [0, 1].
    """
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
