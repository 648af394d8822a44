"""Networks on a GPU, given what lies on the CPU: with fake tensors, which have a device alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from agns.errors import ConfigError
from agns.models import backbone
from agns.models.dcgan import build_gan
from agns.models.layout import device_of
from agns.models.recognizer import build_recognizer
from agns.training.precision import choose_device

SEED = torch.Generator().manual_seed(0)


def made(name: str) -> nn.Module:
    if name in ("generator", "discriminator"):
        return build_gan(rng=SEED)[name == "discriminator"].eval()
    names = tuple("abcdefghij")
    return build_recognizer(name, names, rng=SEED).eval()


GIVEN: dict[str, Callable[[], Tensor]] = {
    "of10": lambda: torch.rand(2, 3, 224, 224),
    "generator": lambda: torch.rand(2, 25),
    "discriminator": lambda: torch.rand(2, 3, 64, 176),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_lies_on_the_cpu_goes_to_the_network_and_back(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fake tensors have no values that could be out of range.
    monkeypatch.setattr(backbone, "check_images", lambda *_, **__: None)
    network = made(name)
    # First for real: what is cached on the way must not be fake.
    network(GIVEN[name]())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        there = {
            key: torch.empty_like(tensor, device="cuda:0")
            for key, tensor in network.state_dict().items()
        }
        answer = torch.func.functional_call(network, there, (GIVEN[name](),))
    assert answer.device.type == "cpu"
    assert device_of(network).type == "cpu"


def test_a_network_that_leaves_its_input_where_it_is_would_be_noticed() -> None:
    plain = nn.Linear(3, 2)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        there = {
            key: torch.empty_like(tensor, device="cuda:0")
            for key, tensor in plain.state_dict().items()
        }
        with pytest.raises(RuntimeError, match="device"):
            torch.func.functional_call(plain, there, (torch.rand(1, 3),))


def test_a_device_is_chosen_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    usual = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == usual


@pytest.mark.parametrize(
    "name", ["gpu", "", "cuda:", "cuda:first", "cuda:-1", "cuda:01", "cuda:\u0661", "cpu:1", "meta"]
)
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a device is auto, cpu, cuda or cuda:1"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"PyTorch sees \w+ GPUs here: there is no cuda:99"):
        choose_device("cuda:99")
