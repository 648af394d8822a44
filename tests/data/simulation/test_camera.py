import math

import numpy as np
import pytest
import torch
from torch import Tensor

from agns.data.simulation.camera import (
    AXES,
    FULL_LIGHT,
    LIGHT_RANGE,
    Scene,
    align_photos,
    draw_scene,
    photograph,
    scene_homography,
)
from agns.errors import ConfigError, ImageContractError
from agns.geometry import transform_points


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_faces(count: int = 1) -> Tensor:
    ys, xs = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    waves = [0.5 + 0.3 * torch.sin(xs / (20 + 3 * part)) * torch.cos(ys / 25) for part in range(3)]
    return torch.stack(waves).expand(count, 3, 224, 224).contiguous()


def test_a_plain_scene_leaves_a_face_nearly_as_it_is() -> None:
    face = smooth_faces()
    photo = photograph(face, Scene(quality=100), rng=draws())
    assert float((photo - face).abs().mean()) < 0.02
    assert float((photo - face).mean().abs()) < 0.002


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll"), [(25, 0, 0), (0, -18, 0), (0, 0, 30), (-20, 12, 9)]
)
def test_the_homography_is_that_of_a_plane_turned_before_a_pinhole(
    yaw: float, pitch: float, roll: float
) -> None:
    """Independently: points are turned one axis after the other, then projected."""
    points = [(0.0, 0.0), (223.0, 0.0), (40.0, 180.0), (111.5, 111.5)]
    expected = []
    for x, y in points:
        across, down, deep = x - 111.5, y - 111.5, 0.0
        a = math.radians(roll)
        across, down = (
            across * math.cos(a) - down * math.sin(a),
            across * math.sin(a) + down * math.cos(a),
        )
        a = math.radians(pitch)
        down, deep = (
            down * math.cos(a) - deep * math.sin(a),
            down * math.sin(a) + deep * math.cos(a),
        )
        a = math.radians(yaw)
        across, deep = (
            across * math.cos(a) - deep * math.sin(a),
            across * math.sin(a) + deep * math.cos(a),
        )
        expected.append((111.5 + 900 * across / (900 + deep), 111.5 + 900 * down / (900 + deep)))
    landed = transform_points(
        torch.tensor(points), scene_homography(Scene(yaw=yaw, pitch=pitch, roll=roll))
    )
    np.testing.assert_allclose(landed.numpy(), expected, atol=2e-3)


def test_a_dot_is_photographed_where_the_homography_says() -> None:
    ys, xs = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    dot = torch.exp(-((xs - 60) ** 2 + (ys - 90) ** 2) / 18).expand(1, 3, 224, 224)
    scene = Scene(yaw=20, pitch=-10, roll=12, quality=100)
    photo = photograph(dot, scene, rng=draws())[0].mean(0)
    bright = (photo - 0.2).clamp_min(0)
    centre = torch.stack([(bright * xs).sum(), (bright * ys).sum()]) / bright.sum()
    expected = transform_points(torch.tensor([[60.0, 90.0]]), scene_homography(scene))[0]
    torch.testing.assert_close(centre, expected, atol=0.3, rtol=0)


def test_little_light_is_dark_and_noisy_and_much_is_bright() -> None:
    grey = torch.full((1, 3, 224, 224), 0.4)
    levels, noises = [], []
    for light in (LIGHT_RANGE[0], FULL_LIGHT, LIGHT_RANGE[1]):
        photo = photograph(grey, Scene(light=light, quality=100), rng=draws())
        levels.append(float(photo.mean()))
        noises.append(float(photo.std()) / levels[-1])
    assert levels[0] < 0.3 < levels[1] == pytest.approx(0.4, abs=0.005)
    assert levels[2] > 0.5
    assert noises[0] > 2 * noises[1] > 2 * noises[2] > 0


def test_blur_cast_and_compression_do_what_they_are_called() -> None:
    edge = torch.zeros(1, 3, 224, 224)
    edge[..., 112:] = 0.8

    def slope(blur: float) -> float:
        photo = photograph(edge, Scene(blur=blur), rng=draws())
        return float((photo[..., 1:] - photo[..., :-1]).mean((1, 2)).amax())

    assert slope(0) > 1.5 * slope(1) > 1.5 * slope(2)
    warm = photograph(smooth_faces(), Scene(cast=0.2), rng=draws()).mean((0, 2, 3))
    cold = photograph(smooth_faces(), Scene(cast=-0.2), rng=draws()).mean((0, 2, 3))
    assert warm[0] > 1.2 * cold[0]
    assert cold[2] > 1.2 * warm[2]
    fine = torch.rand(1, 3, 224, 224, generator=draws())
    kept = [
        float(photograph(fine, Scene(quality=quality), rng=draws()).std()) for quality in (95, 10)
    ]
    assert kept[0] > 1.3 * kept[1]


def test_photos_come_from_the_generator_alone() -> None:
    face = smooth_faces(2)
    first, again, other = (photograph(face, Scene(), rng=draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_drawn_scenes_stay_in_bounds_and_vary() -> None:
    source = draws()
    scenes = [draw_scene(source) for _ in range(300)]
    lights = [scene.light for scene in scenes]
    assert LIGHT_RANGE[0] <= min(lights) < 150
    assert 700 < max(lights) <= LIGHT_RANGE[1]
    assert all(abs(scene.yaw) <= 15 and scene.blur <= 0.8 for scene in scenes)
    assert len({scene.yaw for scene in scenes}) == 300
    assert draw_scene(draws(), strength=0) == Scene()


@pytest.mark.parametrize("name", AXES)
def test_every_axis_is_a_field_whose_values_are_allowed(name: str) -> None:
    scenes = [Scene(**{name: value}) for value in AXES[name]]
    assert len(set(scenes)) == len(AXES[name])
    with pytest.raises(ConfigError, match=name):
        Scene(**{name: 10**6})


def test_what_is_no_face_canvas_is_refused() -> None:
    with pytest.raises(ImageContractError, match="224x224"):
        photograph(torch.zeros(1, 3, 96, 96), Scene(), rng=draws())
    with pytest.raises(ConfigError, match="strength"):
        draw_scene(draws(), strength=2)


def test_a_turned_head_is_aligned_back() -> None:
    ys, xs = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    face = (0.5 + 0.4 * torch.sin(xs / 15) * torch.cos(ys / 17)).expand(1, 3, 224, 224)
    scene = Scene(roll=15, quality=100)
    back = align_photos(photograph(face.contiguous(), scene, rng=draws()), scene)
    inner = (slice(None), slice(None), slice(40, 184), slice(40, 184))
    assert float((back - face)[inner].abs().mean()) < 0.02
