"""Uploads: limited, told by their content, and removed."""

from pathlib import Path

import pytest
import torch

from agns.errors import ConfigError, DataError
from agns.images import write_image
from agns.studio import uploads
from agns.studio.uploads import check_weights, read_faces


def test_an_aligned_photo_is_taken_as_it_is_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "ann.png"
    write_image(path, torch.full((3, 224, 224), 0.5))
    faces, sentences = read_faces([str(path)], crop=None)
    assert (len(faces), sentences) == (1, [])
    assert faces[0].landmarks is None
    assert not path.exists()


def test_a_raw_photo_is_aligned_by_a_model_of_this_machine(
    tmp_path: Path, portrait: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dlib")
    monkeypatch.setattr(uploads, "FINDERS", ("dlib",))
    path = tmp_path / "eileen.png"
    write_image(path, portrait)
    (face,), sentences = read_faces([str(path)], crop=None)
    assert sentences == []
    assert face.image.shape == (3, 224, 224)
    assert face.landmarks is not None
    # Between the eyes, as in the canonical pose.
    assert abs(float(face.landmarks[27, 0]) - 114) < 6


def test_files_that_are_refused_are_removed_too(tmp_path: Path) -> None:
    many = [tmp_path / f"{number}.png" for number in range(13)]
    for path in many:
        path.write_bytes(b"x")
    with pytest.raises(ConfigError, match="13 photos came at once"):
        read_faces([str(path) for path in many], crop=None)
    assert not any(path.exists() for path in many)


def test_a_photo_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(uploads.MOST_BYTES + 2**20)
    _, (sentence,) = read_faces([str(path)], crop=None)
    assert sentence == "large.png has 21 MB, and 20 MB are taken: shrink it first"


def test_weights_are_told_by_their_content(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x80\x04\x95 pickled")
    with pytest.raises(DataError, match=r"is a pickle: .* file that agns wrote"):
        check_weights(path)
