"""Eyes and eyebrows."""

import numpy as np

from agns.data.simulation.portrait.brush import (
    XS,
    YS,
    Layer,
    Outline,
    Plane,
    Stroke,
    Window,
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

_LASHES = rgb(26, 18, 18)


def paint_eyes(layer: Layer, light: Layer, person: Person, moment: Moment, laid: Pose) -> None:
    """Paint both eyes over a lit face."""
    for side, corners in ((-1, [36, 37, 38, 39, 40, 41]), (1, [45, 44, 43, 42, 47, 46])):
        _paint_eye(layer, light, person, moment, laid.points[corners], side)


def _paint_eye(
    layer: Layer, light: Layer, person: Person, moment: Moment, eye: Outline, side: int
) -> None:
    """Paint one eye, its six points from the outer corner over the upper lid."""
    upper, lower = curve(eye[:4]), curve(eye[[3, 4, 5, 0]])
    window = around(np.concatenate([upper, lower]), pad=13)
    rows, columns = window
    shade = light[:, rows, columns]
    opening = mask([np.concatenate([upper, lower])], window, scale=4)
    shaded = mask([moved(np.concatenate([upper, lower]), 0, 3.2)], window, scale=2, blur=1.2)

    middle = eye.mean(0)
    radius = person.iris_radius
    at = (float(middle[0] + moment.gaze[0]), float(eye[[1, 2], 1].mean()) + radius * 0.84)
    at = (at[0], float(np.clip(at[1], middle[1] - 1.5, middle[1] + 1.2)) + moment.gaze[1])
    ball = 1 - ((XS[columns] - middle[0]) / (1.35 * person.eye_half)) ** 2
    white = rgb(238, 230, 226)[:, None, None] * (0.55 + 0.45 * np.maximum(ball, 0))
    white = white * (0.62 + 0.38 * shaded) * np.minimum(0.35 + 0.65 * shade, 1.05)
    paint(layer, opening, white, window)
    _paint_iris(layer, opening, person, moment, at, radius, window, shaded)

    duct = mask([ellipse((eye[3, 0] + side * 1.6, eye[3, 1]), (2.2, 1.5))], window, blur=0.5)
    paint(layer, 0.6 * duct * opening, person.skin * rgb(255, 190, 185), window)
    _paint_lids(layer, person, upper, lower, side, window)


def _paint_iris(
    layer: Layer,
    opening: Plane,
    person: Person,
    moment: Moment,
    at: tuple[float, float],
    radius: float,
    window: Window,
    shaded: Plane,
) -> None:
    rows, columns = window
    across = (XS[columns] - at[0])[None] / radius
    down = (YS[rows] - at[1])[:, None] / radius
    distance = np.sqrt(across * across + down * down)
    glow = 0.72 + 0.42 * distance + 0.30 * down * distance - 0.12 * moment.light[0] * across
    ring = np.clip((distance - 0.72) / 0.28, 0, 1)
    colour = person.iris[:, None, None] * (1.12 * glow * (1 - 0.72 * ring))
    colour = colour * (0.5 + 0.5 * shaded)
    disc = np.clip((1.02 - distance) * radius + 0.5, 0, 1)
    paint(layer, opening * disc, colour.astype(np.float32), window)
    pupil = np.clip((0.42 - distance) * radius + 0.5, 0, 1)
    paint(layer, opening * pupil, rgb(10, 8, 8), window)
    glint_x = at[0] + radius * (0.12 + 0.42 * moment.light[0])
    glint_y = at[1] - radius * 0.36
    glint = mask([ellipse((glint_x, glint_y), (1.5, 1.35), points=12)], window, scale=4)
    other = mask([ellipse((2 * at[0] - glint_x, at[1] + 2.6), (0.9, 0.8), points=8)], window)
    bright = (0.55 + 0.4 * moment.key) * glint + 0.22 * other
    paint(layer, np.minimum(bright, 1) * opening, rgb(255, 252, 246), window)


def _paint_lids(
    layer: Layer, person: Person, upper: Outline, lower: Outline, side: int, window: Window
) -> None:
    makeup = person.makeup
    along = np.linspace(0, 1, len(upper))
    # Thickest towards the outer corner, which comes first.
    thick = (0.9 + 1.7 * makeup) * np.sin(np.pi * (0.12 + 0.85 * (1 - along))) ** 0.6 + 0.5
    outer = moved(upper[:1], side * (1.2 + 3 * makeup), -0.6 - 1.6 * makeup)
    edge = np.concatenate([outer, upper - np.stack([0 * thick, thick], 1)])
    lashes: list[Stroke] = []
    if makeup > 0.45:
        for share in (0.02, 0.12, 0.22, 0.33, 0.45, 0.58):
            root = edge[1 + round(share * (len(upper) - 1))]
            tip = moved(root, side * (4.2 - 7 * share), -3.4 - 1.2 * share)
            lashes.append((np.stack([root, tip]), 0.7))
    line = mask([np.concatenate([edge, upper[::-1]])], window, scale=4, strokes=lashes)
    paint(layer, 0.88 * line, _LASHES, window)
    strokes = mask([], window, strokes=[(lower, 1.0)], scale=3, blur=0.5)
    tint(layer, (0.45 + 0.4 * makeup) * strokes, rgb(110, 70, 70), window)
    rim = mask([], window, strokes=[(moved(lower, 0, 1.6), 1.2)], scale=3, blur=0.6)
    tint(layer, 0.5 * rim, np.array([1.14, 1.1, 1.08], np.float32), window)

    rise = (2.2 + 2.4 * person.crease) * np.sin(np.pi * (0.1 + 0.86 * along)) ** 0.7 + 1.0
    fold = upper - np.stack([-side * 0.8 + 0 * rise, rise], 1)
    fold = np.concatenate([moved(fold[:1], side * 3, 1.6), fold[:-2]])
    crease = mask([], window, strokes=[(fold, 1.3)], scale=3, blur=0.6)
    tint(layer, (0.35 + 0.5 * person.crease) * crease, rgb(118, 80, 76), window)


def paint_brows(layer: Layer, light: Layer, person: Person, laid: Pose) -> None:
    """Paint both eyebrows: a soft body, and hairs across it."""
    colour = 0.86 * np.minimum(person.hair_colour, 0.62)
    for inner_first in (laid.points[21:16:-1], laid.points[22:27]):
        spine = curve(inner_first, steps=6)
        side = np.sign(inner_first[-1, 0] - inner_first[0, 0])
        along = np.linspace(0, 1, len(spine))
        thick = person.brow_thickness * np.interp(
            along, [0, 0.12, 0.5, 0.75, 1], [0.62, 0.95, 1, 0.72, 0.12]
        )
        offset = np.stack([0 * thick, thick / 2], 1)
        window = around(spine, pad=9)
        body = mask([np.concatenate([spine - offset, (spine + offset)[::-1]])], window, blur=0.9)
        places = person.brow_hairs[:, 0] * (len(spine) - 1.01)
        index = places.astype(int)
        roots = spine[index] + (spine[index + 1] - spine[index]) * (places - index)[:, None]
        across = (person.brow_hairs[:, 1] - 0.5) * thick[index]
        reach = 0.5 * person.brow_thickness + 1.4
        lean = 0.5 + 0.9 * along[index] + 0.3 * person.brow_hairs[:, 2]
        roots[:, 1] += across
        rise = -np.cos(lean) * np.clip(0.42 - across / 9, 0, 1)
        tips = roots + reach * np.stack([side * np.sin(lean), rise], 1)
        strands = mask([], window, hairs=np.stack([roots, tips], 1), scale=3)
        cover = np.maximum(
            body * (0.30 + 0.45 * person.brow_density), 0.8 * strands * (body > 0.03)
        )
        shade = light[:, window[0], window[1]]
        paint(layer, np.minimum(cover, 0.92), colour[:, None, None] * shade, window)
