"""The demonstration: recognise, generate, dodge and impersonate, and the report of it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from agns.attack.agn import AGN
from agns.data.faces import FaceSet
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.errors import ConfigError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.figures import Portrait, draw_overview
from agns.evaluation.metrics import success_cells
from agns.evaluation.prepared_attack import run_attack
from agns.evaluation.report import Picture, Section, Table, write_report
from agns.evaluation.score import AttackScore
from agns.images import read_image, tile, write_image
from agns.models.dcgan import sample_latents
from agns.storage import versions
from agns.training.recognizer_scores import classify
from agns.types import Progress

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress bar of that title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowcaseConfig:
    """What the demonstration shows."""

    seed: int = 0
    """Seed of every draw; also chooses subject and target."""

    photos: int = 48
    """Photos of each attacked identity."""

    first_photo: int = 80
    """Number of their first photo: those before it were used in training."""

    attack: AGN = field(default_factory=AGN)
    """Settings of both attacks; their seed is replaced by this one's."""

    looks: int = 8
    """Photos of every identity that the recogniser is tried on."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, got {self.seed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Showcase:
    """What the demonstration found."""

    accuracy: float
    """Share of fresh photos recognised."""

    dodge: AttackScore
    impersonate: AttackScore


def run_showcase(setup: AttackSetup, config: ShowcaseConfig, out: Path, bar: Bar) -> Showcase:
    """Run the demonstration on drawn faces and write it into a directory.

    Args:
        setup: With a recogniser of the drawn identities.
        config: What to show.
        out: Directory for the results; must not hold a report yet.
        bar: How progress is shown.

    Raises:
        ConfigError: `out` holds a report already.
    """
    if (out / "report.html").exists():
        raise ConfigError(f"{out} already holds a report: name another directory")
    identities = setup.recognizer.identities
    draws = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(identities), generator=draws).tolist()
    dodger, impersonator, target = (identities[index] for index in order[:3])

    with bar("Drawing faces") as progress:
        looks = synthetic_faces(
            SyntheticConfig(
                identities=len(identities), photos=config.looks, first_photo=config.first_photo
            ),
            progress=progress,
        )
    predicted = classify(setup.victim, looks).argmax(1)
    accuracy = float((predicted == looks.labels).float().mean())
    first = torch.cat([looks.places_of(identity)[:2] for identity in identities])
    write_image(out / "faces.png", tile(looks.faces(first), columns=10))

    with torch.no_grad():
        frames = setup.generator(sample_latents(30, generator=draws))
    write_image(out / "generated.png", tile(frames, columns=5))

    def attack(goal: AttackSpec, folder: str, title: str) -> AttackScore:
        photos = _photos(config, identities, goal.subject)
        with bar(title) as progress:
            return run_attack(
                setup, photos, goal, config.attack, out / folder,
                progress=progress,
            )  # fmt: skip

    dodge = attack(
        AttackSpec(goal="dodge", subject=dodger, seed=config.seed), "dodge", f"{dodger} dodges"
    )
    impersonate = attack(
        AttackSpec(goal="impersonate", subject=impersonator, target=target, seed=config.seed),
        "impersonate",
        f"{impersonator} as {target}",
    )
    _draw_overview(setup, config, (dodge, impersonate), out)
    result = Showcase(accuracy=accuracy, dodge=dodge, impersonate=impersonate)
    _write_report(result, len(looks), out)
    return result


def _photos(config: ShowcaseConfig, identities: tuple[str, ...], subject: str) -> FaceSet:
    drawn = SyntheticConfig(
        identities=len(identities), photos=config.photos, first_photo=config.first_photo
    )
    return synthetic_faces(drawn, only=subject)


def _draw_overview(
    setup: AttackSetup, config: ShowcaseConfig, reports: tuple[AttackScore, ...], out: Path
) -> None:
    portraits = []
    for report in reports:
        photos = _photos(config, setup.recognizer.identities, report.subject)
        place = photos.photos.index(report.photos["held_out"][0])
        portraits.append(
            Portrait(
                face=photos.faces(torch.tensor([place]))[0],
                frame=read_image(out / report.goal / "frame.png"),
                title=report.summary(),
            )
        )
    draw_overview(out / "overview.png", setup.victim, portraits)


def _write_report(result: Showcase, looks: int, out: Path) -> None:
    sections = [
        Section(
            title="In one picture",
            words=[
                "Eyeglasses that a generator drew, on photos of people who do not exist. Under "
                "each face stands what the recogniser makes of it. The eyeglasses were made on "
                "other photos of the same person.",
            ],
            pictures=[Picture(path=out / "overview.png", caption="Before and after.")],
        ),
        Section(
            title="Recognise",
            words=[
                f"The recogniser names {result.accuracy:.1%} of {looks} photos that it was not "
                "trained on."
            ],
            pictures=[Picture(path=out / "faces.png", caption="Two photos of each identity.")],
        ),
        Section(
            title="Generate",
            words=["What the generator draws before any attack."],
            pictures=[Picture(path=out / "generated.png", caption="Thirty random frames.")],
        ),
        _attack_section(result.dodge, out / "dodge"),
        _attack_section(result.impersonate, out / "impersonate"),
        Section(
            title="Settings and versions",
            fine_print=json.dumps(
                {
                    "dodge": result.dodge.config,
                    "impersonate": result.impersonate.config,
                    "versions": versions(),
                },
                indent=2,
            ),
        ),
    ]
    write_report(out / "report.html", "agns: a demonstration on drawn faces", sections)


def _attack_section(report: AttackScore, folder: Path) -> Section:
    scale = report.benign_stealth["discriminator_score"]
    rows = [
        ("crafted frame, craft photos", report.craft),
        ("crafted frame, held-out photos", report.held_out),
        ("no frame, held-out photos", report.held_out_without_frame),
        *(
            (f"{name.replace('_', ' ')}, held-out photos", control)
            for name, control in report.controls.items()
        ),
    ]
    return Section(
        title=report.summary(),
        words=[
            f"Stopped after {report.iterations} iterations and {report.seconds:.0f} s: "
            f"{report.stopped_because}.",
            "Looking like eyeglasses: the discriminator, as it was before the attack, gives the "
            f"frame {report.stealth.discriminator_score:.3f}; the middle 90 % of frames that the "
            f"generator draws without an attack get {scale.low:.3f} to {scale.high:.3f}.",
        ],
        warnings=report.warnings,
        table=Table(
            head=("", "photos", "success", "95 % interval", "mean p", "of those recognised"),
            rows=[(name, *success_cells(success)) for name, success in rows if success],
        ),
        pictures=[
            Picture(
                path=folder / "before_after.png",
                caption="Held-out photos as they are, and wearing the frame.",
            ),
            Picture(path=folder / "history.png", caption="The attack, step by step."),
        ],
    )
