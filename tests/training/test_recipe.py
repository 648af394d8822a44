"""The settings that recognisers are trained with, and what follows from them."""

import math

import pytest
import torch

from agns.errors import ConfigError
from agns.training.recipe import RecognizerTraining, photo_weights, rate_share, set_rate


@pytest.mark.parametrize(
    ("balance", "expected"), [(0, [1, 1, 1, 1]), (1, [1 / 3, 1 / 3, 1 / 3, 1])]
)
def test_photos_are_weighted_evenly_or_identities_are(
    balance: float, expected: list[float]
) -> None:
    weights = photo_weights(torch.tensor([0, 0, 0, 2]), balance)
    torch.testing.assert_close(weights, torch.tensor(expected).double())


def test_weights_in_between_follow_the_power_of_an_identitys_photos() -> None:
    labels = [1, 0, 0, 1, 1, 2, 1]
    expected = [1 / math.sqrt(labels.count(label)) for label in labels]
    weights = photo_weights(torch.tensor(labels), 0.5)
    torch.testing.assert_close(weights, torch.tensor(expected).double())


def test_the_rate_rises_linearly_and_falls_along_half_a_cosine() -> None:
    shares = [rate_share(step, 16, 0.25) for step in range(16)]
    assert shares[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    fall = [math.cos(math.pi / 2 * step / 12) ** 2 for step in range(12)]
    assert shares[4:] == pytest.approx(fall)


def test_a_rate_reaches_every_parameter() -> None:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], 1)
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"balance": 1.5}, r"balance must lie in \[0, 1\], got 1.5"),
        ({"glasses_share": -0.1}, "glasses_share must lie in"),
        ({"averaging": math.nan}, "averaging must lie in"),
        ({"held_fraction": 0.0}, r"held_fraction must lie in \(0, 1\)"),
        ({"held_fraction": 1.0}, r"held_fraction must lie in \(0, 1\)"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"rate": math.nan}, "rate must be"),
        ({"rate": math.inf}, "rate must be"),
        ({"validation_fraction": 1.0}, r"validation_fraction must lie in \[0, 1\)"),
        ({"frames_per_photo": 0}, r"frames_per_photo must lie in \[1, 10000\]"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"sizes": (64, 96)}, "sizes of of10 must be at least 65"),
        ({"norms": True}, "norms are for VGG: of10 has batch norms of its own"),
        ({"arch": "vgg", "sizes": (16,)}, "sizes of vgg must be at least 32"),
        ({"frames_per_photo": 10**9}, r"frames_per_photo must lie in \[1, 10000\]"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        RecognizerTraining(**changes)


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [224]), (2, [64, 224]), (4, [64, 64, 112, 224]), (5, [64, 64, 64, 112, 224])],
)
def test_the_last_size_is_reached_however_few_epochs_there_are(
    epochs: int, expected: list[int]
) -> None:
    config = RecognizerTraining(arch="vgg", epochs=epochs, sizes=(64, 64, 64, 112, 224))
    assert [config.size_in(epoch) for epoch in range(epochs)] == expected


def test_a_network_that_never_grows_has_one_size() -> None:
    assert RecognizerTraining(epochs=5).resized_at == (0,)
    assert RecognizerTraining(arch="vgg", epochs=5, sizes=(64,)).resized_at == (0,)
