"""The whole portrait, composed from its parts and seen through a camera."""

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PilImage

from agns.data.simulation.portrait.beard import paint_beard
from agns.data.simulation.portrait.brush import MARGIN, SIDE, Layer, mask, paint, soften
from agns.data.simulation.portrait.eyes import paint_brows, paint_eyes
from agns.data.simulation.portrait.hair import (
    hair_cover,
    paint_hair,
    paint_hair_behind,
    shave,
)
from agns.data.simulation.portrait.moment import Moment, moment
from agns.data.simulation.portrait.mouth import paint_lips, paint_mouth, paint_nostrils
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import TURN_CENTRE, Pose, pose, seen
from agns.data.simulation.portrait.skin import complexion, hair_shadow, lighting
from agns.data.simulation.portrait.surroundings import background, paint_body, paint_ears
from agns.types import CANVAS


def paint_portrait(
    person: Person, generator: np.random.Generator
) -> tuple[UInt8[np.ndarray, "224 224 3"], Float[np.ndarray, "68 2"]]:
    """Photograph somebody.

    Args:
        person: Who sits for the portrait.
        generator: Decides everything that changes from photo to photo.

    Returns:
        RGB bytes in the canonical pose, and the 68 landmarks as (x, y) in pixels.
    """
    now = moment(generator)
    laid = pose(person, now)
    layer = background(generator)
    paint_hair_behind(layer, person, now, laid)
    paint_body(layer, person, now, laid, generator)
    paint_ears(layer, person, now, laid)
    _paint_head(layer, person, now, laid)
    return _photograph(layer, now, generator), seen(laid.points, now)


def _paint_head(layer: Layer, person: Person, now: Moment, laid: Pose) -> None:
    hair = hair_cover(person, laid)
    light, gloss = lighting(person, now, laid)
    if hair is not None:
        fallen = np.roll(soften(hair, 6), (5, round(-5 * now.light[0])), (0, 1))
        fallen[:5] = 0
        hair_shadow(light, 0.8 * fallen)
    face = complexion(person, now, laid)
    if person.hair == "bald":
        shave(face, person, laid)
    paint_lips(face, person, laid)
    face *= light
    face += gloss * now.key_colour[:, None, None]
    paint_nostrils(face, person, laid)
    paint_eyes(face, light, person, now, laid)
    paint_brows(face, light, person, laid)
    paint(layer, mask([laid.head()]), face)
    paint_beard(layer, light, person, laid)
    paint_mouth(layer, light, person, now, laid)
    if hair is not None:
        paint_hair(layer, hair, person, now, laid)


def _photograph(
    layer: Layer, now: Moment, generator: np.random.Generator
) -> UInt8[np.ndarray, "224 224 3"]:
    """Turn the camera, develop, blur and add grain."""
    # Stored below full scale, which leaves room for highlights.
    headroom = 1.3
    stored = np.empty((SIDE, SIDE, 3), np.uint8)
    for channel, plane in enumerate(layer):
        stored[..., channel] = np.clip(plane * (255 / headroom), 0, 255)
    picture = PilImage.fromarray(stored)
    cosine, sine = math.cos(now.roll) / now.scale, math.sin(now.roll) / now.scale
    # Pillow counts from the pixel's corner, and asks where each pixel comes from.
    centre_x, centre_y = TURN_CENTRE[0] + 0.5, TURN_CENTRE[1] + 0.5
    to_x, to_y = centre_x + now.shift[0], centre_y + now.shift[1]
    turned = picture.transform(
        (CANVAS, CANVAS),
        PilImage.Transform.AFFINE,
        (
            cosine, sine, centre_x + MARGIN - cosine * to_x - sine * to_y,
            -sine, cosine, centre_y + MARGIN + sine * to_x - cosine * to_y,
        ),
        PilImage.Resampling.BILINEAR,
    )  # fmt: skip
    levels = np.linspace(0, headroom, 256)[None] * now.gain[:, None]
    levels = np.maximum(0.5 + now.contrast * (levels - 0.5), 0) ** now.gamma
    # A shoulder, so that highlights fade into white.
    levels = np.where(levels > 0.75, 0.75 + 0.25 * np.tanh((levels - 0.75) / 0.25), levels)
    table = (255 * levels).astype(np.float32)
    grain = generator.standard_normal((CANVAS, CANVAS), np.float32)
    grain *= np.float32(255 * now.noise)
    developed = np.empty((CANVAS, CANVAS, 3), np.uint8)
    for channel, exposed in enumerate(np.asarray(turned).transpose(2, 0, 1)):
        plane = np.take(table[channel], exposed)
        for view in (plane, plane.T):
            exchange = np.float32(now.blur) * (view[1:] - view[:-1])
            view[:-1] += exchange
            view[1:] -= exchange
        plane += grain
        developed[..., channel] = np.clip(np.rint(plane), 0, 255)
    return developed
