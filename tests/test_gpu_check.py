"""`scripts/gpu-check`, on the processor and as small as can be."""

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from agns.storage import read_json

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu-check"


@pytest.fixture(scope="module")
def gpu_check() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(SCRIPT))
    spec = importlib.util.spec_from_loader("gpu_check", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_every_part_runs_on_the_processor_too(gpu_check: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    assert gpu_check.main(["--device", "cpu", "--quick", "--out", str(out)]) == 0
    told = read_json(out)
    assert told["failed"] == []
    assert told["tests"]["tests"] >= 1
    assert told["tests"]["skipped"] == 0
    assert told["attack_openface"]["iterations"] == 2
    assert told["training"]["images_per_second"] > 0
    assert {row["step"] for row in told["speed"]["rows"]} == {"generator's forward pass, batch 32"}


def test_a_part_that_fails_is_on_record_beside_those_that_do_not(
    gpu_check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(asked: object) -> dict[str, object]:
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(gpu_check, "PARTS", {"one": fails, "two": lambda _: {"figure": 1}})
    out = tmp_path / "check.json"
    assert gpu_check.main(["--device", "cpu", "--out", str(out)]) == 1
    told = read_json(out)
    assert (told["failed"], told["two"]["figure"]) == (["one"], 1)
    assert told["one"]["failed"] == "RuntimeError: CUDA error"
