"""The drawn set of eyeglasses, and how it is kept on disk."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.data.simulation import drawn_frames
from agns.data.simulation.drawn_frames import (
    EYEGLASS_COUNT,
    PARTS,
    DrawnFrames,
    draw_frame,
    draw_frames,
    load_drawn_frames,
)
from agns.data.simulation.textures.stock import VERSION
from agns.errors import ConfigError
from agns.images import from_pixels
from agns.storage import save_tensors
from agns.types import Pixels

FIRST = (32.75, 31.37, 23.75)
SECOND = (35.57, 29.44, 26.04)
"""Mean red, green and blue of some frames."""


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    return draw_frames(100)


class Pen:
    """Counts the sets drawn."""

    drawings = 0

    def __call__(self, count: int, **options: object) -> Pixels:
        self.drawings += 1
        return draw_frames(count, **options)


@pytest.fixture
def pen(monkeypatch: pytest.MonkeyPatch) -> Pen:
    made = Pen()
    monkeypatch.setattr(drawn_frames, "draw_frames", made)
    return made


def entry(cache: Path) -> Path:
    (found,) = cache.glob("frames-*.safetensors")
    return found


def test_frames_are_those_drawn_and_so_are_those_read(drawn: Pixels, pen: Pen) -> None:
    assert torch.equal(load_drawn_frames(9), drawn[:9])
    assert torch.equal(load_drawn_frames(9), drawn[:9])
    assert pen.drawings == 1


def test_larger_sets_and_other_seeds_have_entries_of_their_own(drawn: Pixels, pen: Pen) -> None:
    load_drawn_frames(7)
    assert torch.equal(load_drawn_frames(9), drawn[:9])
    assert torch.equal(load_drawn_frames(7, seed=4), draw_frames(7, seed=4))
    assert pen.drawings == 3
    assert torch.equal(load_drawn_frames(9), drawn[:9])
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
    assert torch.equal(load_drawn_frames(9), drawn[:9])
    assert pen.drawings == 2
    assert torch.equal(load_drawn_frames(9), drawn[:9])
    assert pen.drawings == 2


def test_an_entry_of_other_drawing_code_is_not_read(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_drawn_frames(3)
    monkeypatch.setattr(
        drawn_frames,
        "draw_frame",
        lambda index, *, seed, version: 255 - draw_frame(index, seed=seed, version=version),
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
    assert torch.equal(load_drawn_frames(9), drawn[:9])


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

    monkeypatch.setattr(drawn_frames, "draw_frames", draw_meanwhile)
    load_drawn_frames(3)
    assert [(one, one.stat().st_ino) for one in cache.iterdir()] == [(entry, stored)]


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are drawn four at a time."""
    monkeypatch.setattr(drawn_frames, "_BATCH", 4)


def test_frames_are_as_many_as_the_original_data_set_had() -> None:
    assert EYEGLASS_COUNT == 16_680


def test_frames_are_the_same_for_the_same_index_and_seed() -> None:
    assert np.array_equal(draw_frame(7, seed=3), draw_frame(7, seed=3))


def test_frames_differ_with_the_seed() -> None:
    assert not np.array_equal(draw_frame(7, seed=3), draw_frame(7, seed=4))


def test_frames_are_black_off_the_silhouette(drawn: Pixels) -> None:
    assert not drawn[:, :, frame_mask() == 0].any()


def test_frames_show_on_the_silhouette(drawn: Pixels) -> None:
    shares = drawn[:, :, frame_mask() == 1].amax(1).gt(0).float().mean(1)
    assert float(shares.min()) > 0.95


def test_no_two_frames_are_equal(drawn: Pixels) -> None:
    assert len({frame.numpy().tobytes() for frame in drawn}) == len(drawn)


def test_frames_vary_more_from_one_to_another_than_within_one(drawn: Pixels) -> None:
    colours = from_pixels(drawn)[:, :, frame_mask() == 1]
    assert float(colours.mean(2).std(0).mean()) > float(colours.std(2).mean())


def test_frames_are_smooth_from_pixel_to_pixel(drawn: Pixels) -> None:
    both = (frame_mask()[:, 1:] * frame_mask()[:, :-1]) == 1
    steps = from_pixels(drawn).diff(dim=3).abs()[:, :, both]
    assert float(steps.mean()) < 0.05


def test_frames_start_anywhere_in_the_set(drawn: Pixels) -> None:
    assert torch.equal(draw_frames(5, start=90), drawn[90:95])


def test_frames_hold_the_pixels_of_draw_frame(drawn: Pixels) -> None:
    assert np.array_equal(drawn[11].permute(1, 2, 0).numpy(), draw_frame(11))


@pytest.mark.usefixtures("small_batches")
def test_frames_drawn_in_processes_are_the_same(
    drawn: Pixels, handed_over: Callable[..., Iterator[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn_frames, "each_in_order", handed_over)
    assert torch.equal(draw_frames(10, workers=2), drawn[:10])


def test_no_frame_is_in_two_parts() -> None:
    indices = [index for part in PARTS.values() for index in part]
    assert len(indices) == len(set(indices))
    assert PARTS["fitting"] == range(EYEGLASS_COUNT)


def test_parts_share_no_frame_either() -> None:
    frames = [draw_frames(12, start=part.start) for part in PARTS.values()]
    assert len({frame.numpy().tobytes() for part in frames for frame in part}) == 36


def test_a_part_holds_the_frames_of_the_set_at_its_indices() -> None:
    judges = DrawnFrames.of("judges", seed=3)
    assert len(judges) == len(PARTS["judges"])
    start = PARTS["judges"].start
    assert torch.equal(judges[torch.tensor([4])], draw_frames(1, start=start + 4, seed=3))


def test_the_first_version_holds_the_frames_that_the_shipped_nets_learnt_from() -> None:
    means = draw_frames(8, version=1).float().mean((0, 2, 3))
    assert means.tolist() == pytest.approx(FIRST, abs=0.2)


def test_the_version_changes_with_the_frames(drawn: Pixels) -> None:
    # Where this fails because other frames are drawn, raise `VERSION` with the numbers.
    means = drawn[:40].float().mean((0, 2, 3))
    assert (VERSION, means.tolist()) == (2, pytest.approx(SECOND, abs=0.2))


def test_a_version_has_a_cache_entry_of_its_own(pen: Pen) -> None:
    load_drawn_frames(3)
    assert torch.equal(load_drawn_frames(3, version=1), draw_frames(3, version=1))
    assert pen.drawings == 2


def test_frames_can_be_none() -> None:
    assert draw_frames(0).shape == (0, 3, 64, 176)


@pytest.mark.usefixtures("small_batches")
def test_drawing_reports_its_progress() -> None:
    reports: list[tuple[int, int]] = []
    draw_frames(5, progress=lambda done, total, figures: reports.append((done, total)))
    assert reports == [(4, 5), (5, 5)]


@pytest.mark.parametrize(
    "draw",
    [lambda: draw_frame(-1), lambda: draw_frame(0, seed=-1), lambda: draw_frames(-2)],
)
def test_drawing_refuses_negative_numbers(draw: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match="must be at least 0"):
        draw()
