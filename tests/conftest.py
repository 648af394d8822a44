"""Shapes are checked at every call while testing; the hook must precede any import of agns."""

import os

import pytest
import torch
from jaxtyping import install_import_hook

# An int stands in for a float, as it does for mypy.
TYPE_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook("agns", TYPE_CHECKER)

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores among themselves.
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
