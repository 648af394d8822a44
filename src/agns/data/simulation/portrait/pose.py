"""What one photo does to a face: pose, expression, light, camera; where its 68 landmarks then lie.

Landmarks are numbered as usual: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth, each
from the left of the picture.

Convention:
    The head turns by parallax: a point moves by yaw and pitch times its depth towards the
    camera before the eyes, which alignment holds in place.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from agns.data.simulation.portrait.brush import MIDDLE, Colour, Outline, curve, moved
from agns.data.simulation.portrait.person import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One photo's circumstances; lengths are in pixels."""

    yaw: float
    """Sine of the angle, positive towards the right of the picture."""
    pitch: float
    """Sine of the angle, positive downwards."""
    roll: float
    """Radians, clockwise."""
    scale: float
    shift: tuple[float, float]

    smile: float
    """From -0.4, stern, to 1, beaming."""
    gap: float
    """How far the lips are apart."""
    brows: float
    """How far the brows are raised."""
    lids: float
    """How far the eyes are open, 1 as the person's own."""
    gaze: tuple[float, float]

    light: tuple[float, float, float]
    """Unit vector to the key light: right, down, towards the camera."""
    key: float
    """Share of the key light in all light, in [0, 1]."""
    key_colour: Colour
    ambient: Colour
    gain: Colour
    gamma: float
    contrast: float
    blur: float
    noise: float
    hair_shade: float
    shine: float


def moment(rng: np.random.Generator) -> Moment:
    """Draw the circumstances of one photo."""

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def about(spread: float) -> float:
        return spread * float(np.clip(rng.standard_normal(), -2, 2))

    smile = between(-0.15, 1) if rng.random() < 0.75 else 0.0
    gap = between(1, 9) * max(smile, 0.25) if rng.random() < 0.42 else 0.0
    across, down, near = about(0.55), between(-0.85, 0.1), between(0.7, 1.2)
    length = (across**2 + down**2 + near**2) ** 0.5
    temperature, green = about(0.09), about(0.03)
    key_warmth = about(0.06)
    return Moment(
        yaw=about(0.11),
        pitch=about(0.07),
        roll=about(0.025),
        scale=1 + about(0.015),
        shift=(about(1.3), about(1.3)),
        smile=smile,
        gap=gap,
        brows=about(2.0),
        lids=between(0.72, 1.12),
        gaze=(about(1.8), about(0.7)),
        light=(across / length, down / length, near / length),
        key=between(0.25, 0.75),
        key_colour=_warmth(key_warmth),
        ambient=_warmth(-0.7 * key_warmth + about(0.04)),
        gain=between(0.62, 1.32) * _warmth(temperature) * np.array([1, 1 + green, 1], np.float32),
        gamma=between(0.8, 1.3),
        contrast=between(0.8, 1.2),
        blur=between(0, 0.22),
        noise=between(0.003, 0.02),
        hair_shade=between(0.88, 1.12),
        shine=between(0.3, 1),
    )


def _warmth(amount: float) -> Colour:
    return np.array([1 + amount, 1, 1 - 1.25 * amount], np.float32)


# The canonical jaw, from the ear to the chin: half width and way down as shares of the whole,
# depth in pixels, and what a square jaw and a broad chin add to the half width.
_JAW_HALF = np.array([1, 0.995, 0.972, 0.93, 0.85, 0.71, 0.525, 0.29, 0])
_JAW_DOWN = np.array([0, 0.165, 0.323, 0.5, 0.658, 0.788, 0.896, 0.977, 1])
_JAW_DEPTH = np.array([-62, -56, -46, -35, -24, -14, -5, 0, 3.0])
_JAW_SQUARE = np.array([0, 0.005, 0.015, 0.03, 0.055, 0.075, 0.06, 0.02, 0])
_CHIN_BROAD = np.array([0, 0, 0, 0, 0.005, 0.02, 0.05, 0.07, 0])
_JAW_TOP = 88.0

TURN_CENTRE = (MIDDLE, 110.0)
"""The (x, y) about which a head rolls and scales, in pixels of the canvas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Landmarks in face coordinates, and the same turn for any other point."""

    points: Float[np.ndarray, "68 2"]
    yaw: float
    pitch: float

    def turned(self, points: Outline, depth: Float[np.ndarray, " points"] | float) -> Outline:
        """Move points of the head at rest as the head turns."""
        depths = np.broadcast_to(np.asarray(depth, float), len(points))
        return points + np.outer(depths, (self.yaw, self.pitch))

    def head(self) -> Outline:
        """The head's outline: the jaw, and the skull above it, out of sight at the top."""
        jaw = self.points[:17]
        left, right = jaw[0], jaw[16]
        half = (right[0] - left[0]) / 2
        middle = (right[0] + left[0]) / 2
        shares = np.array([(0.995, 62), (0.95, 32), (0.83, 2), (0.5, -32), (0, -44)])
        rising = np.stack([middle + half * shares[:, 0], shares[:, 1]], 1)
        falling = np.stack([middle - half * shares[:-1, 0], shares[:-1, 1]], 1)[::-1]
        return curve(np.concatenate([jaw, rising, falling]), closed=True)


def pose(person: Person, moment: Moment) -> Pose:
    """Lay out somebody's landmarks for one photo."""
    parts = [
        _jaw(person, moment),
        _brow(person, moment, -1),
        _brow(person, moment, 1)[::-1],
        _nose(person, moment),
        _eye(person, moment, -1),
        _eye(person, moment, 1)[[3, 2, 1, 0, 5, 4]],
        _mouth(person, moment),
    ]
    laid = np.concatenate(parts)
    return Pose(
        points=laid[:, :2] + laid[:, 2:] * (moment.yaw, moment.pitch),
        yaw=moment.yaw,
        pitch=moment.pitch,
    )


