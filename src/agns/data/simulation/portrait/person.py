"""Who somebody is: everything about a face that stays the same from photo to photo."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Num

from agns.data.simulation.portrait.brush import Colour, rgb, rgbs, smooth_noise

HairStyle: TypeAlias = Literal[
    "bald", "buzzed", "short", "receding", "fringe", "swept", "long", "wavy", "bob", "bun", "curly"
]
Beard: TypeAlias = Literal["none", "stubble", "moustache", "goatee", "full"]

SKINS = rgbs(
    (246, 214, 196), (236, 195, 170), (221, 172, 138), (192, 138, 102), (152, 103, 73),
    (112, 74, 54),
)  # fmt: skip
"""Skin tones from light to dark."""

# Black, dark, brown, auburn, ginger, blond, pale, grey, white.
_HAIRS = rgbs(
    (34, 28, 28), (58, 40, 32), (96, 64, 42), (128, 62, 36), (176, 92, 44), (200, 162, 104),
    (222, 194, 146), (150, 148, 148), (214, 212, 208),
)  # fmt: skip
# Dark, brown, hazel, green, blue, grey.
_IRISES = rgbs(
    (58, 36, 24), (104, 64, 34), (126, 98, 50), (86, 122, 78), (78, 124, 168), (122, 138, 148)
)
_MASCULINE_HAIR: dict[HairStyle, float] = {
    "bald": 2, "buzzed": 2, "short": 4, "receding": 2, "swept": 2, "curly": 1.5, "long": 0.7
}  # fmt: skip
_FEMININE_HAIR: dict[HairStyle, float] = {
    "fringe": 3, "swept": 1, "long": 3, "wavy": 3, "bob": 3, "bun": 3, "curly": 2, "short": 0.7
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A face at rest. Lengths are in pixels of the canonical canvas, from the middle line."""

    masculine: bool
    age: float
    """From 0, young, to 1, old."""
    skin: Colour
    blush: float
    lips: Colour
    freckles: Float[np.ndarray, "freckles 3"]
    """x, y and strength."""
    moles: Float[np.ndarray, "moles 3"]

    half_width: float
    jaw: float
    """From -1, tapering, to 1, square."""
    chin: float
    """From -1, pointed, to 1, broad."""
    chin_y: float
    cheeks: float
    ears: float

    eye_x: float
    eye_y: float
    eye_half: float
    eye_open: float
    eye_tilt: float
    """How much higher the outer corner lies than the inner."""
    eye_round: float
    crease: float
    iris: Colour
    iris_radius: float
    makeup: float

    brow_y: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    brow_length: float
    brow_density: float
    brow_hairs: Float[np.ndarray, "hairs 3"]
    """Along and across the brow in [0, 1], and lean in [-1, 1]."""

    nose_y: float
    """Where the nose ends below."""
    nose_half: float
    bridge: float
    tip: float

    mouth_y: float
    mouth_half: float
    upper_lip: float
    lower_lip: float
    bow: float

    hair: HairStyle
    hair_colour: Colour
    hair_height: float
    """Added to the hairline, downwards."""
    parting: float
    hair_volume: float
    strands: Float[np.ndarray, "samples"]
    curls: Float[np.ndarray, "curls 4"]
    """x, y and radius jitter, and lightness, in [-1, 1]."""
    beard: Beard
    beard_colour: Colour
    beard_noise: Float[np.ndarray, "64 64"]


