"""The demonstration: recognise, generate, dodge and impersonate, and the report of it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from agns.attack.agn import AGN
from agns.data.faces import FaceSet
from agns.data.synthetic import SyntheticConfig, synthetic_faces
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.attack_report import AttackReport, describe
from agns.evaluation.experiment import Experiment
from agns.evaluation.metrics import success_cells
from agns.evaluation.plots import Portrait, draw_overview
from agns.evaluation.report import Picture, Section, Table, write_report
from agns.evaluation.trial import run_experiment
from agns.images import read_image, tile, write_image
from agns.models.dcgan import sample_latents
from agns.storage import versions
from agns.training.recognizer_scores import classify
from agns.types import Progress, silent

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress bar of that title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What the demonstration found."""

    accuracy: float
    """Share of fresh photos recognised."""

    attacks: tuple[AttackReport, AttackReport]
    """One subject dodges, another impersonates a third."""


def demonstrate(
    apparatus: Apparatus,
    out: Path,
    bar: Bar,
    *,
    seed: int = 0,
    attack: AGN | None = None,
    photos: int = 48,
    tried: int = 8,
) -> Demonstration:
    """Run the demonstration on drawn faces and write it into a directory.

    Args:
        apparatus: With a recogniser of the drawn identities.
        out: Directory for the results.
        bar: How progress is shown.
        seed: Of every draw; also chooses subjects and target.
        attack: Settings of both attacks, whose seed is replaced.
        photos: Of each attacked identity.
        tried: Photos of every identity that the recogniser is tried on.
    """
    identities = apparatus.recognizer.identities

    def draw(count: int, only: str | None = None, progress: Progress = silent) -> FaceSet:
        # Photos before the 80th were used in training.
        config = SyntheticConfig(identities=len(identities), photos=count, first_photo=80)
        return synthetic_faces(config, only=only, progress=progress)

    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(identities), generator=draws).tolist()
    dodger, impersonator, target = (identities[index] for index in order[:3])
    with bar("Drawing faces") as progress:
        fresh = draw(tried, progress=progress)
    predicted = classify(apparatus.victim, fresh).argmax(1)
    accuracy = float((predicted == fresh.labels).float().mean())
    first = torch.cat([fresh.places_of(identity)[:2] for identity in identities])
    write_image(out / "faces.png", tile(fresh.faces(first), columns=10))
    with torch.no_grad():
        frames = apparatus.generator(sample_latents(30, generator=draws))
    write_image(out / "generated.png", tile(frames, columns=5))

    reports, portraits = [], []
    for experiment, title in (
        (Experiment(goal="dodge", subject=dodger, seed=seed), f"{dodger} dodges"),
        (
            Experiment(goal="impersonate", subject=impersonator, target=target, seed=seed),
            f"{impersonator} as {target}",
        ),
    ):
        own = draw(photos, only=experiment.subject)
        folder = out / experiment.goal
        with bar(title) as progress:
            report = run_experiment(
                apparatus, own, experiment, replace(attack or AGN(), seed=seed), folder,
                progress=progress,
            )  # fmt: skip
        place = own.photos.index(report.photos["held_out"][0])
        portraits.append(
            Portrait(
                face=own.faces(torch.tensor([place]))[0],
                frame=read_image(folder / "frame.png"),
                title=describe(report),
            )
        )
        reports.append(report)
    draw_overview(out / "overview.png", apparatus.victim, portraits)
    dodge, impersonate = reports
    found = Demonstration(accuracy=accuracy, attacks=(dodge, impersonate))
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
                f"The recogniser names {accuracy:.1%} of {len(fresh)} photos that it was not "
                "trained on."
            ],
            pictures=[Picture(path=out / "faces.png", caption="Two photos of each identity.")],
        ),
        Section(
            title="Generate",
            words=["What the generator draws before any attack."],
            pictures=[Picture(path=out / "generated.png", caption="Thirty random frames.")],
        ),
        *(_attack_section(report, out / report.goal) for report in reports),
        Section(
            title="Settings and versions",
            fine_print=json.dumps(
                {report.goal: report.config for report in reports} | {"versions": versions()},
                indent=2,
            ),
        ),
    ]
    write_report(out / "report.html", "agns: a demonstration on drawn faces", sections)
    return found


def _attack_section(report: AttackReport, folder: Path) -> Section:
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
        title=describe(report),
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
            rows=[(name, *success_cells(success)) for name, success in rows],
        ),
        pictures=[
            Picture(
                path=folder / "before_after.png",
                caption="Held-out photos as they are, and wearing the frame.",
            ),
            Picture(path=folder / "history.png", caption="The attack, step by step."),
        ],
    )
