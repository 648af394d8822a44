"""What a run leaves behind, and how it is gone on with."""

import json
from pathlib import Path

import pytest
import torch

from agns.errors import ConfigError, DataError, WeightsError
from agns.run_directory import RunDirectory
from agns.storage import (
    machine,
    read_json,
    save_tensors,
    versions,
)


def test_a_run_writes_its_configuration_and_versions(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "run", {"seed": 3, "faces": Path("a")}, resume=False)
    written = read_json(tmp_path / "run" / "config.json")
    assert written == {
        "config": {"seed": 3, "faces": "a"}, "versions": versions(), "machine": machine(),
    }  # fmt: skip


def test_a_directory_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    RunDirectory(tmp_path, {"seed": 3}, resume=False)
    with pytest.raises(ConfigError, match="already holds a run"):
        RunDirectory(tmp_path, {"seed": 3}, resume=False)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="run is a file"):
        RunDirectory(tmp_path / "run", {"seed": 3}, resume=False)


def test_resuming_where_no_run_is_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no run to resume"):
        RunDirectory(tmp_path, {"seed": 3}, resume=True)


@pytest.mark.parametrize("there", [True, False])
def test_resuming_before_anything_was_written_begins(tmp_path: Path, *, there: bool) -> None:
    path = tmp_path / "run"
    if there:
        path.mkdir()
    RunDirectory(path, {"seed": 3}, resume=True)
    assert read_json(path / "config.json")["config"] == {"seed": 3}
    assert RunDirectory(path, {"seed": 3}, resume=True).load_checkpoint() is None


def test_a_run_to_be_read_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run in"):
        RunDirectory(tmp_path / "none", None, resume=True)


@pytest.mark.parametrize("text", ["", '{"config": {"se', '{"config": 3}'])
def test_a_damaged_configuration_is_told_with_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json .*: name another directory"):
        RunDirectory(tmp_path, {"seed": 3}, resume=True)


@pytest.mark.parametrize("now", [{"seed": 4, "sizes": (1, 2)}, {"sizes": (1, 2)}])
def test_resuming_with_other_settings_is_refused(tmp_path: Path, now: dict[str, object]) -> None:
    RunDirectory(tmp_path, {"seed": 3, "sizes": (1, 2)}, resume=False)
    RunDirectory(tmp_path, {"seed": 3, "sizes": (1, 2)}, resume=True)
    with pytest.raises(ConfigError, match=f"seed = 3, not {now.get('seed')}"):
        RunDirectory(tmp_path, now, resume=True)


def test_resuming_from_a_damaged_configuration_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="holds no configuration"):
        RunDirectory(tmp_path, {"seed": 3}, resume=True)


def test_a_checkpoint_reads_back_without_the_figures_after_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, {}, resume=False)
    run.log({"step": 1, "loss": 0.5})
    run.save_checkpoint({"w": torch.arange(3.0)}, {"step": 1})
    run.log({"step": 2, "loss": 0.4})
    resumed = RunDirectory(tmp_path, {}, resume=True)
    assert len(resumed.rows()) == 2
    loaded = resumed.load_checkpoint()
    assert loaded is not None
    assert torch.equal(loaded[0]["w"], torch.arange(3.0))
    assert loaded[1]["step"] == 1
    assert resumed.rows() == [{"step": 1, "loss": 0.5}]


def test_a_run_without_a_checkpoint_starts_its_figures_over(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, {}, resume=False)
    run.log({"step": 1})
    assert run.load_checkpoint() is None
    assert run.rows() == []


@pytest.mark.parametrize("line", ['{"epoch": 1, "lo', "[1]", "3"])
def test_a_line_of_figures_that_is_damaged_is_named(tmp_path: Path, line: str) -> None:
    run = RunDirectory(tmp_path / "run", {"epochs": 2}, resume=False)
    run.log({"loss": 0.5})
    with (tmp_path / "run" / "metrics.jsonl").open("a") as lines:
        lines.write(f"{line}\n")
    with pytest.raises(DataError, match=r"line 2 of .*metrics\.jsonl is damaged"):
        run.rows()


def test_a_line_of_figures_broken_off_by_a_kill_does_not_stop_a_resume(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, {}, resume=False)
    run.log({"step": 1})
    run.save_checkpoint({"w": torch.zeros(1)}, {"step": 1})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as lines:
        lines.write('{"step": 2, "lo')
    resumed = RunDirectory(tmp_path, {}, resume=True)
    assert resumed.rows() == [{"step": 1}]
    assert resumed.load_checkpoint() is not None
    resumed.log({"step": 2})
    text = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["step"] for line in text.splitlines()] == [1, 2]


@pytest.mark.parametrize("metadata", [{}, {"counters": "{"}])
def test_a_checkpoint_that_is_none_is_a_weights_error(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    run = RunDirectory(tmp_path, {}, resume=False)
    save_tensors(tmp_path / "checkpoint.safetensors", {"w": torch.zeros(1)}, metadata)
    with pytest.raises(
        WeightsError, match=r"safetensors is no run's \(without it, --resume begins"
    ):
        run.load_checkpoint()


def test_a_damaged_checkpoint_says_how_to_go_on_without_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, {}, resume=False)
    run.save_checkpoint({"w": torch.zeros(9)}, {"step": 1})
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"not a readable safetensors file.* begins anew"):
        run.load_checkpoint()
    path.unlink()
    assert run.load_checkpoint() is None
