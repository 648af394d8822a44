"""The skin: its relief under the light, and what colours it."""

import numpy as np
from jaxtyping import Float

from agns.data.simulation.portrait.brush import (
    MARGIN,
    MIDDLE,
    SIDE,
    WHOLE,
    XS,
    YS,
    Layer,
    Plane,
    Stroke,
    around,
    bell,
    curve,
    ellipse,
    mask,
    moved,
    rgb,
    spot,
    tint,
)
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import Moment, Pose

_UNDERTONE = np.array([0.84, 1.03, 1.10], np.float32)
"""What shadow leaves of each channel's shade, about 1."""


def lighting(person: Person, moment: Moment, laid: Pose) -> tuple[Layer, Plane]:
    """Shade the head's relief.

    Returns:
        What to multiply the skin's colour by, and the gloss to add.
    """
    slope_x, slope_y = _head_slopes(laid)
    down, across = _slopes(_relief(person, moment, laid))
    nx, ny = slope_x - across, slope_y - down
    length = np.sqrt(nx * nx + ny * ny + 0.72)
    right, below, near = (np.float32(value) for value in moment.light)
    lit = (nx * right + ny * below + np.float32(0.8485) * near) / length
    # Wrapped around the terminator, as light that has gone through skin.
    diffuse = np.maximum((lit + 0.22) / 1.22, 0)
    sky = 0.86 - 0.20 * ny / length
    sky *= _hollows(person, moment, laid)
    diffuse *= 0.35 + 0.65 * np.minimum(sky, 1)
    key, fill = np.float32(moment.key), np.float32(1 - moment.key)
    shade = np.empty((3, SIDE, SIDE), np.float32)
    for channel in range(3):
        gray = diffuse * (key * 1.25 * moment.key_colour[channel])
        gray += sky * (fill * 1.12 * moment.ambient[channel])
        shade[channel] = 1 - (1 - gray) * _UNDERTONE[channel]
    # Blinn-Phong: the half vector between the light and the camera.
    half_x, half_y = right, below
    half_z = near + 1
    half = np.float32((half_x**2 + half_y**2 + half_z**2) ** 0.5)
    gloss = np.maximum((nx * half_x + ny * half_y + 0.8485 * half_z) / (half * length), 0)
    gloss = gloss * gloss
    gloss *= gloss
    gloss *= gloss
    gloss *= gloss
    gloss *= gloss * (0.20 * moment.key * moment.shine)
    return shade, gloss


def _slopes(heights: Plane) -> tuple[Plane, Plane]:
    """Central differences down and across, 0 at the border."""
    down, across = np.zeros_like(heights), np.zeros_like(heights)
    np.subtract(heights[2:], heights[:-2], out=down[1:-1])
    np.subtract(heights[:, 2:], heights[:, :-2], out=across[:, 1:-1])
    down *= 0.5
    across *= 0.5
    return down, across


def _head_slopes(laid: Pose) -> tuple[Plane, Plane]:
    """How the head as a whole turns away, without its features."""
    jaw = laid.points[:17]
    rows = np.clip(YS, jaw[[0, 16], 1].mean(), None)
    left = np.interp(rows, jaw[:9, 1], jaw[:9, 0])
    right = np.interp(rows, jaw[16:7:-1, 1], jaw[16:7:-1, 0])
    middle = ((left + right) / 2).astype(np.float32)
    half = np.maximum((right - left) / 2, 52).astype(np.float32)
    out = np.clip((XS[None] - middle[:, None]) / half[:, None], -1, 1)
    sideways = out * (0.22 + 0.9 * out * out)
    bottom = np.interp(XS, jaw[:, 0], jaw[:, 1]).astype(np.float32)
    rim = np.clip(1 - (bottom[None] - YS[:, None]) / 34, 0, 1)
    back = 0.38 * np.clip((62 - YS) / 62, 0, 1.2)
    return sideways.astype(np.float32), (0.95 * rim * rim - back[:, None]).astype(np.float32)


