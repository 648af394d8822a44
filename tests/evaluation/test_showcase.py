import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.evaluation.conftest import build_tiny_recognizer

from agns.attack.agn import AGN
from agns.data.simulation.synthetic import identity_name
from agns.errors import ConfigError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.showcase import Showcase, ShowcaseConfig, run_showcase
from agns.images import read_image
from agns.models.dcgan import Discriminator, Generator
from agns.types import Pixels, Progress, silent

QUICK = ShowcaseConfig(photos=2, looks=2, attack=AGN(batch=8, samples=4, check_every=2, epochs=1))


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
def shown(setup: AttackSetup, tmp_path_factory: pytest.TempPathFactory) -> tuple[Showcase, Path]:
    out = tmp_path_factory.mktemp("shown")
    seed = next(
        seed
        for seed in range(20)
        if torch.randperm(3, generator=torch.Generator().manual_seed(seed))[0] == 0
    )
    return run_showcase(setup, replace(QUICK, seed=seed), out, quiet), out


def test_a_demonstration_dodges_one_and_impersonates_another(shown: tuple[Showcase, Path]) -> None:
    found, _ = shown
    assert (found.dodge.goal, found.impersonate.goal) == ("dodge", "impersonate")
    assert len({found.dodge.subject, found.impersonate.subject, found.impersonate.target}) == 3
    assert 0 <= found.accuracy <= 1


def test_a_demonstration_leaves_a_report_with_its_pictures(shown: tuple[Showcase, Path]) -> None:
    _, out = shown
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 7
    for name in ("overview", "faces", "generated", "dodge/before_after", "impersonate/history"):
        assert read_image(out / f"{name}.png").shape[0] == 3


def test_a_report_is_not_written_over(shown: tuple[Showcase, Path], setup: AttackSetup) -> None:
    with pytest.raises(ConfigError, match="already holds a report"):
        run_showcase(setup, QUICK, shown[1], quiet)
