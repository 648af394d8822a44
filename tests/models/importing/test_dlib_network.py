"""dlib's own network, beside dlib itself."""

from pathlib import Path

import pytest
import torch
from numpy.typing import NDArray

from agns.errors import ConfigError, WeightsError
from agns.models.dlib_resnet import MEAN, SIZE
from agns.models.embedder import dlib_embedder
from agns.models.importing.dlib_network import FILE, dlib_file, read_dlib
from agns.models.preprocessing import CHIPS, Preprocessing
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.start import dlib_start

dlib = pytest.importorskip("dlib")


def portrait() -> "NDArray[object]":
    from skimage import data

    return data.astronaut()  # type: ignore[no-any-return]


def test_embeddings_are_those_of_dlib_on_the_same_chips() -> None:
    corners = ((20, 150), (0, 200), (100, 100), (200, 300))
    chips = [portrait()[y : y + SIZE, x : x + SIZE].copy() for y, x in corners]
    own = torch.stack([torch.from_numpy(chip) for chip in chips]).permute(0, 3, 1, 2).float()
    mean = torch.tensor(MEAN)[:, None, None]
    with torch.no_grad():
        embedded = read_dlib()((own - mean) / 256)
    native = dlib.face_recognition_model_v1(str(dlib_file()))
    expected = [torch.tensor(list(native.compute_face_descriptor(chip))) for chip in chips]
    assert (embedded - torch.stack(expected)).abs().max() < 1e-5


def test_a_face_comes_to_dlib_as_its_chip_in_its_own_range() -> None:
    seen = Preprocessing(size=SIZE, low=0, high=255, mean=MEAN, deviation=256, chip="dlib")
    faces = torch.rand(1, 3, 224, 224)
    chips = seen.chips(faces)
    assert chips.shape == (1, 3, SIZE, SIZE)
    assert torch.allclose(seen(faces), (chips * 255 - torch.tensor(MEAN)[:, None, None]) / 256)
    # The middle of the eyes in the canonical pose, and in dlib's chip.
    (a, b, x), (c, d, y) = CHIPS["dlib"]
    assert (a * 112 + b * 86 + x, c * 112 + d * 86 + y) == pytest.approx((72.3, 51.6), abs=0.1)


def test_gradients_reach_the_canonical_face() -> None:
    faces = torch.rand(1, 3, 224, 224).requires_grad_()
    dlib_embedder()(faces).square().sum().backward()
    assert faces.grad is not None
    assert bool(faces.grad.any())


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(ConfigError, match="there is no file"):
        read_dlib(path)
    content = bytearray(dlib_file().read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        read_dlib(path)


def test_a_head_on_dlib_is_saved_whole_and_read_back(tmp_path: Path) -> None:
    recognizer = build_recognizer("dlib", ("Ann", "Bob"), rng=torch.Generator())
    dlib_start().give(recognizer)
    path = tmp_path / "recognizer.safetensors"
    recognizer.eval().write(path)
    faces = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(Recognizer.read(path)(faces), recognizer(faces))
        assert torch.allclose(recognizer.describe(faces), 10 * dlib_embedder()(faces), atol=1e-5)