def _relief(person: Person, moment: Moment, laid: Pose) -> Plane:
    """Heights in pixels of the features above the head, as sums of separable bumps."""
    smile = max(moment.smile, 0.0)
    points = laid.points
    brow = points[17:27, 1].mean() + 3
    tip, base = points[30], points[33]
    lips = points[[48, 54, 51, 57]]
    mouth_x, mouth_y = points[[62, 66]].mean(0)
    ridge_x = (points[28, 0] + tip[0]) / 2
    wide = person.nose_half
    cheek_y = 126 - 4 * smile
    chin = points[8]
    bumps: list[tuple[float, float, float, float, float]] = [
        (3.0 if person.masculine else 2.0, points[19, 0] + 6, brow, 24, 7),
        (3.0 if person.masculine else 2.0, points[24, 0] - 6, brow, 24, 7),
        (2.2, 0, 14, 44, 24),
        (4.8 * person.cheeks + 2.5 * smile, -49, cheek_y, 19, 17 - 4 * smile),
        (4.8 * person.cheeks + 2.5 * smile, 49, cheek_y, 19, 17 - 4 * smile),
        (5.6 * person.tip, tip[0], tip[1] + 4, 9.5, 8.5),
        (3.4, base[0] - wide + 6, base[1] - 6, 5.6, 5.8),
        (3.4, base[0] + wide - 6, base[1] - 6, 5.6, 5.8),
        (6.0, mouth_x, mouth_y - 1, 30, 19),
        (1.6, mouth_x, (lips[2, 1] + mouth_y) / 2, person.mouth_half * 0.6, 3.2),
        (3.2, mouth_x, (lips[3, 1] + mouth_y) / 2 + 0.5, person.mouth_half * 0.5, 3.8),
        (-2.2, mouth_x, lips[3, 1] + 5.5, 14, 4.0),
        (4.5, chin[0], chin[1] - 17, 17 + 4 * person.chin, 10),
        (-1.0, lips[2, 0], lips[2, 1] - 6, 2.6, 5.0),
    ]
    for eye in (points[36:42], points[42:48]):
        x, y = eye.mean(0)
        bumps += [(-5.0, x, y - 1, 20, 12), (3.4, x, y - 1, 11, 7.5)]
    heights = np.array([bump[0] for bump in bumps], np.float32)
    columns = np.stack([bell(XS, bump[1], bump[3]) for bump in bumps])
    rows = np.stack([bell(YS, bump[2], bump[4]) for bump in bumps])
    relief = (rows * heights[:, None]).T @ columns
    # The ridge of the nose rises from between the eyes and falls off steeply below the tip.
    top = points[27, 1] - 8
    rise = np.clip((YS - top) / (tip[1] - top), 0, None)
    ridge = np.where(rise < 1, rise * (0.45 * person.bridge + (1 - 0.45 * person.bridge) * rise), 1)
    ridge = ridge * _step((base[1] + 7 - YS) / (base[1] + 9 - tip[1]))
    lean = points[27, 0] + (tip[0] - points[27, 0]) * np.minimum(rise, 1)
    spread = 5.8 + 2.4 * np.minimum(rise, 1)
    span = slice(int(ridge_x + MIDDLE + MARGIN - 36), int(ridge_x + MIDDLE + MARGIN + 37))
    near = (XS[None, span] - lean.astype(np.float32)[:, None]) / spread.astype(np.float32)[:, None]
    relief[:, span] += (9.5 * ridge).astype(np.float32)[:, None] * np.exp(-0.5 * near * near)
    raised: Plane = relief.astype(np.float32)
    return raised


