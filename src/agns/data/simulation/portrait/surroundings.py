"""What is around the face: background, neck and clothes, ears."""

import numpy as np
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
    tint,
)
from agns.data.simulation.portrait.moment import Moment
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import Pose

_COARSE = 32


def background(generator: np.random.Generator) -> Layer:
    """Walls, windows and lamps out of focus."""
    base = generator.uniform(20, 235) * generator.uniform(0.75, 1.15, 3)
    picture = PilImage.new("RGB", (_COARSE, _COARSE), _bytes(base))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(generator.integers(0, 12))):
        x, y = generator.uniform(-6, _COARSE, 2)
        w, h = generator.uniform(2, 16, 2)
        colour = _bytes(base + generator.normal(0, 45) + generator.normal(0, 30, 3))
        if generator.random() < 0.6:
            draw.rectangle((x, y, x + w, y + h), fill=colour)
        else:
            draw.ellipse((x, y, x + w, y + w), fill=colour)
    picture = picture.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.6, 3))))
    slope = generator.uniform(-0.25, 0.25, 2)
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
    layer: Layer, person: Person, moment: Moment, laid: Pose, generator: np.random.Generator
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

    colour = rgb(*np.clip(generator.uniform(15, 235) * generator.uniform(0.55, 1.3, 3), 8, 245))
    collar = generator.uniform(190, 216)
    open_ = generator.uniform(0.15, 0.85)
    dip = max(float(chin[1]) + 4, 214) + 40 * open_
    edge = np.array(
        [(-150, 245), (-150, collar + 22), (-half - 30, collar + 9), (-half - 3, collar),
         (-half * 0.6, (collar + dip) / 2), (0, dip), (half * 0.6, (collar + dip) / 2),
         (half + 3, collar), (half + 30, collar + 9), (150, collar + 22), (150, 245)], float
    )  # fmt: skip
    cloth = mask([edge], window)
    folds = 1 + 0.10 * np.sin(XS * generator.uniform(0.08, 0.3) + generator.uniform(0, 6))
    texture = (folds[None] * (0.78 + 0.35 * side)).astype(np.float32)
    if generator.random() < 0.35:
        width = generator.uniform(5, 13)
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
