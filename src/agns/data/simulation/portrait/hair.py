"""Hair on the head."""

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw

from agns.data.simulation.portrait.brush import (
    MARGIN,
    MIDDLE,
    SIDE,
    WHOLE,
    XS,
    YS,
    Colour,
    Layer,
    Outline,
    Plane,
    around,
    curve,
    ellipse,
    mask,
    moved,
    paint,
    tint,
)
from agns.data.simulation.portrait.person import Person
from agns.data.simulation.portrait.pose import Moment, Pose

_LOOSE = ("long", "wavy", "bob")


def paint_hair_behind(layer: Layer, person: Person, moment: Moment, laid: Pose) -> None:
    """Paint what hangs behind the neck."""
    half, volume = person.half_width, person.hair_volume
    colour = 0.55 * _lit(person, moment)
    if person.hair in _LOOSE:
        out = half + 10 + 12 * volume
        end = 186.0 if person.hair == "bob" else 250.0
        right = np.array([(0, -60), (out - 10, -30), (out, 60), (out + 4, 140), (out - 6, end)])
        outline = _mirrored(right, laid, -55)
        paint(
            layer,
            mask([curve(outline)]),
            colour[:, None, None] * (0.75 + 0.5 * _texture(person, laid)),
        )
    elif person.hair == "bun":
        side = np.sign(person.parting)
        at = laid.turned(np.array([(side * (half - 16), 184.0)]), -75)[0]
        knot = ellipse((float(at[0]), float(at[1])), (23 + 5 * volume, 21 + 4 * volume))
        window = around(knot)
        rows, columns = window
        x, y = XS[columns][None] - float(at[0]), YS[rows][:, None] - float(at[1])
        wound = x * 0.9 + y * 0.5 + 0.012 * (x * x + y * y)
        index = (wound * 3).astype(np.int32) & 1023
        shine = 1.5 + 0.5 * np.take(person.strands, index) - (x * x + y * y) / 900 - y / 60
        paint(layer, mask([knot], window, blur=0.6), colour[:, None, None] * shine, window)


def hair_cover(person: Person, laid: Pose) -> Plane | None:
    """Where hair lies over the head, in [0, 1]; None on a bald head."""
    if person.hair == "bald":
        return None
    outer, inner = _silhouette(person)
    line = curve(inner, steps=10)
    fray = {"fringe": 3.4, "curly": 2.0, "buzzed": 1.2}.get(person.hair, 2.6)
    right = _frayed(line, person, fray, 0)
    left = _frayed(line, person, fray, 512) * (-1, 1)
    if person.hair == "swept":
        left = curve(_swept(person), steps=10)
        if person.parting < 0:
            left, right = right * (-1, 1), left * (-1, 1)
    border = np.concatenate([right[::-1], left[1:]])
    top = np.array([(0.0, -70.0)])
    sides = curve(outer)
    outline = np.concatenate([border, (sides * (-1, 1))[::-1], top, sides])
    depth = -58 * np.clip(np.abs(outline[:, 0]) / person.half_width, 0, 1) ** 2
    blur = {"buzzed": 2.2, "short": 1.1, "receding": 1.2, "bun": 1.0}.get(person.hair, 0.7)
    strength = 0.72 if person.hair == "buzzed" else 1.0
    shape = laid.turned(outline, depth)
    cover = mask([shape], blur=blur, strength=strength)
    if person.hair == "curly":
        cover = np.maximum(cover, mask(_curls(person, laid), blur=0.5))
    return cover


def _frayed(line: Outline, person: Person, fray: float, start: int) -> Outline:
    """A hairline with its strands uneven, each person's own way."""
    lengths = person.strands[(start + 11 * np.arange(len(line))) % len(person.strands)]
    frayed: Outline = line + np.stack([0 * lengths, fray * lengths], 1)
    return frayed


