"""The drawn set of eyeglasses, kept on disk: drawn once on a machine, then read in a second."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.data.cache import cache_directory, writable
from agns.data.eyeglasses import EYEGLASS_COUNT, draw_frame, draw_frames
from agns.errors import AgnsError
from agns.storage import load_tensors, save_tensors
from agns.types import Pixels, Progress, silent

_PROBES = 20
"""Frames drawn anew at each call, so that a cache from other drawing code is not read."""


def load_drawn_frames(
    count: int = EYEGLASS_COUNT,
    *,
    seed: int = 0,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Pixels:
    """The first frames of a drawn set, from the cache where it holds them.

    Args:
        count: How many frames, at least 1.
        seed: Which set, at least 0.
        cache: Where drawn frames are kept; see `cache_directory` for the default.
        workers: As `draw_frames` takes it.
        progress: Told the frames drawn; not called when they are read.

    Returns:
        (count, 3, 64, 176) RGB bytes, black off the silhouette.

    Raises:
        ConfigError: A negative seed, or a cache that cannot be written to.
    """
    probes = b"".join(draw_frame(index, seed=seed).tobytes() for index in range(_PROBES))
    directory = cache_directory() if cache is None else cache
    name = hashlib.sha256(probes).hexdigest()[:16]
    path = directory / f"frames-{name}-{count}.safetensors"
    chosen = frame_mask().bool()
    if (worn := _read(path, (count, 3, int(chosen.sum())))) is None:
        drawn = draw_frames(count, seed=seed, workers=workers, progress=progress)
        worn = drawn[:, :, chosen]
        with writable(directory):
            save_tensors(path, {"worn": worn}, {"seed": str(seed)})
        return drawn
    frames = torch.zeros(count, 3, *FRAME_SIZE, dtype=torch.uint8)
    frames[:, :, chosen] = worn
    return frames


def _read(path: Path, shape: tuple[int, int, int]) -> Tensor | None:
    """The pixels on the silhouette; None where there are none that can be used."""
    try:
        worn = load_tensors(path)[0]["worn"]
    except (AgnsError, KeyError):
        return None
    return worn if tuple(worn.shape) == shape and worn.dtype == torch.uint8 else None
