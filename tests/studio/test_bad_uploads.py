"""What comes through the page and is not what was asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.studio.conftest import Studio, Visit

from agns.images import write_image

Visits = Callable[..., Visit]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.png"
    write_image(path, torch.rand(3, 224, 224))
    return path


def left(studio: Studio, name: str) -> list[Path]:
    """What is left of a file that was uploaded."""
    return list(studio.passing.rglob(name))


def test_what_is_no_picture_is_named_and_the_others_are_taken(
    visit: Visits, studio: Studio, tmp_path: Path, good: Path
) -> None:
    (tmp_path / "text.jpg").write_text("not a picture", encoding="utf-8")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:4000])
    (tmp_path / "page.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    seen = visit()
    seen.open("Recognise")
    files = [tmp_path / name for name in ("text.jpg", "cut.png", "page.html")]
    seen.upload("recognise-photos", *files, good)
    seen.see("good.png, aligned already")
    told = seen.page.get_by_role("alert").all_inner_texts()
    assert "Text.jpg does not decode as a picture: it is a text file, no picture." in told
    assert any("Cut.png" in one and "damaged" in one for one in told)
    assert len(told) == 3
    assert not any(str(tmp_path) in one or "/" in one for one in told)
    for file in (*files, good):
        assert left(studio, file.name) == []


def test_too_many_photos_are_refused_and_removed(
    visit: Visits, studio: Studio, tmp_path: Path, good: Path
) -> None:
    files = [tmp_path / f"many{number:02d}.png" for number in range(13)]
    for file in files:
        file.write_bytes(good.read_bytes())
    seen = visit()
    seen.open("Physical")
    seen.upload("physical-photos", *files)
    seen.see("13 photos came at once, and 12 are taken.", "#physical-refused")
    assert left(studio, "many*.png") == []


def test_a_recogniser_that_is_none_is_refused_by_its_content(
    visit: Visits, studio: Studio, tmp_path: Path
) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04\x95 pickled")
    seen = visit()
    seen.page.locator("#upload-recognizer").locator("xpath=..").locator(
        "input[type=file]"
    ).first.set_input_files(tmp_path / "weights.safetensors")
    seen.see("Weights.safetensors is a pickle")
    assert left(studio, "weights.safetensors") == []
    seen.open("Attack")
    seen.see("It knows 10 people")