def _silhouette(person: Person) -> tuple[Outline, Outline]:
    """The right half of the hair: its outer edge downwards, and its hairline outwards."""
    half, volume, low = person.half_width, person.hair_volume, person.hair_height
    burn = 104.0 if person.masculine else 88.0
    hairline = [(0, 9 + low), (36, 10 + low), (57, 16 + low), (half - 12, 34), (half - 7, 58)]
    match person.hair:
        case "long" | "wavy" | "bob":
            end = 184.0 + 10 * volume if person.hair == "bob" else 252.0
            out = half + 14 + 12 * volume
            tuck = -4 if person.hair == "bob" else 8 * volume
            outer = [(out - 14, -40), (out - 2, 20), (out, 80), (out + 3, 140), (out - 4, end)]
            curtain = 14 * abs(person.parting)
            inner = [
                (0, 0 + low), (26, 4 + low + curtain / 2), (half - 24, 22 + low + curtain),
                (half - 10, 62), (half - 5, 105), (half - 5, 145), (half - 2 - tuck, 178),
                (half + 2 - tuck, end),
            ]  # fmt: skip
        case "fringe":
            out = half + 8 + 8 * volume
            edge = 30 + 0.5 * low
            outer = [(out - 12, -40), (out - 1, 20), (out, 80), (out + 2, 120), (out + 1, 162)]
            inner = [(0, edge), (22, edge + 1), (46, edge + 3),
                     (half - 18, edge + 9), (half - 9, edge + 28), (half - 6, 92),
                     (half - 5, 130), (half - 6, 168)]  # fmt: skip
        case "receding":
            outer = [(half - 4, -40), (half + 4, 20), (half + 3, 66), (half + 1, burn)]
            inner = [(0, 2 + low), (18, 3 + low), (34, -12), (50, -14), (half - 20, 14),
                     (half - 12, 48), (half - 8, 84), (half - 5, burn)]  # fmt: skip
        case "curly":
            out = half + 12 + 14 * volume
            outer = [(out - 18, -40), (out, 20), (out, 70), (out - 6, 108)]
            inner = [*hairline, (half - 6, 90), (half - 1, 108)]
        case "buzzed" | "bun":
            outer = [(half - 8, -40), (half + 1.5, 20), (half + 2, 66), (half, burn - 6)]
            inner = [*hairline, (half - 8, 80), (half - 4, burn - 6)]
        case _:
            out = half + 3 + 7 * volume
            outer = [(out - 8, -40), (out, 16), (half + 5, 58), (half + 2, 84), (half - 2, burn)]
            inner = [*hairline, (half - 6, 84), (half - 4, burn)]
    return np.array(outer, float), np.array(inner, float)


def _swept(person: Person) -> Outline:
    """The hairline on the side that swept hair falls to, outwards to the left."""
    half, low = person.half_width, person.hair_height
    drop = 16 * person.hair_volume
    burn = 104.0 if person.masculine else 88.0
    return np.array(
        [(0, 11 + low), (-24, 20 + low + drop / 2), (-48, 30 + low + drop), (10 - half, 42 + drop),
         (7 - half, 62), (9 - half, 84), (6 - half, burn)], float
    )  # fmt: skip


def _curls(person: Person, laid: Pose) -> list[Outline]:
    """Curls along the hairline and beyond it."""
    outer, inner = _silhouette(person)
    line, rim = curve(inner, steps=6), curve(outer, steps=6)
    count = 46
    jitter = person.curls[: 2 * count]
    index = np.linspace(0, 0.999, count)
    edge = moved(line[(index * len(line)).astype(int)], 0, -6)
    border = rim[(index * len(rim)).astype(int)]
    places = np.concatenate([edge, border]) + jitter[:, :2] * 3.5
    places[:, 0] *= np.where(jitter[:, 3] > 0, 1, -1)
    places = np.concatenate([places, places * (-1, 1) + jitter[::-1, :2] * 3])
    depth = -58 * np.clip(np.abs(places[:, 0]) / person.half_width, 0, 1) ** 2
    places = laid.turned(places, depth)
    radii = 6.5 + 2.5 * np.tile(jitter[:, 2], 2)
    return [
        ellipse((float(x), float(y)), (r, r), points=12)
        for (x, y), r in zip(places, radii, strict=True)
    ]


