from pathlib import Path

import pytest
import torch

from agns.data.landmarks import largest_first, read_landmarks, write_landmarks
from agns.errors import DataError
from agns.writing import write_text


def test_faces_are_sorted_by_their_box() -> None:
    square = torch.rand(68, 2, generator=torch.Generator().manual_seed(0))
    faces = torch.stack([square, 3 * square, 2 * square])
    assert torch.equal(largest_first(faces), faces[[1, 2, 0]])


def test_landmarks_come_back_as_they_were_written(tmp_path: Path) -> None:
    points = 200 * torch.rand(68, 2, generator=torch.Generator().manual_seed(1))
    write_landmarks(tmp_path / "face.csv", points)
    torch.testing.assert_close(read_landmarks(tmp_path / "face.csv"), points, atol=6e-4, rtol=0)
    assert torch.equal(
        read_landmarks(tmp_path / "face.csv", first=1), read_landmarks(tmp_path / "face.csv") - 1
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1,2\n" * 67, "holds 67 lines"),
        ("1,2\n" * 69, "holds 69 lines"),
        ("1,2,3\n" * 68, "68 lines of x,y"),
        ("1,2\n" * 67 + "1,two\n", "'two'"),
        ("1,2\n" * 67 + "1,nan\n", "finite"),
        ("", "holds 0 lines"),
    ],
)
def test_files_that_are_not_landmarks_are_refused(
    text: str, complaint: str, tmp_path: Path
) -> None:
    write_text(tmp_path / "face.csv", text)
    with pytest.raises(DataError, match=complaint):
        read_landmarks(tmp_path / "face.csv")


def test_a_file_of_landmarks_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="68 lines"):
        read_landmarks(tmp_path / "face.csv")


def test_spaces_and_byte_order_marks_do_not_matter(tmp_path: Path) -> None:
    points = torch.arange(136.0).reshape(68, 2)
    lines = "".join(f"{x:g}, {y:g}\r\n" for x, y in points.tolist())
    (tmp_path / "face.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert torch.equal(read_landmarks(tmp_path / "face.csv"), points)


def test_a_file_too_large_for_landmarks_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(DataError, match=r"huge\.csv should hold 68 lines of x,y, but is 171798691"):
        read_landmarks(tmp_path / "huge.csv")
