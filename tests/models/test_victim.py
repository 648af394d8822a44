"""Any network as a victim."""

import pytest
import torch
from torch import Tensor, nn

from agns.attack.goals import Dodge
from agns.attack.pixels import FreePixels
from agns.errors import ConfigError, ImageContractError
from agns.geometry import resize
from agns.models.victim import Classifier, Victim, class_of, freeze
from agns.types import Faces

NAMES = ("Ann", "Bob")


class Seen(nn.Module):
    """Keeps what it is given; its logits are means of colours."""

    def forward(self, faces: Tensor) -> Tensor:
        self.given = faces
        return faces.mean((2, 3))[:, :2]


class Rule:
    """A victim that is no network."""

    identities = NAMES

    def __call__(self, faces: Faces) -> Tensor:
        return 20 * faces.mean((2, 3))[:, :2]


@pytest.fixture
def faces(generator: torch.Generator) -> Faces:
    return torch.rand(2, 3, 224, 224, generator=generator)


def test_a_network_is_given_faces_in_its_own_size_range_and_order(faces: Faces) -> None:
    network = Seen()
    mean, deviation = (0.1, 0.2, 0.3), (0.5, 1.0, 2.0)
    victim = Classifier(
        network, NAMES, size=112, low=-1, high=1, mean=mean, deviation=deviation, bgr=True
    )
    logits = victim(faces)
    expected = (resize(faces, (112, 112)) * 2 - 1 - torch.tensor(mean)[:, None, None]) / (
        torch.tensor(deviation)[:, None, None]
    )
    torch.testing.assert_close(network.given, expected.flip(1))
    assert (logits.shape, logits.dtype) == ((2, 2), torch.float32)


def test_a_chip_is_cut_where_its_matrix_says_and_gradients_come_back_there(faces: Faces) -> None:
    network = Seen()
    # Half the size, from (20, 10) on.
    victim = Classifier(network, NAMES, size=64, chip=[[0.5, 0, -10], [0, 0.5, -5]])
    leaf = faces.requires_grad_()
    victim(leaf).sum().backward()
    torch.testing.assert_close(network.given[:, :, 3, 7], faces[:, :, 10 + 6, 20 + 14])
    assert leaf.grad is not None
    assert bool(leaf.grad[:, :, 16, 34].abs().sum() > 0)
    assert not bool(leaf.grad[:, :, :9].any())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"identities": ("Ann",)}, "at least two identities"),
        ({"identities": ("Ann", "Ann")}, "each of another name"),
        ({"identities": "Ann"}, "a sequence of names"),
        ({"low": 1.0}, "low must be a number below high"),
        ({"size": 0}, "size in pixels must be at least 1"),
        ({"mean": (0.5, 0.5)}, "mean should be one figure or three"),
        ({"deviation": 0.0}, "deviation must be above 0"),
        ({"chip": [[1, 0], [0, 1]]}, "a chip is a 2x3 matrix"),
        ({"chip": [[1, 0, 0], [1, 0, 0]]}, "can be turned round"),
    ],
)
def test_figures_that_make_no_sense_are_refused(
    settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Classifier(Seen(), **{"identities": NAMES, **settings})


def test_faces_and_logits_of_another_form_are_refused(faces: Faces) -> None:
    victim = Classifier(Seen(), NAMES)
    with pytest.raises(ImageContractError, match=r"got \[0, 255\]|in \[0, 1\]"):
        victim(faces * 255)
    with pytest.raises(ImageContractError, match="224x224"):
        victim(faces[..., :112, :112])
    three = Classifier(Seen(), ("Ann", "Bob", "Cy"))
    with pytest.raises(ImageContractError, match=r"should give \(2, 3\) logits, got \(2, 2\)"):
        three(faces)


def test_a_frozen_network_is_a_copy_that_does_not_learn() -> None:
    victim = Classifier(nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), NAMES, size=4)
    victim(torch.zeros(1, 3, 224, 224))
    frozen = freeze(victim.train())
    assert victim.training
    assert not frozen.training
    assert all(weight.requires_grad for weight in victim.parameters())
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert freeze(frozen) is frozen


def test_names_are_found_in_either_form_and_others_are_refused() -> None:
    victim = Classifier(Seen(), ("Jos\u00e9", "Bob"))
    assert class_of(victim, "Jose\u0301") == 0
    with pytest.raises(ConfigError, match="did you mean Bob"):
        class_of(victim, "bob")


def test_what_is_no_network_is_attacked_too(faces: Faces) -> None:
    rule = Rule()
    assert isinstance(rule, Victim)
    assert freeze(rule) is rule
    red = torch.tensor([0.8, 0.2, 0.2])[:, None, None].expand(2, 3, 224, 224)
    found = FreePixels(steps=3, step=0.3).run(rule, red, Dodge("Ann", stop=0.5))
    # Less red and more green than it began with.
    assert float(found.frames[0, 0].mean()) < 0.5 < float(found.frames[0, 1].mean())


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("mat1 and mat2 do not fit"), "does not take faces of 64x64 pixels: mat1 and"),
        (RuntimeError("CUDA error: device-side assert triggered"), None),
        (RuntimeError("alloc_cpu: can't allocate memory"), None),
        (NotImplementedError("no such"), None),
    ],
)
def test_a_network_that_does_not_take_a_size_says_so_and_other_errors_stay(
    error: Exception, told: str | None
) -> None:
    class Failing(nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            raise error

    victim = Classifier(Failing(), ("a", "b"), size=64)
    with pytest.raises(type(error) if told is None else ConfigError, match=told):
        victim(torch.zeros(1, 3, 224, 224))
