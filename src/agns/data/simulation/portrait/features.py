"""Eyes and eyebrows, mouth and nostrils, stubble and beards."""

import numpy as np
from jaxtyping import Float

from agns.data.simulation.portrait.brush import (
    XS,
    YS,
    Layer,
    Outline,
    Plane,
    Stroke,
    Window,
    around,
    bell,
    curve,
    ellipse,
    mask,
    moved,
    paint,
    rgb,
    spot,
    tint,
)
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import Moment, Pose

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


def paint_lips(layer: Layer, person: Person, laid: Pose) -> None:
    """Colour the lips on skin that is still to be lit."""
    points = laid.points
    outer = np.concatenate(
        [curve(points[48:55], steps=4)[:-1], curve(points[[*range(54, 60), 48]], steps=4)[:-1]]
    )
    window = around(outer, pad=6)
    soft = 0.5 if person.makeup > 0.5 else 0.9
    paint(layer, mask([outer], window, scale=3, blur=soft, strength=0.92), person.lips, window)
    upper = np.concatenate([curve(points[48:55], steps=4), points[[64, 63, 62, 61, 60]]])
    darker = mask([upper], window, scale=2, blur=1.0, strength=0.9)
    tint(layer, darker, np.array([0.80, 0.74, 0.76], np.float32), window)


def paint_mouth(layer: Layer, light: Layer, person: Person, moment: Moment, laid: Pose) -> None:
    """Paint what lies between the lips, and their shine, over a lit face."""
    points = laid.points
    top = curve(points[60:65], steps=4)
    bottom = curve(points[[64, 65, 66, 67, 60]], steps=4)
    inside = np.concatenate([top, bottom[1:-1]])
    window = around(points[48:60], pad=4)
    rows, columns = window
    if moment.gap > 1:
        cover = mask([inside], window, scale=4)
        paint(layer, cover, rgb(62, 20, 22), window)
        middle_x = float(points[62, 0])
        edge = np.interp(XS[columns], top[:, 0], top[:, 1])
        depth = (YS[rows][:, None] - edge[None]) / 8.5
        teeth = np.clip((1 - depth) * 5, 0, 1) * cover
        across = XS[columns] - middle_x
        gaps = 1 - 0.16 * np.exp(-((((across + 3.4) % 6.8) - 3.4) ** 2) / 0.35)
        falloff = bell(XS[columns], middle_x, 0.62 * person.mouth_half)
        shade = np.minimum(light[:, rows, columns], 1.1)
        white = rgb(238, 230, 216)[:, None, None] * (gaps * (0.35 + 0.65 * falloff))[None, None]
        paint(layer, teeth, (white * (0.25 + 0.75 * shade)).astype(np.float32), window)
        shadow = np.clip(1 - depth * 2.4, 0, 1) * cover
        tint(layer, 0.5 * shadow, rgb(120, 80, 80), window)
    seam = (points[60:65] + points[[60, 67, 66, 65, 64]]) / 2
    seam[[0, 4]] = points[[48, 54]]
    if moment.gap > 1:
        strokes = [(top, 1.3), (points[[48, 60]], 1.4), (points[[54, 64]], 1.4)]
    else:
        strokes = [(curve(seam, steps=4), 1.5)]
    line = mask([], window, strokes=strokes, scale=3, blur=0.5)
    tint(layer, 0.85 * line, rgb(84, 46, 48), window)
    at = (float(points[57, 0]) + 5 * moment.light[0], float(points[[57, 66], 1].mean()) - 0.6)
    shine = spot(at, (0.3 * person.mouth_half, 1.9), window)
    strength = (0.10 + 0.16 * person.makeup) * (0.4 + moment.key) * moment.shine
    paint(layer, strength * shine, rgb(255, 244, 240), window)


def paint_nostrils(layer: Layer, person: Person, laid: Pose) -> None:
    """Paint the nostrils and the creases around the wings."""
    base = laid.points[33]
    wide = person.nose_half
    high = max(0.6, 1.9 - 12 * laid.pitch)
    holes = []
    creases = []
    for side in (-1, 1):
        x = float(base[0]) + side * 0.47 * wide
        holes.append(ellipse((x, base[1] - 2.0), (0.25 * wide, high), turn=side * 0.22))
        wing = np.array([(0.86, -13), (1.03, -8.5), (1.03, -3.5), (0.84, -0.6), (0.68, -0.2)])
        creases.append((curve(base + wing * (side * wide, 1)), 1.3))
        under = np.array([(0.66, 0.2), (0.42, 0.9), (0.2, 1.6), (0, 2.2)])
        creases.append((curve(base + under * (side * wide, 1)), 1.0))
    window = around(laid.points[31:36], pad=16)
    tint(layer, mask([], window, strokes=creases, scale=3, blur=0.9), rgb(164, 128, 122), window)
    tint(layer, mask(holes, window, scale=3, blur=0.7, strength=0.9), rgb(66, 34, 34), window)


