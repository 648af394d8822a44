"""The drawn set of eyeglasses, for the generator to learn from; kept on disk once it is drawn."""

import functools
import hashlib
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.data.cache import cache_directory, writable
from agns.data.simulation.textures.stock import VERSION, chosen, painted
from agns.data.workers import each_in_order
from agns.errors import AgnsError, ConfigError
from agns.storage import load_tensors, save_tensors
from agns.types import Glasses, Pixels, Progress, silent

_PROBES = 20
"""Frames drawn anew at each call, so that a cache from other drawing code is not read."""

EYEGLASS_COUNT = 16_680
"""Frames in the drawn set: as many as the original data set of shop pictures had."""

Part = Literal["fitting", "calibration", "judges"]

PARTS: dict[Part, range] = {
    "fitting": range(EYEGLASS_COUNT),
    "calibration": range(EYEGLASS_COUNT, EYEGLASS_COUNT + 4000),
    "judges": range(EYEGLASS_COUNT + 4000, EYEGLASS_COUNT + 8000),
}
"""Indices of each part of a drawn set; no frame is in two, and no two indices draw the same.

Networks are trained and sets of natural frames fitted on the first part, thresholds set on the
second, and attacks judged by the third. The first is all that is drawn where no part is named."""

_BATCH = 120
"""Frames drawn between two reports."""


def draw_frame(
    index: int, *, seed: int = 0, version: int = VERSION
) -> UInt8[np.ndarray, "64 176 3"]:
    """Draw one frame of a set, the same for the same index, seed and version.

    Returns:
        RGB bytes, black off the silhouette.

    Raises:
        ConfigError: The index or the seed is negative, or there is no such version.
    """
    if index < 0 or seed < 0:
        raise ConfigError(f"a frame's index and seed must be at least 0, got {index} and {seed}")
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    return painted(chosen(rng, version), rng)


def _draw_batch(seed: int, version: int, indices: range) -> UInt8[np.ndarray, "count 3 64 176"]:
    """Consecutive frames, channels first."""
    frames = np.stack([draw_frame(index, seed=seed, version=version) for index in indices])
    return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))


def draw_frames(
    count: int = EYEGLASS_COUNT,
    *,
    start: int = 0,
    seed: int = 0,
    version: int = VERSION,
    workers: int = 0,
    progress: Progress = silent,
) -> Pixels:
    """Draw frames `start` to `start + count` of a set.

    Args:
        count: How many frames, at least 0.
        start: Index of the first.
        seed: Which set, at least 0.
        version: Of the stock: 2, or 1 for the plain families alone.
        workers: Processes to draw in; with 0 or 1 this process draws, to the same result. They are
            spawned, so a script must call this below `if __name__ == "__main__"`.
        progress: Told the frames drawn, some hundred at a time.

    Returns:
        (count, 3, 64, 176) RGB bytes, black off the silhouette.

    Raises:
        ConfigError: A negative count, start, seed or number of workers, or no such version.
    """
    if min(count, start, seed, workers) < 0:
        raise ConfigError(
            "count, start, seed and workers must be at least 0, "
            f"got {count}, {start}, {seed} and {workers}"
        )
    stop = start + count
    batches = [range(at, min(at + _BATCH, stop)) for at in range(start, stop, _BATCH)]
    frames = torch.empty(count, 3, *FRAME_SIZE, dtype=torch.uint8)
    draw = functools.partial(_draw_batch, seed, version)
    done = 0
    for batch in each_in_order(draw, batches, workers=workers):
        frames[done : done + len(batch)] = torch.from_numpy(batch)
        done += len(batch)
        progress(done, len(frames), {})
    return frames


class DrawnFrames:
    """`count` frames of a drawn set, each of which is drawn when it is first asked for."""

    def __init__(
        self,
        count: int = EYEGLASS_COUNT,
        *,
        start: int = 0,
        seed: int = 0,
        version: int = VERSION,
    ) -> None:
        self._count, self._start = count, start
        self._draw = functools.partial(draw_frames, 1, seed=seed, version=version)
        self._drawn: dict[int, Tensor] = {}

    @classmethod
    def of(cls, part: Part, *, seed: int = 0) -> "DrawnFrames":
        """The frames of a part."""
        return cls(len(PARTS[part]), start=PARTS[part].start, seed=seed)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, places: Int64[Tensor, " chosen"]) -> Pixels:
        """(chosen, 3, 64, 176) RGB bytes, those of `draw_frames` at these places."""
        for place in set(places.tolist()) - self._drawn.keys():
            self._drawn[place] = self._draw(start=self._start + place)[0]
        frames = [self._drawn[place] for place in places.tolist()]
        return torch.stack(frames) if frames else draw_frames(0)


RealFrames: TypeAlias = Glasses | DrawnFrames
"""Real eyeglasses, (frames, 3, 64, 176) bytes, or the drawn set."""


def load_drawn_frames(
    count: int = EYEGLASS_COUNT,
    *,
    seed: int = 0,
    version: int = VERSION,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Pixels:
    """What `draw_frames` draws, from the cache where it holds them; reading is not reported.

    Raises:
        ConfigError: A negative seed, no such version, or a cache that cannot be written to.
    """
    probes = b"".join(
        draw_frame(index, seed=seed, version=version).tobytes() for index in range(_PROBES)
    )
    directory = cache_directory() if cache is None else cache
    name = hashlib.sha256(probes).hexdigest()[:16]
    chosen = frame_mask().bool()
    if (worn := _read(directory, f"frames-{name}", count, int(chosen.sum()))) is None:
        path = directory / f"frames-{name}-{count}.safetensors"
        damaged = path.is_file()
        drawn = draw_frames(count, seed=seed, version=version, workers=workers, progress=progress)
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
    sizes = [path.stem.rpartition("-")[2] for path in directory.glob(f"{name}-*.safetensors")]
    for size in sorted(int(size) for size in sizes if size.isdecimal() and int(size) >= count):
        try:
            worn = load_tensors(directory / f"{name}-{size}.safetensors")[0]["worn"]
        except (AgnsError, KeyError):
            continue
        if tuple(worn.shape) == (size, 3, pixels) and worn.dtype == torch.uint8:
            return worn[:count]
    return None