def _jaw(person: Person, moment: Moment) -> Float[np.ndarray, "17 3"]:
    half = person.half_width * (_JAW_HALF + person.jaw * _JAW_SQUARE + person.chin * _CHIN_BROAD)
    half[3:6] += 1.5 * max(moment.smile, 0)
    down = _JAW_TOP + (person.chin_y + 0.55 * moment.gap - _JAW_TOP) * _JAW_DOWN
    left = np.stack([-half, down, _JAW_DEPTH], 1)
    return np.concatenate([left, (left * (-1, 1, 1))[-2::-1]])


def _brow(person: Person, moment: Moment, side: int) -> Float[np.ndarray, "5 3"]:
    """From the outer end to the inner."""
    along = np.array([1, 0.78, 0.53, 0.27, 0])
    x = 14.5 + (person.brow_length * 2 - 1) * along
    rise = np.array([-5.5, 0.55, 1, 0.7, 0.2]) * (1, *[person.brow_arch] * 4)
    y = person.brow_y - rise - person.brow_tilt * (along - 0.5) - moment.brows
    y = y + np.array([0, 0, 0, 0, 1.0]) * max(-moment.smile, 0) * 6
    return np.stack([side * x, y, np.array([-22, -6, 2, 6, 8.0])], 1)


def _nose(person: Person, moment: Moment) -> Float[np.ndarray, "9 3"]:
    base = person.nose_y - 0.8 * max(moment.smile, 0)
    wide = person.nose_half * (1 + 0.06 * max(moment.smile, 0))
    top = person.eye_y - 6.5
    tip = base - 17
    ridge = [(0, top + (tip - top) * share, 8 + 22 * share) for share in (0, 0.34, 0.67, 1)]
    below = [
        (share * wide, base + lift, depth)
        for share, lift, depth in [
            (-1, -3, 8), (-0.5, 0, 15), (0, 2, 19), (0.5, 0, 15), (1, -3, 8)
        ]
    ]  # fmt: skip
    return np.array(ridge + below, float)


def _eye(person: Person, moment: Moment, side: int) -> Float[np.ndarray, "6 3"]:
    """Outer corner, upper lid outwards and inwards, inner corner, lower lid."""
    half = person.eye_half
    open_ = person.eye_open * moment.lids * (1 - 0.14 * max(moment.smile, 0))
    shape = 0.03 * person.eye_round
    across = np.array([1, 0.42 + shape, -0.26 - shape, -1, -0.3, 0.36])
    down = np.array([-0.5, 0, 0, 0.5, 0.5, 0]) * person.eye_tilt
    down += np.array([0, -1, -1.02, 0, 0.62, 0.68]) * open_
    x = side * (person.eye_x + half * across)
    depth = np.array([-8, -1, 1, 2, 1, -1.0])
    return np.stack([x, person.eye_y + down, depth], 1)


def _mouth(person: Person, moment: Moment) -> Float[np.ndarray, "20 3"]:
    smile, gap = moment.smile, moment.gap
    half = person.mouth_half * (1 + 0.15 * smile - 0.008 * gap)
    middle = person.mouth_y + 0.15 * gap
    corner = middle - 2.2 - 6.0 * smile
    thin = 1 - 0.16 * max(smile, 0)
    up, down, bow = person.upper_lip * thin, person.lower_lip * thin, person.bow
    top, bottom = middle - 0.45 * gap, middle + 0.55 * gap

    def lift(share: float) -> float:
        """How much the smile's bend raises the lips this far out."""
        return (corner - middle) * share**2

    left = {
        "corner": (-half, corner, -4),
        "side": (-0.62 * half, top - 0.6 * up + lift(0.62), 5),
        "peak": (-0.27 * half, top - up - 0.4 * bow, 10),
        "dip": (0, top - up + 0.6 * bow, 11),
        "under side": (-0.66 * half, bottom + 0.66 * down + lift(0.66), 4),
        "under": (-0.32 * half, bottom + 0.93 * down, 8),
        "bottom": (0, bottom + down, 9),
        "inner corner": (-0.86 * half, corner + 0.12 * (middle - corner), -2),
        "inner top": (-0.3 * half, top + lift(0.3) + 0.3, 9),
        "inner dip": (0, top + 0.8, 10),
        "inner bottom": (-0.3 * half, bottom + lift(0.3) + 0.5, 8),
        "inner middle": (0, bottom + 1.0, 9),
    }

    def right(name: str) -> tuple[float, float, float]:
        x, y, depth = left[name]
        return -x, y, depth

    return np.array(
        [
            left["corner"], left["side"], left["peak"], left["dip"],
            right("peak"), right("side"), right("corner"),
            right("under side"), right("under"), left["bottom"],
            left["under"], left["under side"],
            left["inner corner"], left["inner top"], left["inner dip"],
            right("inner top"), right("inner corner"),
            right("inner bottom"), left["inner middle"], left["inner bottom"],
        ],
        float,
    )  # fmt: skip


def seen(points: Outline, moment: Moment) -> Outline:
    """Face coordinates to pixels of the canvas: the head rolled, scaled and shifted."""
    cosine, sine = math.cos(moment.roll), math.sin(moment.roll)
    turn = moment.scale * np.array([[cosine, -sine], [sine, cosine]])
    centre = np.array(TURN_CENTRE)
    pixels: Outline = (moved(points, MIDDLE, 0) - centre) @ turn.T + centre + moment.shift
    return pixels
