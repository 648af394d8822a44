"""The original's eyeglass networks, against its layers written out in NumPy and SciPy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from agns.accessory.frame import frame_mask
from agns.errors import WeightsError
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.importing import import_weights, matgan

Write = Callable[..., Path]
Cell = Callable[..., np.ndarray]
GENERATOR = [(25, 7040), (160, 80, 5, 5), (80, 40, 5, 5), (40, 20, 5, 5), (20, 3, 5, 5)]
DISCRIMINATOR = [(20, 3, 5, 5), (40, 20, 5, 5), (80, 40, 5, 5), (160, 80, 5, 5), (7040, 1)]


def drawn_matrices(shapes: list[tuple[int, ...]], norms: list[int]) -> list[np.ndarray]:
    """Weights, each followed by scale and shift where its layer has a batch norm."""
    draws = np.random.default_rng(0)
    matrices = []
    for index, shape in enumerate(shapes):
        fan = shape[0] if len(shape) == 2 else shape[1] * 12
        matrices.append(draws.normal(0, fan**-0.5, shape).astype(np.float32))
        if index in norms:
            channels = shape[1] if shapes is GENERATOR else shape[0]
            matrices.append(draws.uniform(0.5, 1.5, (1, channels)).astype(np.float32))
            matrices.append(draws.normal(0, 0.3, (1, channels)).astype(np.float32))
    return matrices


@pytest.fixture(scope="module")
def drawing() -> list[np.ndarray]:
    return drawn_matrices(GENERATOR, [0, 1, 2, 3])


@pytest.fixture(scope="module")
def judging() -> list[np.ndarray]:
    return drawn_matrices(DISCRIMINATOR, [1, 2, 3])


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics of few samples, for speed."""
    monkeypatch.setattr(matgan, "_LATENTS", 24)
    monkeypatch.setattr(matgan, "_FRAMES", 8)


def moments(channels: list[int]) -> list[dict[str, np.ndarray]]:
    draws = np.random.default_rng(1)
    return [
        {"mu": draws.normal(0, 0.2, (1, n)), "v": draws.uniform(0.2, 2, (1, n))} for n in channels
    ]


def normalised(
    x: np.ndarray, gain: np.ndarray, shift: np.ndarray, pair: dict[str, np.ndarray]
) -> np.ndarray:
    axes = (1, -1, *(1,) * (x.ndim - 2))
    mu, v, gain, shift = (
        np.float64(array).reshape(axes) for array in (pair["mu"], pair["v"], gain, shift)
    )
    return gain * (x - mu) / np.sqrt(v + 1e-8) + shift


