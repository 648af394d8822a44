import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.evaluation.conftest import build_tiny_recognizer

from agns.attack.agn import AGN
from agns.data.simulation.synthetic import identity_name
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
    seed = next(
        seed
        for seed in range(20)
        if torch.randperm(3, generator=torch.Generator().manual_seed(seed))[0] == 0
    )
    found = demonstrate(setup, out, quiet, seed=seed, attack=QUICK, photos=2, tried=2)
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
