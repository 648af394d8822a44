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
    chosen = frame_mask().bool()
    if (worn := _read(directory, f"frames-{name}", count, int(chosen.sum()))) is None:
        path = directory / f"frames-{name}-{count}.safetensors"
        damaged = path.is_file()
        drawn = draw_frames(count, seed=seed, workers=workers, progress=progress)
        with writable(directory):
            # Where another process has stored them meanwhile, a third may be reading.
            if damaged or not path.is_file():
                save_tensors(path, {"worn": drawn[:, :, chosen]}, {"seed": str(seed)})
        return drawn
    frames = torch.zeros(count, 3, *FRAME_SIZE, dtype=torch.uint8)
    frames[:, :, chosen] = worn
    return frames


def _read(directory: Path, name: str, count: int, pixels: int) -> Tensor | None:
    """The pixels on the silhouette, of the smallest set that begins with these frames.

    None where there is no such set that can be used.
    """
    sizes = {
        int(path.stem.rpartition("-")[2]): path
        for path in directory.glob(f"{name}-*.safetensors")
        if path.stem.rpartition("-")[2].isdecimal()
    }
    for size in sorted(size for size in sizes if size >= count):
        try:
            worn = load_tensors(sizes[size])[0]["worn"]
        except (AgnsError, KeyError):
            continue
        if tuple(worn.shape) == (size, 3, pixels) and worn.dtype == torch.uint8:
            return worn[:count]
    return None