def doubled(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Transposed convolution with the mirrored kernel: each pixel paints one, two cropped off."""
    count, _, height, width = x.shape
    canvas = np.zeros((count, weight.shape[1], 2 * height + 3, 2 * width + 3))
    for row in range(height):
        for column in range(width):
            painted = np.einsum("nc,cohw->nohw", x[:, :, row, column], weight[..., ::-1, ::-1])
            canvas[:, :, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5] += painted
    return canvas[:, :, 2:-1, 2:-1]


def halved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """True convolution at every other pixel."""
    padded = np.pad(x, [(0, 0), (0, 0), (2, 2), (2, 2)])
    return np.stack(
        [
            [
                sum(
                    convolve2d(channel, kernel, "valid")
                    for channel, kernel in zip(picture, filters, strict=True)
                )[::2, ::2]
                for filters in weight
            ]
            for picture in padded
        ]
    )


def test_the_generator_draws_what_the_originals_layers_draw(
    tmp_path: Path,
    write_mat: Write,
    cell: Cell,
    structs: Callable[..., np.ndarray],
    drawing: list[np.ndarray],
    generator: torch.Generator,
) -> None:
    path = write_mat(tmp_path / "gen.mat", {"matrices": cell(*drawing)})
    pairs = moments([7040, 80, 40, 20])
    write_mat(tmp_path / "batchnom_parameters_gen.mat", {"gen_batchnorm_params": structs(pairs)})
    imported = import_weights(path, "generator")
    assert "batchnom_parameters_gen.mat" in imported.kind
    latents = sample_latents(2, rng=generator)
    with torch.no_grad():
        ours = imported.network(latents).numpy()

    x = latents.double().numpy() @ drawing[0]
    x = np.maximum(normalised(x, drawing[1], drawing[2], pairs[0]), 0).reshape(-1, 160, 4, 11)
    for index in (1, 2, 3):
        x = doubled(x, drawing[3 * index])
        norm = drawing[3 * index + 1], drawing[3 * index + 2], pairs[index]
        x = np.maximum(normalised(x, *norm), 0)
    x = (np.tanh(doubled(x, drawing[12])) + 1) / 2
    mask = frame_mask().numpy()
    assert x.shape == (2, 3, 64, 176)
    assert x.std() > 0.05
    np.testing.assert_allclose(ours, x * mask, atol=2e-5)

    imported.save(tmp_path / "g.safetensors", "gen.mat")
    with torch.no_grad():
        again = Generator.read(tmp_path / "g.safetensors")(latents).numpy()
    np.testing.assert_array_equal(again, ours)


def test_the_discriminator_judges_as_the_originals_layers_do(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    structs: Callable[..., np.ndarray],
    judging: list[np.ndarray],
    generator: torch.Generator,
) -> None:
    path = write_mat5(tmp_path / "discrim.mat", {"matrices": cell(*judging)})
    pairs = moments([40, 80, 160])
    write_mat5(
        tmp_path / "batchnom_parameters_discrim.mat",
        {"discrim_batchnorm_params": structs(pairs)},
    )
    imported = import_weights(path, "discriminator")
    frames = torch.rand(2, 3, 64, 176, generator=generator)
    with torch.no_grad():
        ours = imported.network(frames).numpy()

    x = halved(2 * frames.double().numpy() - 1, judging[0])
    x = np.where(x < 0, 0.2 * x, x)
    for at, pair in zip((1, 4, 7), pairs, strict=True):
        x = normalised(halved(x, judging[at]), judging[at + 1], judging[at + 2], pair)
        x = np.where(x < 0, 0 if at == 7 else 0.2 * x, x)
    theirs = (x.reshape(2, -1) @ judging[10])[:, 0]
    assert abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)

    imported.save(tmp_path / "d.safetensors", "discrim.mat")
    with torch.no_grad():
        again = Discriminator.read(tmp_path / "d.safetensors")(frames).numpy()
    np.testing.assert_array_equal(again, ours)


def test_without_moments_a_generator_is_given_those_of_many_latents(
    tmp_path: Path, write_mat5: Write, cell: Cell, drawing: list[np.ndarray]
) -> None:
    path = write_mat5(tmp_path / "gen.mat", {"matrices": cell(*drawing)})
    network = import_weights(path, "generator").network
    assert isinstance(network, Generator)
    assert not network.training
    latents = sample_latents(24, rng=torch.Generator().manual_seed(0))
    with torch.no_grad():
        measured = network(latents)
        # In training mode it normalises by the batch's own statistics, as the original does.
        of_the_batch = network.train()(latents)
    torch.testing.assert_close(measured, of_the_batch, atol=1e-4, rtol=1e-4)
    again = import_weights(path, "generator").network.state_dict()
    fresh = import_weights(path, "generator").network.state_dict()
    assert all(torch.equal(again[name], fresh[name]) for name in again)


def test_without_moments_a_discriminator_is_given_those_of_drawn_and_generated_frames(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    drawing: list[np.ndarray],
    judging: list[np.ndarray],
) -> None:
    path = write_mat5(tmp_path / "discrim.mat", {"matrices": cell(*judging)})
    alone = import_weights(path, "discriminator")
    write_mat5(tmp_path / "gen.mat", {"matrices": cell(*drawing)})
    beside = import_weights(path, "discriminator")
    assert alone.kind.endswith("drawn eyeglasses")
    assert beside.kind.endswith("drawn eyeglasses and gen.mat's")
    assert isinstance(alone.network, Discriminator)
    assert isinstance(beside.network, Discriminator)
    means = [network.see[3].running_mean for network in (alone.network, beside.network)]
    assert not torch.equal(*means)
    # What it does not have can still be trained, and says nothing until then.
    assert alone.network.compare.project.weight.std() > 0.01
    assert torch.count_nonzero(alone.network.judge.weight[:, 7040:]) == 0


@pytest.mark.parametrize(
    ("change", "arch", "complaint"),
    [
        (lambda m: m[:-1], "generator", "holds 12 matrices, and a generator has 13"),
        (lambda m: m, "discriminator", "holds 13 matrices, and a discriminator has 11"),
        (
            lambda m: [m[0][:, :7000], *m[1:]],
            "generator",
            r"matrices\{1\} comes to \(7000, 25\), expected \(7040, 25\)",
        ),
        (
            lambda m: [*m[:3], m[3].transpose(1, 0, 2, 3), *m[4:]],
            "generator",
            r"matrices\{4\} comes to \(80, 160, 5, 5\), expected \(160, 80, 5, 5\)",
        ),
        (lambda m: ["text", *m[1:]], "generator", r"matrices\{1\} is not an array of real"),
        (
            lambda m: [*m[:-1], m[-1] * np.float32(np.nan)],
            "generator",
            r"matrices\{13\} holds a number that is not finite",
        ),
    ],
)
def test_other_matrices_are_refused(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    drawing: list[np.ndarray],
    change: Callable[[list[np.ndarray]], list[object]],
    arch: str,
    complaint: str,
) -> None:
    path = write_mat5(tmp_path / "gen.mat", {"matrices": cell(*change(drawing))})
    with pytest.raises(WeightsError, match=complaint):
        import_weights(path, arch)


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        (moments([7040, 80, 40]), "holds 3 pairs of moments, expected 4"),
        (
            moments([7040, 80, 41, 20]),
            r"mu of layer 3 comes to \(41,\), expected \(40,\)",
        ),
        (
            [{"mu": pair["mu"], "v": -pair["v"]} for pair in moments([7040, 80, 40, 20])],
            "v of layer 1 holds a negative variance",
        ),
    ],
)
def test_other_moments_are_refused(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    structs: Callable[..., np.ndarray],
    drawing: list[np.ndarray],
    pairs: list[dict[str, np.ndarray]],
    complaint: str,
) -> None:
    path = write_mat5(tmp_path / "gen.mat", {"matrices": cell(*drawing)})
    beside = tmp_path / "batchnom_parameters_gen.mat"
    write_mat5(beside, {"gen_batchnorm_params": structs(pairs)})
    with pytest.raises(WeightsError, match=complaint):
        import_weights(path, "generator")


def test_a_file_without_matrices_is_no_generator(tmp_path: Path, write_mat5: Write) -> None:
    path = write_mat5(tmp_path / "gen.mat", {"net": {"layers": 1.0}})
    with pytest.raises(WeightsError, match="lacks the cell array matrices"):
        import_weights(path, "generator")
