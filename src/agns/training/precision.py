"""Where networks step, and in what precision: what this machine is fast at."""

import contextlib
import ctypes
import platform
import re
from typing import Literal, TypeAlias

import torch

from agns.errors import ConfigError

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
"""`fp32`; `bf16` for autocast to bfloat16; `auto` for `bf16` where it pays, else `fp32`.

A processor with AVX2 alone took some 200 times as long for a matrix product in bfloat16 as in
float32.
"""


def has_fast_bfloat16() -> bool:
    """Whether this processor is quicker in bfloat16 than in float32.

    By AMX it is, and by AVX-512 BF16 on AMD's. Intel's that have this and no AMX, as in virtual
    machines that hide it, took 1.4 times as long; they are told by AVX-512 FP16, which AMD's lack.
    """
    able = torch.cpu.get_capabilities()
    vectors = able.get("avx512_bf16") and not able.get("avx512_fp16")
    return bool(able.get("amx_bf16") or vectors)


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


_DEVICES = re.compile(r"cpu|cuda(:(0|[1-9][0-9]{0,3}))?", re.ASCII)


def choose_device(name: str) -> torch.device:
    """The device of that name; for `auto` a GPU where there is one.

    Raises:
        ConfigError: It is no device, or this machine has none such.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not _DEVICES.fullmatch(name):
        raise ConfigError(f"a device is auto, cpu, cuda or cuda:1, got {name!r}")
    if name == "cpu":
        return torch.device("cpu")
    if int(name[5:] or 0) >= torch.cuda.device_count():
        seen = torch.cuda.device_count()
        raise ConfigError(f"PyTorch sees {seen or 'no'} GPUs here: there is no {name}")
    return torch.device(name)


# malloc.h: what mallopt's parameters are called there.
_TRIM_THRESHOLD, _MAPPED_AT_MOST, _LARGEST = -1, -4, 2**31 - 1


def set_up_process() -> None:
    """Set this process up for speed; figures stay, but for numbers too small for normal form.

    Those become 0. And freed memory is kept, where the C library is glibc: by default each large
    tensor is given back to the system when it is freed, and the next one is cleared page by page,
    which took as long as a recogniser's forward pass itself.
    """
    torch.set_flush_denormal(True)
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_MAPPED_AT_MOST, 0)
        library.mallopt(_TRIM_THRESHOLD, _LARGEST)


def autocast(name: str, device: str = "cpu") -> contextlib.AbstractContextManager[object]:
    """Autocast to bfloat16 for `bf16`, or nothing.

    Args:
        name: `fp32` or `bf16`.
        device: Kind of the device that the networks are on.
    """
    if name == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return contextlib.nullcontext()
