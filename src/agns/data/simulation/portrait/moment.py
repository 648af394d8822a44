"""What one photo does to a face: pose, expression, light, surroundings, camera."""

from dataclasses import dataclass

import numpy as np

from agns.data.simulation.portrait.brush import Colour


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


def moment(generator: np.random.Generator) -> Moment:
    """Draw the circumstances of one photo."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def about(spread: float) -> float:
        return spread * float(np.clip(generator.standard_normal(), -2, 2))

    smile = between(-0.15, 1) if generator.random() < 0.75 else 0.0
    gap = between(1, 9) * max(smile, 0.25) if generator.random() < 0.42 else 0.0
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
