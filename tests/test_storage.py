import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from agns.errors import ConfigError, DataError, WeightsError
from agns.storage import load_tensors, read_json, save_tensors, under, versions, write_json
from agns.writing import replacing, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_replacing_swaps_the_whole_file_in(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "before")
    with replacing(path) as temporary:
        temporary.write_text("after", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "before"
        assert temporary.parent == path.parent
    assert path.read_text(encoding="utf-8") == "after"
    assert names(path.parent) == ["file.txt"]


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text(encoding="utf-8") == "before"
    assert names(tmp_path) == ["file.txt"]


def test_a_failed_first_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        write_json(tmp_path / "file.json", {"a": object()})
    assert names(tmp_path) == []


@dataclass
class Settings:
    weights: Path
    rate: float = 0.5


def test_json_takes_dataclasses_and_paths(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"settings": Settings(Path("a/b")), "name": "Zoë"})
    assert read_json(tmp_path / "file.json") == {
        "settings": {"weights": "a/b", "rate": 0.5},
        "name": "Zoë",
    }


def test_json_refuses_what_other_readers_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "file.json", {"rate": float("nan")})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "cannot be read"), ("{", "cannot be read"), ("[1]", "not a list"), ("\xff", "read")],
)
def test_bad_json_is_a_data_error(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "file.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=complaint) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_tensors_and_metadata_read_back(tmp_path: Path, generator: torch.Generator) -> None:
    path = tmp_path / "weights.safetensors"
    tensors = {
        "a": torch.rand(3, 4, generator=generator).T,
        "b": torch.tensor([1, 2]),
        "c": torch.rand(2, generator=generator, requires_grad=True),
    }
    save_tensors(path, tensors, {"kind": "test"})
    found, metadata = load_tensors(path)
    assert metadata == {"kind": "test"}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_missing_weights_are_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no weight file .*none\.safetensors"):
        load_tensors(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_cut_off_weights_are_a_weights_error(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": torch.zeros(100)}, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        WeightsError, match=r"weights\.safetensors is (not a readable|an empty|cut)"
    ):
        load_tensors(path)


def test_under_strips_the_beginning_it_selects_by() -> None:
    tensors = {"net.a": torch.zeros(1), "net.b.c": torch.ones(1), "network.a": torch.zeros(2)}
    assert under(tensors, "net").keys() == {"a", "b.c"}


def test_versions_name_what_decides_the_figures() -> None:
    # PyPI's build for CUDA has its kind in one of the two alone.
    assert versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"python", "platform", "agns", "numpy", "pillow", "safetensors"} <= versions().keys()


def test_a_name_as_long_as_the_file_system_takes_is_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "\U0001f576" * 63):
        write_text(tmp_path / name, "text")
        assert (tmp_path / name).read_text(encoding="utf-8") == "text"


def test_tensors_in_a_folder_whose_name_is_no_text_read_back(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9") / "a.safetensors"
    save_tensors(path, {"a": torch.ones(3)}, {"of": "b"})
    tensors, metadata = load_tensors(path)
    assert (tensors["a"].tolist(), metadata) == ([1, 1, 1], {"of": "b"})


def test_names_that_are_no_text_are_written_as_escapes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.html", "\udce9 \u5f35")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "\\udce9 \u5f35"
    write_json(tmp_path / "a.json", {"\udce9": "\\ \udce9"})
    assert read_json(tmp_path / "a.json") == {"\udce9": "\\ \udce9"}
