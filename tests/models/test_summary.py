"""The list of networks."""

import pytest
import torch

from agns.models.dcgan import build_gan, sample_latents
from agns.models.recognizer import RECOGNIZERS, build_recognizer
from agns.models.summary import NetworkFigures, list_networks


@pytest.fixture(scope="module")
def networks() -> dict[str, NetworkFigures]:
    return {row["name"]: row for row in list_networks()}


def test_every_network_is_listed_once() -> None:
    names = [row["name"] for row in list_networks()]
    assert sorted(names) == sorted([*RECOGNIZERS, "generator", "discriminator"])


def test_parameters_are_those_of_the_papers(networks: dict[str, NetworkFigures]) -> None:
    assert {name: row["parameters"] for name, row in networks.items()} == {
        "vgg10": 134_301_514,
        "vgg143": 134_846_415,
        "of10": 3_744_958,
        "of143": 3_821_215,
        "generator": 633_403,
        "discriminator": 3_809_801,
    }


@pytest.mark.parametrize("arch", RECOGNIZERS)
def test_a_recogniser_has_as_many_classes_as_it_tells_identities_apart(
    networks: dict[str, NetworkFigures], arch: str
) -> None:
    assert networks[arch]["classes"] == RECOGNIZERS[arch][1]


def test_the_eyeglass_networks_have_no_classes(networks: dict[str, NetworkFigures]) -> None:
    assert networks["generator"]["classes"] is None
    assert networks["discriminator"]["classes"] is None


def test_a_listed_recogniser_takes_faces_of_the_listed_size_and_range(
    networks: dict[str, NetworkFigures], generator: torch.Generator
) -> None:
    recognizer = build_recognizer("of10", tuple("abcdefghij"), rng=generator).eval()
    seen: list[torch.Tensor] = []
    recognizer.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    canvas = torch.zeros(1, 3, 224, 224)
    canvas[..., 112:] = 1
    recognizer(canvas)
    assert list(seen[0].shape[2:]) == networks["of10"]["input_size"]
    assert [float(seen[0].min()), float(seen[0].max())] == networks["of10"]["input_range"]


def test_the_generator_takes_latents_of_the_listed_length_and_range(
    networks: dict[str, NetworkFigures], generator: torch.Generator
) -> None:
    latents = sample_latents(2000, rng=generator)
    low, high = networks["generator"]["input_range"]
    assert list(latents.shape[1:]) == networks["generator"]["input_size"]
    assert float(latents.min()) == pytest.approx(low, abs=1e-2)
    assert float(latents.max()) == pytest.approx(high, abs=1e-2)


def test_the_discriminator_takes_frames_of_the_listed_size_and_range(
    networks: dict[str, NetworkFigures], generator: torch.Generator
) -> None:
    discriminator = build_gan(rng=generator)[1].eval()
    seen: list[torch.Tensor] = []
    discriminator.see.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    height, width = networks["discriminator"]["input_size"]
    frames = torch.stack([torch.zeros(3, height, width), torch.ones(3, height, width)])
    assert discriminator(frames).shape == (2,)
    assert [float(seen[0].min()), float(seen[0].max())] == networks["discriminator"]["input_range"]


def test_counting_makes_no_weights_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.nn.Module] = []
    init = torch.nn.Linear.__init__

    def watch(layer: torch.nn.Linear, *sizes: int, **options: bool) -> None:
        init(layer, *sizes, **options)
        made.append(layer)

    monkeypatch.setattr(torch.nn.Linear, "__init__", watch)
    list_networks()
    assert made
    assert all(layer.weight.is_meta for layer in made)
