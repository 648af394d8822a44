"""TorchScript programs (`torch.jit.save`), which run: only where the user trusts them.

`torch.jit.load` compiles what the file says and builds its objects, whose `__setstate__` runs then;
the rest runs at each call. The language has no Python in it, but it may call any of PyTorch's
operators, among them `aten::save`, which writes a file anywhere, and `aten::from_file`, which reads
one. No list of words makes such a file safe; so nothing of it is loaded unless asked for.
"""

import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from agns.errors import ConfigError, WeightsError, why

_MOST = 1 << 33
"""Bytes that an archive may unpack to."""


def read_torch_script(path: Path, *, trusted: bool = False) -> nn.Module:
    """Load a program, in evaluation mode, its weights on the processor.

    Args:
        path: The file.
        trusted: Whether the user has said that it may run.

    Raises:
        ConfigError: It is not trusted.
        WeightsError: It is damaged, or unpacks to more than a face network has.
    """
    if not trusted:
        raise ConfigError(
            f"{path} is a TorchScript program: loading it runs what it says, which can write and "
            "read files as you can; export its network to ONNX, or, if you know who made it, add "
            "trusted: true to its description"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = {one.filename.partition("/")[2]: one.file_size for one in archive.infolist()}
        if not {"data.pkl", "constants.pkl"} <= names.keys() or sum(names.values()) > _MOST:
            raise WeightsError(f"{path} is no TorchScript program, or unpacks to over 8 GiB")
        with warnings.catch_warnings():
            # PyTorch wants users to leave TorchScript.
            warnings.simplefilter("ignore", DeprecationWarning)
            module: nn.Module = torch.jit.load(str(path), map_location="cpu")
    except (OSError, RuntimeError, ValueError, LookupError, zipfile.BadZipFile) as error:
        told = f"{path} cannot be loaded as a TorchScript program: {why(error)}"
        raise WeightsError(told) from error
    return module.eval()
