"""Which precision steps are taken in."""

import platform
import statistics
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from agns.attack.agn import AGN
from agns.errors import ConfigError
from agns.training.gan import GanTraining
from agns.training.parallel import Machines
from agns.training.precision import autocast, has_fast_bfloat16, resolve_precision


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": False}, "fp32"),
        ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, "fp32"),
        ({"architecture": "arm64", "bf16": True}, "fp32"),
    ],
)
@pytest.mark.parametrize("settings", [AGN, GanTraining])
def test_by_default_the_processor_decides_and_the_settings_say_what(
    monkeypatch: pytest.MonkeyPatch,
    able: dict[str, object],
    expected: str,
    settings: Callable[..., AGN | GanTraining],
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert has_fast_bfloat16() == (expected == "bf16")
    assert settings().precision == settings(precision="auto").precision == expected
    assert settings(precision="fp32").precision == "fp32"
    assert settings(precision="bf16").precision == "bf16"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, fp32 or bf16, got 'fp16'"):
        resolve_precision("fp16")


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_sets_what_matrix_products_come_out_in(name: str, dtype: torch.dtype) -> None:
    with autocast(name):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU decides for itself")
@pytest.mark.parametrize(("able", "expected"), [(True, "bf16-mixed"), (False, "32")])
def test_trainings_on_fabric_take_what_the_processor_is_fast_at(
    monkeypatch: pytest.MonkeyPatch, able: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    assert Machines().resolved_precision() == expected
    assert Machines(precision="32").resolved_precision() == "32"
    assert Machines(precision="bf16-mixed").resolved_precision() == "bf16-mixed"


LARGE_TENSORS = """
import resource
import torch
from agns.training.precision import set_up_process
set_up_process()
for _ in range(50):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16, 1024, 1024)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_a_process_set_up_keeps_the_memory_of_large_tensors() -> None:
    # In a process of its own, as others' small pieces lie in the way of large ones.
    run = [sys.executable, "-c", LARGE_TENSORS]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    pages = [int(line) for line in done.stdout.split()]
    # 64 MiB are 16,384 pages, new each time where they are given back. Kept ones serve once pieces
    # that lie beside each other are large enough for a tensor and its alignment: some come first.
    assert statistics.median(pages) < 1_000
