"""The drawn set, kept on disk."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.data import eyeglass_cache
from agns.data.eyeglass_cache import load_drawn_frames
from agns.data.eyeglasses import draw_frame, draw_frames
from agns.errors import ConfigError
from agns.storage import save_tensors
from agns.types import Pixels


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    return draw_frames(9)


class Pen:
    """Counts the sets drawn."""

    drawings = 0

    def __call__(self, count: int, **options: object) -> Pixels:
        self.drawings += 1
        return draw_frames(count, **options)


@pytest.fixture
def pen(monkeypatch: pytest.MonkeyPatch) -> Pen:
    made = Pen()
    monkeypatch.setattr(eyeglass_cache, "draw_frames", made)
    return made


def entry(cache: Path) -> Path:
    (found,) = cache.glob("frames-*.safetensors")
    return found


def test_frames_are_those_drawn_and_so_are_those_read(drawn: Pixels, pen: Pen) -> None:
    assert torch.equal(load_drawn_frames(9), drawn)
    assert torch.equal(load_drawn_frames(9), drawn)
    assert pen.drawings == 1


def test_larger_sets_and_other_seeds_have_entries_of_their_own(drawn: Pixels, pen: Pen) -> None:
    load_drawn_frames(7)
    assert torch.equal(load_drawn_frames(9), drawn)
    assert torch.equal(load_drawn_frames(7, seed=4), draw_frames(7, seed=4))
    assert pen.drawings == 3
    assert torch.equal(load_drawn_frames(9), drawn)
    assert pen.drawings == 3


def test_the_first_frames_of_a_larger_set_are_not_drawn_again(drawn: Pixels, pen: Pen) -> None:
    load_drawn_frames(9)
    assert torch.equal(load_drawn_frames(7), drawn[:7])
    assert pen.drawings == 1


def test_the_cache_named_is_the_one_used(tmp_path: Path, cache: Path, pen: Pen) -> None:
    load_drawn_frames(3, cache=tmp_path / "other")
    assert entry(tmp_path / "other").is_file()
    assert not cache.exists()
    load_drawn_frames(3, cache=tmp_path / "other")
    assert pen.drawings == 1


def spoil_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def spoil_kind(path: Path) -> None:
    path.write_text("not weights", encoding="utf-8")


def spoil_name(path: Path) -> None:
    save_tensors(path, {"bare": torch.zeros(1)}, {})


def spoil_shape(path: Path) -> None:
    inside = int(frame_mask().sum())
    save_tensors(path, {"worn": torch.zeros(8, 3, inside, dtype=torch.uint8)}, {})


def spoil_type(path: Path) -> None:
    save_tensors(path, {"worn": torch.zeros(9, 3, int(frame_mask().sum()))}, {})


@pytest.mark.parametrize("spoil", [spoil_bytes, spoil_kind, spoil_name, spoil_shape, spoil_type])
def test_a_damaged_entry_is_drawn_again_and_mended(
    drawn: Pixels, pen: Pen, cache: Path, spoil: Callable[[Path], None]
) -> None:
    load_drawn_frames(9)
    spoil(entry(cache))
    assert torch.equal(load_drawn_frames(9), drawn)
    assert pen.drawings == 2
    assert torch.equal(load_drawn_frames(9), drawn)
    assert pen.drawings == 2


def test_an_entry_of_other_drawing_code_is_not_read(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_drawn_frames(3)
    monkeypatch.setattr(
        eyeglass_cache, "draw_frame", lambda index, *, seed: 255 - draw_frame(index, seed=seed)
    )
    load_drawn_frames(3)
    assert pen.drawings == 2


def test_drawing_is_reported_and_reading_is_not() -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
        told.append((done, total))

    load_drawn_frames(5, progress=progress)
    assert told == [(5, 5)]
    load_drawn_frames(5, progress=progress)
    assert told == [(5, 5)]


def test_frames_may_be_written_to_without_changing_what_is_kept(drawn: Pixels) -> None:
    load_drawn_frames(9).zero_()
    load_drawn_frames(9).zero_()
    assert torch.equal(load_drawn_frames(9), drawn)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed"):
        load_drawn_frames(3, seed=-1)


def test_a_cache_that_cannot_be_written_to_is_a_config_error_with_a_way_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="set AGNS_CACHE"):
        load_drawn_frames(3, cache=tmp_path / "file")


def test_what_another_process_has_stored_meanwhile_is_not_replaced(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_drawn_frames(3)
    (entry,) = cache.iterdir()
    stored, away = entry.stat().st_ino, entry.rename(tmp_path / "away")

    def draw_meanwhile(*given: int, **named: object) -> Pixels:
        away.rename(entry)
        return draw_frames(*given)

    monkeypatch.setattr(eyeglass_cache, "draw_frames", draw_meanwhile)
    load_drawn_frames(3)
    assert [(one, one.stat().st_ino) for one in cache.iterdir()] == [(entry, stored)]
