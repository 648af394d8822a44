"""Values with their lines, and mistakes in a sentence; plans and descriptions test the rest."""

from pathlib import Path

import pytest

from agns.errors import ConfigError
from agns.yaml_file import YamlFile, read_yaml


def read(path: Path, text: str) -> YamlFile:
    path.write_text(text, encoding="utf-8")
    return read_yaml(path, "list", words=("name", "name[]", "file"), homes=("file",))


def test_values_are_numbers_words_and_paths_as_their_keys_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    file = read(
        tmp_path / "a.yaml", "name: [No, 1e3]\nrate: 1e-3\non: true\nfile: ~/x\nother: null\n"
    )
    assert file.values == {
        "name": ("No", "1e3"), "rate": 0.001, "on": True, "file": "/home/ann/x", "other": None,
    }  # fmt: skip
    assert str(file.wrong(("rate", "beyond"), "no")) == f"{tmp_path / 'a.yaml'}, line 2: no"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("name: a\nname: b", "line 2: name comes twice"),
        ("name: [a", "line 1: "),
    ],
)
def test_what_is_no_yaml_is_told_by_its_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        read(tmp_path / "a.yaml", text)


def test_tags_make_no_objects(tmp_path: Path) -> None:
    text = "rate: !!python/object/apply:os.getcwd []\nother: !!python/name:os.getcwd x"
    assert read(tmp_path / "a.yaml", text).values == {"rate": (), "other": "x"}


def test_aliases_do_not_make_much_of_little(tmp_path: Path) -> None:
    lines = ["a0: &a0 [0]"] + [f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="has more than 100000 values"):
        read(tmp_path / "a.yaml", "\n".join(lines))


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no list "):
        read_yaml(tmp_path / "none.yaml", "list", words=())
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        read_yaml(tmp_path / "a.yaml", "list", words=())
