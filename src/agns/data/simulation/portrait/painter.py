"""The whole portrait: surroundings, body and head composed, and seen through a camera."""

import math

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFilter

from agns.data.simulation.portrait.brush import (
    MARGIN,
    SIDE,
    XS,
    YS,
    Colour,
    Layer,
    around,
    curve,
    ellipse,
    mask,
    moved,
    paint,
    rgb,
    soften,
    tint,
)
from agns.data.simulation.portrait.features import (
    paint_beard,
    paint_brows,
    paint_eyes,
    paint_lips,
    paint_mouth,
    paint_nostrils,
)
from agns.data.simulation.portrait.hair import (
    hair_cover,
    paint_hair,
    paint_hair_behind,
    shave,
)
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import TURN_CENTRE, Moment, Pose, moment, pose, seen
from agns.data.simulation.portrait.skin import complexion, hair_shadow, lighting
from agns.types import CANVAS

_COARSE = 32


def background(rng: np.random.Generator) -> Layer:
    """Walls, windows and lamps out of focus."""
    base = rng.uniform(20, 235) * rng.uniform(0.75, 1.15, 3)
    picture = PilImage.new("RGB", (_COARSE, _COARSE), _bytes(base))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 12))):
        x, y = rng.uniform(-6, _COARSE, 2)
        w, h = rng.uniform(2, 16, 2)
        colour = _bytes(base + rng.normal(0, 45) + rng.normal(0, 30, 3))
        if rng.random() < 0.6:
            draw.rectangle((x, y, x + w, y + h), fill=colour)
        else:
            draw.ellipse((x, y, x + w, y + w), fill=colour)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.6, 3))))
    slope = rng.uniform(-0.25, 0.25, 2)
    across = np.linspace(-0.5, 0.5, _COARSE)
    fall = (1 + slope[0] * across[:, None] + slope[1] * across[None])[..., None]
    faded = np.clip(np.asarray(picture) * fall, 0, 255).astype(np.uint8)
    grown = PilImage.fromarray(faded).resize((SIDE, SIDE), PilImage.Resampling.BILINEAR)
    layer = np.empty((3, SIDE, SIDE), np.float32)
    np.multiply(np.asarray(grown).transpose(2, 0, 1), np.float32(1 / 255), out=layer)
    return layer


def _bytes(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(colour, 0, 255))
    return red, green, blue


def paint_body(
    layer: Layer, person: Person, moment: Moment, laid: Pose, rng: np.random.Generator
) -> None:
    """Paint neck, shoulders and clothes below the jaw."""
    chin = laid.points[8]
    half = person.half_width * (0.74 if person.masculine else 0.64)
    light = moment.key_colour * moment.key + moment.ambient * (1 - moment.key)
    neck = curve(
        np.array(
            [(-half, 130), (-half, 185), (-half - 6, 214), (-half - 60, 246),
             (half + 60, 246), (half + 6, 214), (half, 185), (half, 130)], float
        )
    )  # fmt: skip
    window = (slice(MARGIN + 120, SIDE), slice(0, SIDE))
    ys = YS[window[0]]
    side = XS[None] * np.float32(moment.light[0] / 110)
    under = np.clip((ys[:, None] - 150) / 90, 0, 1)
    glow = (0.40 + 0.34 * under + 0.25 * side).astype(np.float32)
    skin = (person.skin * light).astype(np.float32)[:, None, None] * glow
    skin *= np.array([1.05, 0.97, 0.94], np.float32)[:, None, None]
    paint(layer, mask([neck], window), skin, window)

    colour = rgb(*np.clip(rng.uniform(15, 235) * rng.uniform(0.55, 1.3, 3), 8, 245))
    collar = rng.uniform(190, 216)
    open_ = rng.uniform(0.15, 0.85)
    dip = max(float(chin[1]) + 4, 214) + 40 * open_
    edge = np.array(
        [(-150, 245), (-150, collar + 22), (-half - 30, collar + 9), (-half - 3, collar),
         (-half * 0.6, (collar + dip) / 2), (0, dip), (half * 0.6, (collar + dip) / 2),
         (half + 3, collar), (half + 30, collar + 9), (150, collar + 22), (150, 245)], float
    )  # fmt: skip
    cloth = mask([edge], window)
    folds = 1 + 0.10 * np.sin(XS * rng.uniform(0.08, 0.3) + rng.uniform(0, 6))
    texture = (folds[None] * (0.78 + 0.35 * side)).astype(np.float32)
    if rng.random() < 0.35:
        width = rng.uniform(5, 13)
        stripes = np.sin((ys[:, None] + 0.15 * np.abs(XS[None])) * 2 * np.pi / width) > 0.2
        texture = texture * (1 - 0.3 * stripes)
    dyed = (colour * light).astype(np.float32)[:, None, None] * texture.astype(np.float32)
    paint(layer, cloth, dyed, window)
    hem = mask([], window, strokes=[(moved(edge[2:9], 0, 2.5), 2.0)], blur=0.8, strength=0.35)
    tint(layer, hem, rgb(120, 120, 120), window)


def paint_ears(layer: Layer, person: Person, moment: Moment, laid: Pose) -> None:
    """Paint the ears behind the head's outline."""
    light = moment.key_colour * moment.key + moment.ambient * (1 - moment.key)
    for side, root in ((-1, laid.points[0]), (1, laid.points[16])):
        size = person.ears
        at = (float(root[0]) + side * (1.5 + 2.5 * size), float(root[1]) + 6)
        shell = ellipse(at, (8 * size + 2, 24 * size), turn=side * 0.16)
        window = around(shell, pad=4)
        bright = 0.78 + 0.30 * side * moment.light[0] - 0.12 * moment.key
        colour = person.skin * light * bright * np.array([1.04, 0.93, 0.90])
        paint(layer, mask([shell], window, scale=3), colour.astype(np.float32), window)
        hollow = ellipse((at[0] - side * 1.5, at[1] + 1), (5.5 * size, 15 * size), turn=side * 0.16)
        tint(layer, mask([hollow], window, blur=2.0), rgb(170, 136, 128), window)


def paint_portrait(
    person: Person, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "224 224 3"], Float[np.ndarray, "68 2"]]:
    """Photograph somebody.

    Args:
        person: Who sits for the portrait.
        rng: Decides everything that changes from photo to photo.

    Returns:
        RGB bytes in the canonical pose, and the 68 landmarks as (x, y) in pixels.
    """
    now = moment(rng)
    laid = pose(person, now)
    layer = background(rng)
    paint_hair_behind(layer, person, now, laid)
    paint_body(layer, person, now, laid, rng)
    paint_ears(layer, person, now, laid)
    _paint_head(layer, person, now, laid)
    return _photograph(layer, now, rng), seen(laid.points, now)


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
    layer: Layer, now: Moment, rng: np.random.Generator
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
    grain = rng.standard_normal((CANVAS, CANVAS), np.float32)
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
