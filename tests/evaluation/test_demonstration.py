import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from tests.evaluation.conftest import build_tiny_recognizer

from agns.attack.agn import AGN
from agns.data.simulation.synthetic import identity_name
from agns.errors import ConfigError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.demonstration import Demonstration, demonstrate
from agns.images import read_image
from agns.models.dcgan import Discriminator, Generator
from agns.types import Pixels, Progress, silent

QUICK = AGN(batch=8, samples=4, check_every=2, epochs=1)

Shown = tuple[Demonstration, Path]


@contextlib.contextmanager
def quiet(title: str) -> Iterator[Progress]:
    yield silent


@pytest.fixture(scope="module")
def setup(gan: tuple[Generator, Discriminator], glasses: Pixels) -> AttackSetup:
    random = torch.Generator().manual_seed(0)
    names = tuple(identity_name(index) for index in range(3))
    recognizer = build_tiny_recognizer(names, random)
    with torch.no_grad():
        # It sees the first in every photo, and only that one has anything to dodge.
        recognizer.head.bias[0] += 2
    return AttackSetup(
        generator=gan[0],
        discriminator=gan[1],
        recognizer=recognizer,
        recognizer_name="stand-in",
        metadata={},
        glasses=glasses,
    )


@pytest.fixture(scope="module")
def shown(setup: AttackSetup, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    out = tmp_path_factory.mktemp("shown")
    found = demonstrate(setup, out, quiet, attack=QUICK, photos=2, tried=2)
    return found, out


def test_a_demonstration_dodges_one_and_impersonates_another(
    shown: Shown,
) -> None:
    found, _ = shown
    dodge, impersonate = found.attacks
    assert (dodge.goal, impersonate.goal) == ("dodge", "impersonate")
    assert len({dodge.subject, impersonate.subject, impersonate.target}) == 3
    assert 0 <= found.accuracy <= 1


def test_a_demonstration_leaves_a_report_with_its_pictures(
    shown: Shown,
) -> None:
    _, out = shown
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 7
    for name in ("overview", "faces", "generated", "dodge/before_after", "impersonate/history"):
        assert read_image(out / f"{name}.png").shape[0] == 3


def test_an_interrupted_demonstration_ends_with_the_attack_in_work_and_says_what_is_left(
    setup: AttackSetup, tmp_path: Path
) -> None:
    @contextlib.contextmanager
    def pressed(title: str) -> Iterator[Progress]:
        def press(done: int, total: int, figures: Mapping[str, float]) -> None:
            if "dodges" in title:
                raise KeyboardInterrupt

        yield press

    def run() -> None:
        demonstrate(setup, tmp_path, pressed, attack=QUICK, photos=2, tried=2, tell=told.append)

    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run()
    assert told[0].startswith("Interrupted: scoring the best frame so far")
    assert f"Wrote {tmp_path / 'dodge/result.json'}" in told[1]
    assert (tmp_path / "dodge/result.json").is_file()
    assert not (tmp_path / "impersonate").exists()
    with pytest.raises(ConfigError, match="dodge already holds a result"):
        run()
