"""The mouth, and the nostrils above it."""

import numpy as np

from agns.data.simulation.portrait.brush import (
    XS,
    YS,
    Layer,
    around,
    bell,
    curve,
    ellipse,
    mask,
    paint,
    rgb,
    spot,
    tint,
)
from agns.data.simulation.portrait.moment import Moment
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import Pose


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