def paint_beard(layer: Layer, light: Layer, person: Person, laid: Pose) -> None:
    """Paint stubble, moustache or beard over a lit face."""
    if person.beard == "none":
        return
    points = laid.points
    base = points[33]
    parts = {
        "stubble": [_cheeks(laid, grow=-1), _moustache(laid)],
        "moustache": [_moustache(laid)],
        "goatee": [_moustache(laid), _chin(laid)],
        "full": [_cheeks(laid, grow=5), _moustache(laid)],
    }[person.beard]
    window = around(np.concatenate(parts), pad=10)
    rows, columns = window
    stubble = person.beard == "stubble"
    cover = mask(parts, window, blur=4.0 if stubble else 2.2)
    lips = np.concatenate(
        [curve(points[48:55], steps=3), curve(points[[*range(54, 60), 48]], steps=3)]
    )
    cover = cover * (1 - mask([lips], window, blur=1.0))
    x, y = XS[columns][None] - base[0], YS[rows][:, None]
    lean = x * (1 - 0.22 * np.clip((y - base[1]) / 60, -0.5, 1.0)) + 0 * y
    index = (lean * 5).astype(np.int32) & 1023
    strands: Float[np.ndarray, "rows columns"] = np.take(person.strands, index)
    grain = np.tile(person.beard_noise, (4, 4))[rows, columns]
    if stubble:
        cover = cover * (0.16 + 0.42 * grain)
    else:
        cover = np.clip(cover * (1.12 + 0.25 * strands), 0, 1) ** 1.4 * 0.94
    tone = 0.85 + 0.5 * strands + 0.45 * (grain - 0.5)
    shade = np.minimum(light[:, rows, columns], 1.1) * tone
    colour = person.beard_colour[:, None, None] * shade
    paint(layer, cover.astype(np.float32), colour.astype(np.float32), window)


def _moustache(laid: Pose) -> Outline:
    points = laid.points
    base, left, right = points[33], points[48], points[54]
    above = [
        moved(left, -4, 4), moved(left, 1, -4), moved(points[31], 3, 6), moved(base, 0, 6),
        moved(points[35], -3, 6), moved(right, -1, -4), moved(right, 4, 4),
    ]  # fmt: skip
    lip = moved(curve(points[[54, 53, 52, 51, 50, 49, 48]]), 0, -0.5)
    return np.concatenate([curve(np.stack(above)), lip])


def _chin(laid: Pose) -> Outline:
    points = laid.points
    left, right, chin, lip = points[48], points[54], points[8], points[57]
    wide = 0.5 * (right[0] - left[0])
    outside = [
        moved(left, -6, -2), moved(left, -5, 14), moved(chin, -0.85 * wide, -14),
        moved(chin, 0, 3), moved(chin, 0.85 * wide, -14), moved(right, 5, 14),
        moved(right, 6, -2),
    ]  # fmt: skip
    inside = [
        moved(right, 1, 2), moved(right, -5, 13), moved(lip, 0.3 * wide, 6), moved(lip, 0, 4),
        moved(lip, -0.3 * wide, 6), moved(left, 5, 13), moved(left, -1, 2),
    ]  # fmt: skip
    return np.concatenate([curve(np.stack(outside)), curve(np.stack(inside))])


def _cheeks(laid: Pose, *, grow: float) -> Outline:
    """The bearded part of jaw, chin and cheeks."""
    points = laid.points
    jaw = points[1:16]
    out = jaw - (points[8, 0] * 0.5, 120)
    away = jaw + grow * out / np.linalg.norm(out, axis=1, keepdims=True)
    left, right, base = points[48], points[54], points[33]
    top = [
        moved(points[15], -7, -4), moved(points[14], -15, 2), moved(right, 17, -12),
        moved(right, 6, -5), moved(base, 0, 16), moved(left, -6, -5), moved(left, -17, -12),
        moved(points[2], 15, 2), moved(points[1], 7, -4),
    ]  # fmt: skip
    return np.concatenate([curve(away), curve(np.stack(top))])
