import contextlib
import functools
import io
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tests.attack.conftest import measure_briefly
from torch import nn

from agns.campaign import report
from agns.cli import main
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.evaluation import attack_setup, score, universal
from agns.evaluation.controls import control_frames
from agns.evaluation.stealth import StealthScale
from agns.images import from_pixels, write_image
from agns.models.dcgan import build_gan
from agns.models.families import FAMILIES, Family, InputContract
from agns.models.recognizer import build_recognizer

TINY = Family(
    contract=InputContract(size=32, low=-1, high=1),
    backbone=lambda *_: nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 5, 2, padding=2), nn.BatchNorm2d(8), nn.ReLU()),
        nn.AvgPool2d(4),
        nn.Flatten(),
    ),
    head=lambda classes: nn.Linear(128, classes),
)
"""Recognisers that cost next to nothing, for commands that would do the same with any."""


@dataclass(frozen=True)
class Outcome:
    """What a command leaves on the terminal."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error that is neither blank nor a progress bar."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.strip() and "━" not in line]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("agns: ")
        return lines[0].removeprefix("agns: ")


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decoded pictures go, in place of the user's own cache."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("AGNS_CACHE", str(directory))
    return directory


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    """Recognisers of `TINY` can be opened in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "tiny", TINY)
        yield


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Give signals back, which a command takes for good, since its process ends with it."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    hook = sys.unraisablehook
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        sys.unraisablehook = hook


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draws in this process, and leaves PyTorch as it was."""
    for module in ("faces", "glasses", "face_options"):
        monkeypatch.setattr(f"agns.cli.{module}.workers", lambda: 1)
    with signals_kept():
        yield
    torch.set_flush_denormal(False)


@pytest.fixture
def agns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line as the shell does, in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["agns", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
        captured = capsys.readouterr()
        return Outcome(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


def call(*arguments: object) -> Outcome:
    """Runs a command line in this process, for what several tests share."""
    out, err, code = io.StringIO(), io.StringIO(), None
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        signals_kept(),
    ):
        patch.setattr(sys, "argv", ["agns", *map(str, arguments)])
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code
    return Outcome(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of each of three drawn people."""
    root = tmp_path_factory.mktemp("photos") / "faces"
    write_synthetic_folder(root, SyntheticConfig(identities=3, photos=4))
    return root


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 33 drawn frames."""
    root = tmp_path_factory.mktemp("shop")
    for index, frame in enumerate(from_pixels(draw_frames(33))):
        write_image(root / f"{index:02d}.png", frame)
    return root


@dataclass(frozen=True)
class Weights:
    """Untrained networks as files."""

    recognizer: Path
    generator: Path
    discriminator: Path

    @property
    def options(self) -> tuple[object, ...]:
        """The options that name all three."""
        return (
            "--recognizer", self.recognizer, "--generator", self.generator,
            "--discriminator", self.discriminator,
        )  # fmt: skip


@pytest.fixture(scope="package")
def weights(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Weights:
    root = tmp_path_factory.mktemp("weights")
    draws = torch.Generator().manual_seed(0)
    names = tuple(sorted(path.name for path in folder.iterdir()))
    made = Weights(
        *(root / f"{name}.safetensors" for name in ("recognizer", "generator", "discriminator"))
    )
    with pytest.MonkeyPatch.context() as patch:
        # The module's own is not there yet.
        patch.setitem(FAMILIES, "tiny", TINY)
        build_recognizer("tiny", names, rng=draws).write(made.recognizer)
    for path, network in zip(
        (made.generator, made.discriminator), build_gan(rng=draws), strict=True
    ):
        network.write(path)
    return made


@pytest.fixture
def write_plan(tmp_path: Path, weights: Weights, folder: Path) -> Callable[[str], Path]:
    """Writes a plan that names the untrained recogniser and the faces."""

    def write(text: str) -> Path:
        path = tmp_path / "plan.yaml"
        path.write_text(text.format(recognizer=weights.recognizer, faces=folder), encoding="utf-8")
        return path

    return write


@pytest.fixture
def few_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two frames of each control in place of 32, which take seconds."""
    score_briefly(monkeypatch)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures of attacks and campaigns, which take as long as all else in a small one."""
    draw_nothing(monkeypatch)


def score_briefly(patch: pytest.MonkeyPatch) -> None:
    """Two frames of each control, and few benign ones to measure looks by."""
    measure_briefly(patch)
    patch.setattr(
        attack_setup, "control_frames",
        lambda glasses, *, count, rng: control_frames(glasses, count=2, rng=rng),
    )  # fmt: skip
    patch.setattr(attack_setup, "StealthScale", functools.partial(StealthScale, benign=20))


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Write one white pixel where a picture of an attack or a campaign would be drawn."""

    def draw(path: Path, *given: object, **named: object) -> None:
        write_image(path, torch.ones(3, 1, 1))

    for name in ("draw_before_after", "draw_history"):
        patch.setattr(score, name, draw)
    patch.setattr(universal, "draw_reach", draw)
    for name in ("draw_intervals", "draw_appearance", "draw_transfer"):
        patch.setattr(report, name, draw)
