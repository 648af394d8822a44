"""How far frames are from what a printer reproduces, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.printability import (
    MOST_COLORS,
    assumed_palette,
    non_printability,
    palette_at,
    read_palette,
)
from agns.errors import ConfigError, DataError
from agns.types import Frames

TWO = torch.tensor([[0.2, 0.4, 0.6], [0.9, 0.1, 0.5]])


@pytest.fixture
def frames(generator: torch.Generator) -> Frames:
    return torch.rand(3, 3, 64, 176, generator=generator)


def palette_of(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(count))


def plain(colors: torch.Tensor) -> Frames:
    """A frame of each colour."""
    return colors[:, :, None, None].expand(-1, -1, 64, 176)


def products(pixels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Of each pixel's distances to all colours, as the paper writes it."""
    return np.prod(np.linalg.norm(pixels[:, None] - palette[None], axis=2), axis=1)


@pytest.mark.parametrize("palette", [TWO, palette_of(7), assumed_palette()], ids=len)
def test_the_score_is_the_papers_product_over_that_of_the_whole_cube(
    palette: torch.Tensor, frames: Frames
) -> None:
    on = frame_mask().numpy() > 0
    colors = palette.double().numpy()
    levels = np.linspace(0, 1, 16)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    usual = products(cube, colors).mean()
    for frame, found in zip(
        frames.double().numpy(), non_printability(frames, palette), strict=True
    ):
        expected = products(frame[:, on].T, colors).mean() / usual
        assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [1, 30, MOST_COLORS])
def test_evenly_spaced_colours_score_one_on_average_with_any_palette(count: int) -> None:
    levels = torch.linspace(0, 1, 16)
    cube = torch.cartesian_prod(levels, levels, levels)
    on = frame_mask().bool()
    # More colours than a frame has pixels: two frames, the rest of the second a colour once more.
    pixels = torch.cat([cube, cube[:1].expand(2 * int(on.sum()) - len(cube), -1)])
    frames = torch.zeros(2, 3, 64, 176)
    frames[:, :, on] = pixels.reshape(2, -1, 3).transpose(1, 2)
    palette = palette_of(count)
    again = float(non_printability(plain(cube[:1]), palette))
    total = float(non_printability(frames, palette).sum()) * int(on.sum())
    assert total - again * (len(pixels) - len(cube)) == pytest.approx(len(cube), rel=1e-3)


def test_the_gradient_is_the_numeric_one(generator: torch.Generator) -> None:
    leaf = torch.rand(1, 3, 64, 176, generator=generator, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(non_printability(leaf, assumed_palette()).sum(), leaf)
    way = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
    ahead, behind = (
        float(non_printability(leaf.detach() + step * way, assumed_palette()).sum())
        for step in (1e-6, -1e-6)
    )
    assert float((gradient * way).sum()) == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


def test_plain_colours_pass_the_gradient_check() -> None:
    colors = palette_of(3).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda some: non_printability(plain(some), TWO), colors, atol=1e-6
    )


def test_many_colours_do_not_underflow() -> None:
    palette = palette_of(MOST_COLORS)
    grey = torch.tensor([[0.5, 0.5, 0.5]])
    assert float((grey - palette).norm(dim=1).prod()) == 0
    leaf = plain(grey.double()).clone().requires_grad_()
    score = non_printability(leaf, palette)
    (gradient,) = torch.autograd.grad(score.sum(), leaf)
    distances = (grey - palette).double()
    lengths = distances.norm(dim=1, keepdim=True)
    # The product's logarithm has a derivative that cannot underflow.
    expected = float(score.detach()) * (distances / lengths**2).sum(0)
    assert float(score.detach()) > 0
    torch.testing.assert_close(
        gradient.sum((0, 2, 3)) / expected, torch.ones(3).double(), rtol=1e-6, atol=0
    )


def test_a_printable_colour_scores_nothing_and_is_not_pulled() -> None:
    leaf = plain(TWO).clone().requires_grad_()
    scores = non_printability(leaf, TWO)
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    assert scores.tolist() == [0, 0]
    assert not gradient.any()


def test_a_step_against_the_gradient_comes_nearer_to_a_printable_colour() -> None:
    leaf = plain(torch.tensor([[0.3, 0.4, 0.6]])).clone().requires_grad_()
    score = non_printability(leaf, TWO)
    (gradient,) = torch.autograd.grad(score.sum(), leaf)
    stepped = leaf.detach() - 0.02 * gradient / gradient.abs().max()
    assert float(non_printability(stepped, TWO)) < 0.9 * float(score.detach())


def test_what_is_never_worn_is_not_scored(frames: Frames) -> None:
    other = torch.where(frame_mask().bool(), frames, 1 - frames)
    assert torch.equal(non_printability(other, TWO), non_printability(frames, TWO))


def test_the_assumed_palette_is_thirty_colours_from_paper_to_ink() -> None:
    palette = assumed_palette()
    assert palette.shape == (30, 3)
    assert len(palette.unique(dim=0)) == 30
    assert 0 < float(palette.min()) < float(palette.max()) < 1
    brightness = palette.sum(1)
    # Bare paper, and black ink on all of it: the formula by hand.
    assert palette[brightness.argmax()].tolist() == pytest.approx([0.85 ** (1 / 2.2)] * 3)
    assert palette[-1].tolist() == pytest.approx([(0.85 * 0.03) ** (1 / 2.2)] * 3)
    green, grey = non_printability(plain(torch.tensor([[0.0, 1, 0], [0.6, 0.6, 0.6]])), palette)
    assert float(green) > 1e3 * float(grey) > 0


def test_a_palette_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "palette.csv"
    path.write_text("\ufeff# measured\n0,128,255\n\n  7 , 8 ,9\n", encoding="utf-8")
    expected = torch.tensor([[0, 128, 255], [7, 8, 9]]) / 255
    assert torch.equal(read_palette(path), expected)
    assert torch.equal(palette_at(str(path)), expected)
    assert palette_at(None) is assumed_palette()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1,2,3\n1,2\n", "line 2: expected a colour r,g,b"),
        ("1,2,3,4\n", "line 1: expected a colour"),
        ("0.5,0.5,0.5\n", "line 1: expected a colour r,g,b in whole numbers from 0 to 255"),
        ("# r,g,b\n1,2,256\n", "line 2: expected a colour"),
        ("1,-2,3\n", "line 1: expected a colour"),
        ("1,2_0,3\n", "line 1: expected a colour"),
        ("r,g,b\n", "got 'r,g,b'"),
        ("1,2,3\n4,5,6\n1, 2, 3\n", "line 3: the colour of line 1 comes again"),
        ("", "should have from 1 to 512 colours, got 0"),
        ("# nothing\n", "should have from 1 to 512 colours, got 0"),
        ("\n".join(f"{n % 256},{n // 256},0" for n in range(513)), "colours, got 513"),
    ],
)
def test_what_is_no_palette_is_told_with_its_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "palette.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"palette\.csv") as caught:
        read_palette(path)
    assert complaint in str(caught.value)


def test_a_palette_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no palette"):
        read_palette(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_palette(tmp_path / "bytes.csv")
