"""Shapes are checked at every call while testing; the hook must precede any import of agns."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

# An int stands in for a float, as it does for mypy.
TYPE_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook("agns", TYPE_CHECKER)

# In the background of a shell, and under nohup; tests end commands as at a terminal.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores among themselves.
    torch.set_num_threads(1)

pytest_plugins = ("pytester",)

DATA_VARIABLE = "AGNS_TEST_DATA"
"""Environment variable that names a folder of what the repository may not hold."""

DEAR = (
    "test_commands_shown",
    "test_notebooks",
    "test_gpu_check",
    "test_campaign",
    "test_cluster",
    "test_parallel",
    "test_train",
    "test_demo",
)
"""Modules that take longest; they go first, or one of two workers waits for the other's last."""

LACKING = f"{DATA_VARIABLE} is not set, and this test needs "


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"data: needs files from the folder {DATA_VARIABLE}")
    root = os.environ.get(DATA_VARIABLE)
    if root and not Path(root).is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE} should name a folder, but {root} is none")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "data_path" in getattr(item, "fixturenames", ()):
            item.add_marker("data")
    items.sort(key=lambda item: DEAR.index(item.path.stem) if item.path.stem in DEAR else len(DEAR))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [report.longrepr[2] for report in terminalreporter.getreports("skipped")]
    lacking = [reason.partition(LACKING)[2] for reason in reasons if LACKING in reason]
    if lacking:
        terminalreporter.section(f"skipped because {DATA_VARIABLE} is not set: {len(lacking)}")
        for path, count in sorted(Counter(lacking).items()):
            terminalreporter.line(f"{count:4} need {path}")


@pytest.fixture(scope="session")
def data_path() -> Callable[[str], Path]:
    """Where a file or folder lies that the repository may not hold; skips where none are given."""
    root = os.environ.get(DATA_VARIABLE)

    def path(name: str) -> Path:
        if not root:
            pytest.skip(LACKING + name)
        if not (place := Path(root).resolve() / name).exists():
            pytest.fail(f"there is no {name} in {root}, which {DATA_VARIABLE} names")
        return place

    return path


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep downloads and drawn frames out of the user's cache, and the user's models out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGNS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("AGNS_LANDMARKER", raising=False)
        yield


@pytest.fixture(scope="session")
def dlib_model() -> Path:
    from agns.data.assets import packaged_model
    from agns.data.landmark_finding import DLIB_MODEL

    return packaged_model(DLIB_MODEL)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def astronaut() -> torch.Tensor:
    """Eileen Collins, photographed by NASA: a (3, 512, 512) picture in the public domain."""
    from skimage.data import astronaut

    return torch.from_numpy(np.ascontiguousarray(astronaut().transpose(2, 0, 1))).float() / 255


@pytest.fixture(scope="session")
def portrait(astronaut: torch.Tensor) -> torch.Tensor:
    """Her head alone, on 200x200 pixels."""
    return astronaut[:, 20:220, 120:320].contiguous()