def _step(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """From 0 to 1 without a kink."""
    share = np.clip(values, 0, 1)
    eased: Float[np.ndarray, " n"] = share * share * (3 - 2 * share)
    return eased


def _hollows(person: Person, moment: Moment, laid: Pose) -> Plane:
    """How much of the sky each place sees, about 1: what lies deep is darker."""
    points = laid.points
    base, mouth = points[33], points[57]
    wide = person.nose_half
    hollows: list[tuple[float, float, float, float, float]] = [
        (0.26, base[0], base[1] + 4.5, wide * 0.75, 4.2),
        (0.16, base[0] - wide - 2, base[1] - 4, 4, 8),
        (0.16, base[0] + wide + 2, base[1] - 4, 4, 8),
        (0.20, mouth[0], mouth[1] + 4, 15, 3.4),
        (0.10, points[48, 0] - 3, points[48, 1] + 1, 4, 5),
        (0.10, points[54, 0] + 3, points[54, 1] + 1, 4, 5),
    ]
    for inner, eye in ((points[39], points[36:42]), (points[42], points[42:48])):
        side = np.sign(eye[:, 0].mean() - inner[0])
        hollows += [
            (0.24, inner[0] - side * 3.0, inner[1] - 6, 6, 10),
            (0.15, eye[:, 0].mean(), eye[:, 1].min() - 5, 15, 5),
            (0.08 + 0.10 * person.age, eye[:, 0].mean() - side * 3, eye[:, 1].max() + 5, 11, 4),
        ]
    depths = np.array([hollow[0] for hollow in hollows], np.float32)
    columns = np.stack([bell(XS, hollow[1], hollow[3]) for hollow in hollows])
    rows = np.stack([bell(YS, hollow[2], hollow[4]) for hollow in hollows])
    sky: Plane = (1 - (rows * depths[:, None]).T @ columns).astype(np.float32)
    return sky


def complexion(person: Person, moment: Moment, laid: Pose) -> Layer:
    """The skin's own colour: blush, lips, folds, freckles and moles, before any light."""
    layer = np.empty((3, SIDE, SIDE), np.float32)
    layer[:] = person.skin[:, None, None]
    points = laid.points
    rosy = np.array([1.06, 0.78, 0.80], np.float32)
    warm = spot((-50 + 20 * laid.yaw, 128), (17, 14)) + spot((50 + 20 * laid.yaw, 128), (17, 14))
    warm += 0.8 * spot((points[30, 0], points[30, 1] + 6), (11, 9))
    tint(layer, person.blush * 2.2 * warm, rosy)
    if person.makeup > 0.3:
        for eye in (points[36:42], points[42:48]):
            at = (float(eye[:, 0].mean()), float(eye[:, 1].min()) - 2.5)
            tint(layer, person.makeup * 0.75 * spot(at, (13, 4.5)), person.lips * 0.8 + 0.05)
    _fold(layer, person, moment, laid)
    _speckle(layer, person, laid)
    return layer


def _fold(layer: Layer, person: Person, moment: Moment, laid: Pose) -> None:
    """Nasolabial folds, and the lines that age and a smile draw."""
    smile, age = max(moment.smile, 0.0), person.age
    points = laid.points
    strokes: list[Stroke] = []
    for side, wing, corner, outer in (
        (-1, points[31], points[48], points[36]),
        (1, points[35], points[54], points[45]),
    ):
        fold = np.array(
            [
                moved(wing, side * 3, -5),
                moved((wing + corner) / 2, side * (8 + 4 * smile), -3),
                moved(corner, side * (9 + 2 * smile), -1 + 2 * age),
            ]
        )
        strokes.append((curve(fold), 1.4 + 1.6 * age))
        if age > 0.55:
            strokes += [
                (curve(outer + np.array([(side * 5, dy), (side * 12, 2.2 * dy - 1)])), 0.9)
                for dy in (-2.5, 0.8, 4)
            ]
            bag = outer + np.array([(-side * 5, 9), (-side * 14, 13), (-side * 25, 10.5)])
            strokes.append((curve(bag), 1.2))
    if age > 0.6:
        brow = points[19:25, 1].min()
        strokes += [
            (laid.turned(curve(np.array([(-40, y + 3), (0, y), (40, y + 3)])), 0), 1.2)
            for y in (brow - 13, brow - 23, brow - 32)
        ]
    strength = min(0.55, 0.07 + 0.33 * age + 0.2 * smile)
    window = around(np.concatenate([line for line, _ in strokes]), pad=6)
    cover = mask([], window, strokes=strokes, blur=1.6, strength=min(1, strength * 1.5))
    tint(layer, cover, np.array([0.62, 0.5, 0.48], np.float32), window)


def _speckle(layer: Layer, person: Person, laid: Pose) -> None:
    """Freckles, which follow the skin, and moles."""
    if len(person.freckles):
        places = laid.turned(person.freckles[:, :2], 6.0)
        reach = np.stack([0.55 * person.freckles[:, 2], 0 * person.freckles[:, 2]], 1)
        window = around(places)
        dots = np.stack([places - reach, places + reach], 1)
        cover = mask([], window, hairs=dots, scale=3, blur=0.45, strength=0.9)
        tint(layer, cover, rgb(190, 134, 100), window)
    if len(person.moles):
        places = laid.turned(person.moles[:, :2], 6.0)
        window = around(places)
        spots = [
            ellipse((x, y), (size, size), points=10)
            for (x, y), size in zip(places.tolist(), person.moles[:, 2].tolist(), strict=True)
        ]
        cover = mask(spots, window, scale=3, blur=0.4, strength=0.85)
        tint(layer, cover, rgb(96, 62, 52), window)


def hair_shadow(shade: Layer, cover: Plane) -> None:
    """Darken the skin where hair casts its shadow."""
    tint(shade, cover, np.array([0.62, 0.55, 0.54], np.float32), WHOLE)
