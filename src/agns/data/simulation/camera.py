"""A simulated camera: an aligned face, worn frame and all, as a photo taken of it might show it.

Convention:
    The face with its frame is a plane before a pinhole camera: turned by yaw, pitch and roll
    about the canvas' middle, then photographed at the canvas' scale. So every photo has an exact
    homography from the frame's canvas, which finding marks can be held against. A face is no
    plane: what turning hides and reveals of it is not simulated.

    Light is in lux. At `FULL_LIGHT` a photo is exposed as the face was; below, the camera's gain
    makes up for most of what is lacking and raises the noise, above it the photo grows brighter.
"""

import io
import math
from dataclasses import dataclass, fields
from typing import Annotated, TypeAlias

import numpy as np
import torch
from jaxtyping import Float64
from PIL import Image as PilImage
from torch import Tensor
from torch.nn import functional

from agns.data.alignment import POSES, align
from agns.errors import ConfigError
from agns.geometry import transform_points, warp
from agns.images import check_images, from_pixels, to_picture
from agns.settings import Range, check_settings
from agns.types import CANVAS, Faces, Homographies, Image, Images

FULL_LIGHT = 400.0
"""Lux at which a photo is exposed as the face was: an office."""

LIGHT_RANGE = (110.0, 850.0)
"""Lux between which the papers' experiment varied (Sharif et al. 2019, section 5.2)."""

_DISTANCE = 900.0
"""From the camera to the face in canvas pixels: about 60 cm, with 15 pixels to the centimetre."""

_READ_NOISE, _SHOT_NOISE = 0.006, 0.016
"""Standard deviations of a sensor's noise at full light, in [0, 1]: in the dark, and at white."""


