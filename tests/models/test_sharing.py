"""Networks in folders, with their cards."""

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin
from tests.models.conftest import NAMES, RECORD

from agns.errors import ConfigError, WeightsError
from agns.models.dcgan import Discriminator, Generator, build_gan, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.sharing import Shareable
from agns.models.shipped import shipped_weights
from agns.models.victim import freeze
from agns.storage import load_tensors, read_json, save_tensors

NETWORKS = (Recognizer, Generator, Discriminator)
networks = pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)


@pytest.fixture(scope="module")
def shared(recognizer: Recognizer) -> dict[type[Shareable], Shareable]:
    generator, discriminator = build_gan(rng=torch.Generator().manual_seed(0))
    generator.record = discriminator.record = {"recipe": {"epochs": 3}, "seconds": 1.5}
    return {
        Recognizer: recognizer, Generator: generator.eval(), Discriminator: discriminator.eval()
    }  # fmt: skip


@torch.no_grad()
def answer(network: Shareable) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    if isinstance(network, Recognizer):
        return network(torch.rand(2, 3, 96, 96, generator=random))
    if isinstance(network, Generator):
        return network(sample_latents(2, rng=random))
    assert isinstance(network, Discriminator)
    return network(torch.rand(2, 3, 64, 176, generator=random))


@networks
def test_a_network_comes_back_from_a_folder_with_its_record(
    kind: type[Shareable], shared: dict[type[Shareable], Shareable], tmp_path: Path
) -> None:
    network = shared[kind]
    assert isinstance(network, PyTorchModelHubMixin)
    network.save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md", "config.json", "model.safetensors"
    }  # fmt: skip
    again = kind.from_pretrained(tmp_path)
    assert torch.equal(answer(again), answer(network))
    assert again.record == network.record
    assert again.specification() == network.specification()
    assert not again.training


def test_names_forms_average_and_input_contract_come_back(
    folder: Path, recognizer: Recognizer
) -> None:
    again = Recognizer.from_pretrained(str(folder))
    assert (again.arch, again.identities) == ("of", NAMES)
    assert (again.pooling, again.convention) == ("same", "tensorflow")
    assert again.contract == recognizer.contract
    assert again.average is not None
    assert recognizer.average is not None
    assert torch.equal(again.average, recognizer.average)


def test_the_file_of_a_shared_network_is_one_that_the_commands_take(folder: Path) -> None:
    again = Recognizer.read(folder / "model.safetensors")
    assert again.record == RECORD


def test_a_file_is_taken_too() -> None:
    shipped = Recognizer.from_pretrained(shipped_weights("of10_synthetic"))
    assert shipped.identities[0] == "Synthetic_000"
    assert len(shipped.record["training_photos"]) == 640


def test_sharing_changes_no_name_of_a_tensor() -> None:
    with torch.device("meta"):
        built = (Generator(), Discriminator(), Recognizer("of10", tuple("abcdefghij")))
    files = ("generator", "discriminator", "of10_synthetic")
    for network, name in zip(built, files, strict=True):
        assert network.state_dict().keys() == load_tensors(shipped_weights(name))[0].keys()


def test_config_json_says_what_the_network_is(folder: Path) -> None:
    config = read_json(folder / "config.json")
    assert config["format"] == "agns-recognizer-1"
    assert config["identities"] == list(NAMES)
    assert config["input"] == {
        "size": 96, "range": [-1, 1], "colour": "RGB", "layout": "NCHW"
    }  # fmt: skip


@pytest.mark.parametrize("config", [None, "[", "[1]", '{"arch": "vgg", "identities": ["X", "Y"]}'])
def test_loading_goes_by_the_weights_and_not_by_config_json(
    config: str | None, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert Recognizer.from_pretrained(tmp_path).identities == NAMES


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@networks
def test_a_pickle_is_refused_unopened(kind: type[Shareable], tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(
        WeightsError, match=r"holds pytorch_model\.bin but no model\.safetensors: agns reads no"
    ):
        kind.from_pretrained(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors$"):
        Recognizer.from_pretrained(tmp_path)


def test_another_kind_of_network_is_refused(folder: Path) -> None:
    with pytest.raises(WeightsError, match="holds no generator written by agns"):
        Generator.from_pretrained(folder)


def test_weights_cut_short_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        Recognizer.from_pretrained(tmp_path)


def test_names_enough_to_fill_the_memory_are_refused_before_they_do(tmp_path: Path) -> None:
    names = [str(index) for index in range(100_000)]  # a head of 200,000 x 100,000 numbers
    metadata = {"arch": "of", "identities": names, "pooling": "strided"}
    save_tensors(
        tmp_path / "model.safetensors",
        {"head.0.weight": torch.zeros(12, 128)},
        {"format": "agns-recognizer-1", **{k: json.dumps(v) for k, v in metadata.items()}},
    )
    with pytest.raises(WeightsError, match="lacks the tensor"):
        Recognizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("nested", ["[" * 100_000, "{"])
def test_a_record_that_is_no_json_is_refused(nested: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_tensors(path, Generator().state_dict(), {"format": "agns-generator-1", "recipe": nested})
    with pytest.raises(WeightsError, match="has unusable metadata"):
        Generator.from_pretrained(path)


def test_a_record_cannot_overrule_what_the_network_is(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    path = tmp_path / "victim.safetensors"
    recognizer = copy.copy(recognizer)
    recognizer.record = {"arch": "vgg", "identities": ["X"], "source": "elsewhere"}
    recognizer.write(path)
    again = Recognizer.from_pretrained(path)
    assert (again.identities, again.record) == (NAMES, {"source": "elsewhere"})


def test_a_frozen_recogniser_is_not_saved(recognizer: Recognizer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="save what it was made from"):
        freeze(recognizer).save_pretrained(tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_the_card_tells_what_the_record_holds(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    for line in (
        "library_name: agns",
        "pipeline_tag: image-classification",
        'recognizer = Recognizer.from_pretrained("OWNER/NAME")',
        "| identities | Ann, Bob, Cyd |",
        "| brings them to | 96x96 in [-1, 1], less an average face |",
        "| source | three friends |",
        "| training photos | 2, known by their digests |",
        "- accuracy: 0.75",
        '  "epochs": 2,',
    ):
        assert line in card.splitlines()
    assert "license" not in card


@networks
def test_the_card_takes_a_licence_and_a_place(
    kind: type[Shareable], shared: dict[type[Shareable], Shareable], tmp_path: Path
) -> None:
    about = {"license": "apache-2.0", "repo_id": "ann/net"}
    shared[kind].save_pretrained(tmp_path, model_card_kwargs=about)
    card = (tmp_path / "README.md").read_text(encoding="utf-8").splitlines()
    assert "license: apache-2.0" in card
    assert f'{kind.__name__.lower()} = {kind.__name__}.from_pretrained("ann/net")' in card


def test_a_hostile_record_stays_within_its_cell_of_the_card(
    shared: dict[type[Shareable], Shareable], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"source": "a | b\n# Title <b>", "scores": {"x\n# y": 1}, "recipe": "```\n# z"}
    monkeypatch.setattr(shared[Generator], "record", record)
    card = str(shared[Generator].generate_model_card()).splitlines()
    assert r"| source | a \| b # Title &lt;b&gt; |" in card
    assert [line for line in card if line.startswith("# ")] == ["# Eyeglass generator"]
