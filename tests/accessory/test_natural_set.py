"""The set of frames that pass for real ones."""

from pathlib import Path

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.natural_set import NaturalSet
from agns.data.simulation.drawn_frames import draw_frames
from agns.errors import ConfigError, DataError
from agns.images import from_pixels
from agns.models.dcgan import sample_latents
from agns.storage import save_tensors
from agns.types import Frames, Pixels


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    return draw_frames(560)


@pytest.fixture(scope="module")
def natural(drawn: Pixels) -> NaturalSet:
    return NaturalSet.fit(drawn[:200], drawn[200:360], directions=40)


def noise(count: int = 8) -> Frames:
    return torch.rand(count, 3, 64, 176, generator=torch.Generator().manual_seed(1))


def test_most_fresh_real_frames_lie_in_the_set(natural: NaturalSet, drawn: Pixels) -> None:
    fresh = from_pixels(drawn[360:])
    assert 0.90 <= float(natural.contains(fresh).float().mean()) <= 1
    calibration = from_pixels(drawn[200:360])
    assert float(natural.contains(calibration).float().mean()) == pytest.approx(0.95, abs=0.02)


def test_noise_and_neon_lie_outside(natural: NaturalSet) -> None:
    blocks = (noise(4)[:, :, ::8, ::8] > 0.5).float()
    neon = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert not bool(natural.contains(torch.cat([noise(), neon])).any())
    assert float(natural.residual(noise()).min()) > natural.residual_bound


def test_frames_drawn_in_lie_in_the_set_and_others_stay_as_they_are(
    natural: NaturalSet, drawn: Pixels
) -> None:
    blocks = (noise(4)[:, :, ::8, ::8] > 0.5).float()
    neon = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
    for outside in (noise(), neon, natural.project(neon)):
        inside = natural.draw_in(outside)
        assert bool(natural.contains(inside).all())
        assert (float(inside.min()), float(inside.max()) <= 1) == (0, True)
        assert not bool(inside[:, :, ~frame_mask().bool()].any())
    real = from_pixels(drawn[360:])
    real = real[natural.room(real) > 1]
    assert torch.allclose(natural.draw_in(real), real, atol=1e-6)


def test_a_share_of_the_bounds_leaves_more_room(natural: NaturalSet) -> None:
    near = natural.draw_in(noise(), share=0.4)
    assert float(natural.room(near).min()) >= 1 / 0.4 - 1e-3


def test_frames_between_one_of_the_set_and_the_mean_are_in_it(natural: NaturalSet) -> None:
    mean, edge = natural.frames(torch.zeros(1, 40)), natural.draw_in(noise())
    for share in (0.2, 0.5, 0.9):
        assert bool(natural.contains(mean + share * (edge - mean)).all())


def test_a_projection_leaves_frames_of_the_plane_alone(natural: NaturalSet) -> None:
    near = natural.frames(0.02 * torch.randn(3, 40, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(natural.project(near), near, atol=1e-5)
    assert float(natural.residual(natural.project(noise())).max()) < 1e-3


def test_what_varies_from_pixel_to_pixel_lies_outside(natural: NaturalSet) -> None:
    mean = natural.frames(torch.zeros(1, 40))
    stripes = 0.2 * (torch.arange(176) % 2 * 2 - 1)
    rough = (mean + stripes).clamp(0, 1) * frame_mask()
    assert float(natural.length(rough)) < natural.bound
    assert float(natural.residual(rough)) < natural.residual_bound
    assert not bool(natural.contains(rough))


def test_projecting_is_differentiable(natural: NaturalSet) -> None:
    leaf = (0.4 + 0.01 * noise(2)).requires_grad_()
    natural.project(leaf).sum().backward()
    assert leaf.grad is not None
    assert float(leaf.grad[:, :, frame_mask().bool()].abs().sum()) > 0


def test_coefficients_and_frames_are_inverse(natural: NaturalSet) -> None:
    # Small ones, so that no value leaves [0, 1].
    wanted = 0.02 * torch.randn(3, 40, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(natural.coefficients(natural.frames(wanted)), wanted, atol=2e-3)


def test_a_set_that_is_written_is_read_the_same(natural: NaturalSet, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    natural.write(path, {"frames": "drawn"})
    again = NaturalSet.read(path)
    for name in ("bound", "residual_bound", "variation_bound"):
        assert getattr(again, name) == pytest.approx(getattr(natural, name))
    assert torch.allclose(again.project(noise()), natural.project(noise()), atol=2e-3)


def test_generated_frames_lie_in_the_set(natural: NaturalSet) -> None:
    from agns.attack.attack import shipped_nets

    with torch.no_grad():
        made = shipped_nets()[0](sample_latents(64, rng=torch.Generator().manual_seed(0)))
    assert float(natural.contains(made).float().mean()) > 0.8


@pytest.mark.parametrize("change", [{"directions": 200}, {"directions": 0}, {"inside": 1.0}])
def test_what_cannot_be_fitted_is_refused(change: dict[str, float], drawn: Pixels) -> None:
    with pytest.raises(ConfigError):
        NaturalSet.fit(drawn[:200], drawn[200:360], **change)  # type: ignore[arg-type]


def test_another_file_is_refused(tmp_path: Path, natural: NaturalSet) -> None:
    path = tmp_path / "other.safetensors"
    save_tensors(path, {"weight": torch.zeros(3)}, {})
    with pytest.raises(DataError, match="no natural set"):
        NaturalSet.read(path)
    tensors = {"mean": natural.mean, "directions": natural.directions[:3],
               "deviations": natural.deviations, "bounds": torch.ones(3)}  # fmt: skip
    save_tensors(path, tensors, {})
    with pytest.raises(DataError, match="no natural set"):
        NaturalSet.read(path)