Turn: TypeAlias = Annotated[float, Range("[-45, 45]")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How a photo is taken."""

    yaw: Turn = 0.0
    """Turn of the head to the picture's right, in degrees."""

    pitch: Turn = 0.0
    """Turn downwards, in degrees."""

    roll: Turn = 0.0
    """Turn clockwise in the picture, in degrees."""

    light: Annotated[float, Range("[10, 10000]")] = FULL_LIGHT
    """On the face, in lux."""

    blur: Annotated[float, Range("[0, 10]")] = 0.0
    """Standard deviation of the lens' blur in pixels."""

    cast: Annotated[float, Range("[-0.5, 0.5]")] = 0.0
    """Warmth of the light: red is raised and blue lowered by this share."""

    quality: Annotated[float, Range("[1, 100]")] = 95.0
    """JPEG's; rounded."""

    def __post_init__(self) -> None:
        check_settings(self)


AXES: dict[str, tuple[float, ...]] = {
    "yaw": (-30, -20, -10, 0, 10, 20, 30),
    "pitch": (-20, -10, 0, 10, 20),
    "roll": (-20, -10, 0, 10, 20),
    "light": (110, 200, 300, 400, 600, 850),
    "blur": (0, 0.5, 1, 1.5, 2, 3),
    "cast": (-0.2, -0.1, 0, 0.1, 0.2),
    "quality": (30, 50, 70, 85, 95),
}
"""What each field of a scene may be varied over, the others left as they are."""


def draw_scene(rng: torch.Generator, *, strength: float = 1.0) -> Scene:
    """Draw a scene as a casual photo might have it; `strength` scales departures from plain ones.

    Raises:
        ConfigError: The strength lies outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength must lie in [0, 1], got {strength}")
    yaw, pitch, roll, light, blur, cast, quality = (
        2 * torch.rand(len(fields(Scene)), generator=rng, dtype=torch.float64) - 1
    ).tolist()
    ratio = LIGHT_RANGE[1 if light > 0 else 0] / FULL_LIGHT
    return Scene(
        yaw=15 * yaw * strength,
        pitch=8 * pitch * strength,
        roll=8 * roll * strength,
        light=FULL_LIGHT * ratio ** (abs(light) * strength),
        blur=0.8 * abs(blur) * strength,
        cast=0.1 * cast * strength,
        quality=95 - 25 * abs(quality) * strength,
    )


def scene_homography(scene: Scene) -> Homographies:
    """The map from the canvas before the camera to the photo: (3, 3).

    The plane's points, at the canvas' scale about its middle, are turned in space (roll, then
    pitch, then yaw) and projected from `_DISTANCE`, which is the focal length too.
    """

    def turned(degrees: float, axis: int) -> Float64[Tensor, "3 3"]:
        """By so many degrees about an axis, from the one after it towards the next."""
        angle, (one, other) = math.radians(degrees), ((axis + 1) % 3, (axis + 2) % 3)
        matrix = torch.eye(3, dtype=torch.float64)
        matrix[one, one] = matrix[other, other] = math.cos(angle)
        matrix[one, other], matrix[other, one] = -math.sin(angle), math.sin(angle)
        return matrix

    turn = turned(-scene.yaw, 1) @ turned(scene.pitch, 0) @ turned(scene.roll, 2)
    middle = (CANVAS - 1) / 2
    before = torch.tensor([[1, 0, -middle], [0, 1, -middle], [0, 0, 1]], dtype=torch.float64)
    # A point (x, y, 0) of the plane goes to f * (X, Y) / (Z + f).
    projection = torch.stack([turn[0], turn[1], turn[2] / _DISTANCE])
    projection[:, 2] = torch.tensor([0, 0, 1], dtype=torch.float64)
    matrix = torch.linalg.inv(before) @ projection @ before
    scaled: Homographies = matrix / matrix[2, 2]
    return scaled.float()


def photograph(worn: Images, scene: Scene, *, rng: torch.Generator) -> Images:
    """Photograph faces, with what they wear; `rng` is the source of the sensor's noise.

    Returns:
        As many photos of the canvas' size, in [0, 1], with JPEG's losses.

    Raises:
        ImageContractError: These are no canonical faces.
    """
    check_images(worn, size=(CANVAS, CANVAS))
    # What lies around the canvas is not known: its border goes on.
    margin = CANVAS // 2
    wide = functional.pad(worn, (margin,) * 4, mode="replicate")
    shift = torch.tensor([[1.0, 0, -margin], [0, 1, -margin], [0, 0, 1]])
    seen = warp(wide, scene_homography(scene) @ shift, (CANVAS, CANVAS), mode="bicubic")
    lit = _light(_blurred(seen.clamp(0, 1), scene.blur), scene, rng)
    return torch.stack([_jpeg(photo, round(scene.quality)) for photo in lit])


def align_photos(photos: Faces, scene: Scene) -> Faces:
    """Align photos of a scene by the canonical landmarks, which it moved.

    So a landmarker without error would align them.
    """
    landmarks = transform_points(POSES["canonical"].points, scene_homography(scene))
    return torch.stack([align(photo, landmarks) for photo in photos])


def _blurred(photos: Faces, sigma: float) -> Faces:
    if sigma == 0:
        return photos
    reach = math.ceil(3 * sigma)
    offsets = torch.arange(-reach, reach + 1, dtype=photos.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = functional.pad(photos, (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel, groups=3)
    return functional.conv2d(across, kernel.mT, groups=3)


def _light(photos: Faces, scene: Scene, rng: torch.Generator) -> Faces:
    """Exposure, colour and noise."""
    ratio = scene.light / FULL_LIGHT
    # The camera's gain evens out most of the light; the noise grows by what it amplifies.
    exposure, gain = ratio**0.35, ratio**-0.65
    tint = photos.new_tensor([1 + scene.cast, 1, 1 - scene.cast])[:, None, None]
    exposed = photos * tint * exposure
    noise = torch.randn(photos.shape, generator=rng)
    spread = (_READ_NOISE**2 * gain**2 + _SHOT_NOISE**2 * gain * exposed).sqrt()
    noisy: Faces = exposed + spread * noise
    return noisy.clamp(0, 1)


def _jpeg(photo: Image, quality: int) -> Image:
    packed = io.BytesIO()
    to_picture(photo).save(packed, format="JPEG", quality=quality)
    with PilImage.open(packed) as picture:
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
    return from_pixels(pixels[None])[0]
