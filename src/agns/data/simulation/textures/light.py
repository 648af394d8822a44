"""The light on a frame, and the metal at its temples."""

import numpy as np

from agns.data.simulation.textures.fields import Colours, mix, noise, relief, step


def lit(colours: Colours, rng: np.random.Generator) -> Colours:
    """Shade by the bevel, add its gleam and a window's reflection below the brow."""
    shape = relief()
    normals = shape.normals[int(rng.integers(len(shape.normals)))]
    light = np.array([rng.normal(0, 0.35), -0.9, 1.4], np.float32)
    light /= np.linalg.norm(light)
    diffuse = 0.45 + 0.55 * np.clip(normals @ light, 0, None) / light[2]
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    gleam = np.clip(np.clip(normals @ halfway, 0, None) ** 24 - halfway[2] ** 24, 0, 1)
    gloss = rng.uniform(0.05, 0.3)
    centre, width = rng.uniform(-0.7, 0.7), rng.uniform(0.15, 0.5)
    below, beside = shape.below_brow - rng.uniform(2.5, 3.8), np.abs(shape.u) - abs(centre)
    window = np.exp(-((below / 1.3) ** 2) - (beside / width) ** 2)
    sheen = gloss * gleam + rng.uniform(0, 0.25) * window
    ambient = (1.04 + 0.035 * noise(rng, 2, 4)) * diffuse
    shaded: Colours = colours * ambient[..., None] + sheen[..., None]
    return shaded


def riveted(colours: Colours, rng: np.random.Generator) -> Colours:
    """Set a small metal plate at each temple."""
    shape = relief()
    metal = np.array([0.8, 0.8, 0.82] if rng.random() < 0.6 else [0.82, 0.68, 0.4], np.float32)
    wide, high = rng.uniform(1.0, 3.2), rng.uniform(0.9, 1.4)
    across = (np.abs(shape.u) - 0.92) * 82.5 / wide
    down = (shape.v * 55 - 10) / high
    plate = 1 - step(across**4 + down**4, 1.0, 0.6)
    return mix(colours, metal * (1 - 0.12 * down.clip(-1, 1))[..., None], plate)
