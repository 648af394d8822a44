"""In what precision networks step: what this machine's processor is fast at."""

import contextlib
from typing import Literal, TypeAlias

import torch

from agns.errors import ConfigError

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
"""`fp32`; `bf16` for autocast to bfloat16; `auto` for `bf16` where it pays, else `fp32`.

A processor with AVX2 alone took some 200 times as long for a matrix product in bfloat16 as in
float32.
"""


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AVX-512 BF16 or AMX)."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def resolve_precision(name: str) -> str:
    """The precision itself where `auto` is given.

    Args:
        name: One of `Precision`.

    Returns:
        `fp32` or `bf16`.

    Raises:
        ConfigError: It is none of `Precision`.
    """
    if name == "auto":
        return "bf16" if has_fast_bfloat16() else "fp32"
    if name not in ("fp32", "bf16"):
        raise ConfigError(f"precision must be auto, fp32 or bf16, got {name!r}")
    return name


def autocast(name: str) -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 for `bf16`, or nothing."""
    if name == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()
