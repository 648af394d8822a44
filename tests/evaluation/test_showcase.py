import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agns.attack.config import AgnConfig
from agns.data.eyeglasses import draw_frames
from agns.data.synthetic import SyntheticConfig, identity_name, synthetic_faces
from agns.errors import ConfigError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.showcase import Showcase, ShowcaseConfig, run_showcase
from agns.images import read_image
from agns.models.dcgan import build_gan
from agns.models.recognizer import build_recognizer
from agns.types import Progress, silent

QUICK = ShowcaseConfig(
    photos=4, looks=2, attack=AgnConfig(batch=4, samples=4, check_every=2, passes=1)
)


@contextlib.contextmanager
def quiet(title: str) -> Iterator[Progress]:
    yield silent


@pytest.fixture(scope="module")
def apparatus() -> Apparatus:
    random = torch.Generator().manual_seed(0)
    generator, discriminator = build_gan(generator=random)
    names = tuple(identity_name(index) for index in range(3))
    recognizer = build_recognizer("of", names, generator=random).eval()
    return Apparatus(
        generator=generator.eval(),
        discriminator=discriminator.eval(),
        recognizer=recognizer,
        recognizer_name="stand-in",
        metadata={},
        glasses=draw_frames(8),
    )


@pytest.fixture(scope="module")
def shown(apparatus: Apparatus, tmp_path_factory: pytest.TempPathFactory) -> tuple[Showcase, Path]:
    out = tmp_path_factory.mktemp("shown")
    # An untrained recogniser sees one identity in every photo; only that one has much to dodge.
    for seed in range(20):
        order = torch.randperm(3, generator=torch.Generator().manual_seed(seed)).tolist()
        photos = synthetic_faces(
            SyntheticConfig(identities=3, photos=4, first_photo=80), only=identity_name(order[0])
        )
        seen = apparatus.recognizer(photos.faces(torch.arange(4))).argmax(1)
        if bool((seen == order[0]).all()):
            break
    config = ShowcaseConfig(seed=seed, photos=QUICK.photos, looks=QUICK.looks, attack=QUICK.attack)
    return run_showcase(apparatus, config, out, quiet), out


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


def test_a_report_is_not_written_over(shown: tuple[Showcase, Path], apparatus: Apparatus) -> None:
    with pytest.raises(ConfigError, match="already holds a report"):
        run_showcase(apparatus, QUICK, shown[1], quiet)