def person(seed: int, identity: int) -> Person:
    """Make somebody up; the same for the same seed and identity."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, identity]))

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def about(mean: float, spread: float, reach: float = 2.0) -> float:
        return mean + spread * float(np.clip(rng.standard_normal(), -reach, reach))

    masculine = bool(rng.random() < 0.5)
    age = between(0, 1) ** 1.3
    depth = between(0, 1)
    skin = _tone(depth) * (1 + rng.uniform(-0.025, 0.025, 3))
    hair_colour = _hair_colour(rng, depth, age)
    styles = _MASCULINE_HAIR if masculine else _FEMININE_HAIR
    hair = [*styles][_chosen(rng, np.array([*styles.values()]))]
    beard: Beard = "none"
    if masculine and rng.random() < 0.62:
        beard = get_args(Beard)[1 + int(rng.choice(4, p=[0.3, 0.15, 0.25, 0.3]))]
    red = between(0.25, 1) if not masculine and rng.random() < 0.5 else 0.0
    natural = skin * rgb(222, 150, 146) / rgb(232, 205, 200) + rgb(12, 0, 4)
    lipstick = rgb(*(rng.uniform(low, high) for low, high in [(140, 205), (30, 85), (55, 95)]))
    freckled = depth < 0.45 and rng.random() < 0.4
    return Person(
        masculine=masculine,
        age=age,
        skin=skin.astype(np.float32),
        blush=between(0.02, 0.16) * (1.2 - depth) * (1.0 if masculine else 1.5),
        lips=(natural + 0.75 * red * (lipstick - natural)).astype(np.float32),
        freckles=_freckles(rng, int(rng.integers(60, 150)) if freckled else 0),
        moles=_moles(rng),
        half_width=about(78.5, 4.0),
        jaw=about(0.45 if masculine else -0.35, 0.5),
        chin=about(0.35 if masculine else -0.35, 0.5),
        chin_y=about(216 if masculine else 212, 4.5),
        cheeks=between(0.5, 1.4),
        ears=between(0.7, 1.1),
        eye_x=about(38.8, 1.6),
        eye_y=about(78.5, 1.2),
        eye_half=about(17.4, 1.6),
        eye_open=about(6.0 if masculine else 7.2, 1.2),
        eye_tilt=about(1.0, 2.4),
        eye_round=between(-0.4, 1),
        crease=between(0.1, 1),
        iris=_iris(rng, depth),
        iris_radius=about(7.6, 0.45),
        makeup=0.0 if masculine else between(0.2, 1),
        brow_y=about(52.0 if masculine else 48.5, 3.2),
        brow_thickness=about(7.2 if masculine else 4.6, 1.6),
        brow_arch=about(2.5 if masculine else 6.0, 2.4),
        brow_tilt=about(0.0, 3.2),
        brow_length=about(28.5, 2.5),
        brow_density=between(0.5, 1),
        brow_hairs=rng.uniform([0, 0, -1], [1, 1, 1], (70, 3)),
        nose_y=about(130, 4.2),
        nose_half=about(19.5 if masculine else 17, 2.2) + 3.0 * max(0.0, depth - 0.5),
        bridge=between(0.35, 1.2),
        tip=between(0.6, 1.4),
        mouth_y=about(161, 3.4),
        mouth_half=about(33.5 if masculine else 31, 3.2),
        upper_lip=about(6.2 if masculine else 7.8, 1.8) + 1.5 * depth,
        lower_lip=about(10.4 if masculine else 12.0, 1.8) + 1.5 * depth,
        bow=between(0.5, 3.2),
        hair=hair,
        hair_colour=hair_colour,
        hair_height=about(0, 6),
        parting=float(rng.choice([-1, 1])) * between(0.15, 1),
        hair_volume=between(0, 1),
        strands=sum(
            (smooth_noise(rng, 1024, rough) * weight
             for rough, weight in [(3, 0.45), (9, 0.35), (40, 0.35)]),
            np.zeros(1024, np.float32),
        ),
        curls=rng.uniform(-1, 1, (260, 4)),
        beard=beard,
        beard_colour=(hair_colour * between(0.7, 1.0) if hair != "bald" else hair_colour * 0.8),
        beard_noise=rng.uniform(0, 1, (64, 64)).astype(np.float32),
    )  # fmt: skip


def _chosen(rng: np.random.Generator, odds: Num[np.ndarray, " _"]) -> int:
    """A place among several, by their odds."""
    return int(rng.choice(len(odds), p=odds / odds.sum()))


def _tone(depth: float) -> Colour:
    position = depth * (len(SKINS) - 1)
    below = min(int(position), len(SKINS) - 2)
    tone: Colour = SKINS[below] + (position - below) * (SKINS[below + 1] - SKINS[below])
    return tone


def _hair_colour(rng: np.random.Generator, depth: float, age: float) -> Colour:
    odds = [2, 3, 3, 1.2, 1.2, 2, 1.2] if depth < 0.45 else [3, 1, 0, 0, 0, 0, 0]
    colour: Colour = _HAIRS[_chosen(rng, np.array([*odds, 5 * (age > 0.6), 5 * (age > 0.8)]))]
    return colour * rng.uniform(0.88, 1.12)


def _iris(rng: np.random.Generator, depth: float) -> Colour:
    odds = [1, 2, 2, 2, 3, 1.5] if depth < 0.45 else [5, 4, 1, 0.3, 0.1, 0.1]
    colour: Colour = _IRISES[_chosen(rng, np.array(odds))]
    return colour * rng.uniform(0.85, 1.15)


def _freckles(rng: np.random.Generator, count: int) -> Float[np.ndarray, "count 3"]:
    x = rng.normal(0, 34, count)
    y = rng.normal(112, 16, count) + 0.08 * np.abs(x)
    return np.stack([x, y, rng.uniform(0.3, 1, count)], 1)


def _moles(rng: np.random.Generator) -> Float[np.ndarray, "moles 3"]:
    count = int(rng.choice(4, p=[0.45, 0.3, 0.15, 0.1]))
    return rng.uniform([-60, 95, 0.6], [60, 195, 1], (count, 3)) * (1, 1, 1.7)