def _curl_texture(person: Person, laid: Pose) -> Plane:
    """Lighter and darker rings."""
    picture = PilImage.new("L", (SIDE, SIDE), 90)
    draw = ImageDraw.Draw(picture)
    spread = person.half_width + 26
    shift = laid.turned(np.zeros((1, 2)), -30)[0]
    for x, y, size, light in person.curls.tolist():
        at_x = spread * x + shift[0] + MIDDLE + MARGIN
        at_y = 52 + 72 * y + shift[1] + MARGIN
        r = 5.5 + 2.5 * size
        tone = int(110 + 55 * light)
        draw.arc((at_x - r, at_y - r, at_x + r, at_y + r), 130, 400, fill=tone + 60, width=3)
        draw.arc((at_x - r, at_y - r, at_x + r, at_y + r), 30, 130, fill=tone - 80, width=3)
    smooth = picture.resize((SIDE // 2, SIDE // 2), PilImage.Resampling.BOX).resize(
        (SIDE, SIDE), PilImage.Resampling.BILINEAR
    )
    return np.asarray(smooth, np.float32) / np.float32(170) + np.float32(0.2)


def _texture(person: Person, laid: Pose) -> Plane:
    """Lightness of the strands, about 0.5, along the way they fall."""
    if person.hair == "curly":
        return _curl_texture(person, laid) * np.float32(0.5)
    shift = laid.turned(np.zeros((1, 2)), -25)[0]
    x, y = XS[None] - np.float32(shift[0]), YS[:, None] - np.float32(shift[1])
    match person.hair:
        case "long" | "fringe" | "bob" | "wavy":
            start = 26 * person.parting if person.hair != "fringe" else 0
            if person.hair == "wavy":
                x = x + 4.5 * np.sin(y / 10.5 + 0.035 * np.abs(x))
            across = (x - np.float32(start)) / (1.02 - np.exp(-(y + 74) / 42))
            finest = 1.5
        case "swept":
            across = (y + 60) / (1 + np.abs(x - np.float32(42 * np.sign(person.parting))) / 90)
            finest = 2.2
        case _:
            across = x / np.maximum(150 - y, 12)
            finest = 230.0
    index = (across * np.float32(finest)).astype(np.int32) & 1023
    return 0.5 + 0.30 * np.take(person.strands, np.broadcast_to(index, (SIDE, SIDE)))


def _lit(person: Person, moment: Moment) -> Colour:
    light = moment.key_colour * moment.key * 1.1 + moment.ambient * (1 - moment.key)
    return (person.hair_colour * light * moment.hair_shade).astype(np.float32)


def paint_hair(layer: Layer, cover: Plane, person: Person, moment: Moment, laid: Pose) -> None:
    """Paint the hair over the head, strand by strand, with the light on it."""
    texture = _texture(person, laid)
    right, below, _ = moment.light
    x, y = XS[None] / 100, YS[:, None]
    bright = 0.80 + 0.32 * right * x - 0.18 * below * np.clip((70 - y) / 70, -1, 1)
    # The band of light that smooth hair shows across its strands.
    sheen_y = 8 + 40 * x * x + 30 * (person.hair in _LOOSE)
    sheen = np.exp(-(((y - sheen_y) / 17) ** 2)) * (0.15 + 0.5 * moment.key * moment.shine)
    if person.hair in ("curly", "buzzed"):
        sheen = 0 * sheen
    shade = (bright * (0.42 + 1.12 * texture) * (1 + sheen)).astype(np.float32)
    colour = _lit(person, moment)[:, None, None] * shade
    colour += (0.10 * sheen * texture)[None] * moment.key_colour[:, None, None]
    paint(layer, cover, colour.astype(np.float32))


def shave(layer: Layer, person: Person, laid: Pose) -> None:
    """Leave a shaved head the shadow of its hair."""
    top = np.clip((16 - YS[:, None] + 0.004 * XS[None] ** 2) / 40, 0, 1)
    sides = np.clip((np.abs(XS[None]) - person.half_width + 16) / 14, 0, 1)
    sides = sides * np.clip((96 - YS[:, None]) / 30, 0, 1)
    cover = (0.42 * np.maximum(top, sides)).astype(np.float32)
    factor = 0.45 + 0.55 * person.hair_colour
    tint(layer, cover, factor.astype(np.float32), WHOLE)


def _mirrored(right: Outline, laid: Pose, depth: float) -> Outline:
    both = np.concatenate([right[::-1], right[1:] * (-1, 1)])
    return laid.turned(both, depth)
