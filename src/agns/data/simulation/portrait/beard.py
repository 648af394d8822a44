"""Stubble, moustaches and beards."""

import numpy as np
from jaxtyping import Float

from agns.data.simulation.portrait.brush import (
    XS,
    YS,
    Layer,
    Outline,
    around,
    curve,
    mask,
    moved,
    paint,
)
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import Pose


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
