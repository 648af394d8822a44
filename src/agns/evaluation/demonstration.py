"""The demonstration: recognise, generate, dodge and impersonate, and the report of it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.attack.agn import AGN
from agns.data.faces import FaceSet
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.metrics import success_cells
from agns.evaluation.plots import Portrait, draw_overview
from agns.evaluation.prepared_attack import run_attack
from agns.evaluation.report import Picture, Section, Table, write_report
from agns.evaluation.score import AttackScore, check_results_directory
from agns.images import read_image, tile, write_image
from agns.models.dcgan import sample_latents
from agns.storage import versions
from agns.training.recognizer_scores import classify
from agns.types import Progress, silent

SHOWN = ("Synthetic_003", "Synthetic_003", "Synthetic_001")
"""Who dodges, and who impersonates whom: natural frames that do it are found soon. For most of the
ten people they are not; see `results/natural.md`."""

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress bar of that title."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What the demonstration found."""

    accuracy: float
    """Share of fresh photos recognised."""

    attacks: tuple[AttackScore, AttackScore]
    """One subject dodges, another impersonates a third."""


def demonstrate(
    setup: AttackSetup,
    out: Path,
    bar: Bar,
    *,
    seed: int = 0,
    attack: AGN | None = None,
    photos: int = 48,
    tried: int = 8,
    tell: Callable[[str], None] = lambda _: None,
) -> Demonstration:
    """Run the demonstration on drawn faces and write it into a directory.

    Args:
        setup: With a recogniser of the drawn identities.
        out: Directory for the results.
        bar: How progress is shown.
        seed: Of every draw.
        attack: Settings of both attacks.
        photos: Of each attacked identity.
        tried: Photos of every identity that the recogniser is tried on.
        tell: Told of an attack that was interrupted, and what is left of it.

    Raises:
        ConfigError: The directory holds the result of such an attack already.
        KeyboardInterrupt: An attack was interrupted; it is scored, and nothing follows it.
    """
    for goal in ("dodge", "impersonate"):
        check_results_directory(out / goal)
    identities = setup.recognizer.identities

    def draw(count: int, only: str | None = None, progress: Progress = silent) -> FaceSet:
        # Photos before the 80th were used in training.
        config = SyntheticConfig(identities=len(identities), photos=count, first_photo=80)
        return synthetic_faces(config, only=only, progress=progress)

    rng = torch.Generator().manual_seed(seed)
    chosen = SHOWN if set(SHOWN) <= set(identities) else identities
    dodger, impersonator, target = chosen[:3]
    with bar("Drawing faces") as progress:
        fresh = draw(tried, progress=progress)
    predicted = classify(setup.victim, fresh).argmax(1)
    accuracy = float((predicted == fresh.labels).float().mean())
    first = torch.cat([fresh.places_of(identity)[:2] for identity in identities])
    write_image(out / "faces.png", tile(fresh.faces(first), columns=10))
    with torch.no_grad():
        frames = setup.generator(sample_latents(30, rng=rng))
    write_image(out / "generated.png", tile(frames, columns=5))

    reports, portraits = [], []
    for spec, title in (
        (AttackSpec(goal="dodge", subject=dodger, seed=seed), f"{dodger} dodges"),
        (
            AttackSpec(goal="impersonate", subject=impersonator, target=target, seed=seed),
            f"{impersonator} as {target}",
        ),
    ):
        own = draw(photos, only=spec.subject)
        folder = out / spec.goal
        report = run_attack(
            setup, own, spec, attack or AGN(), folder,
            bar=bar(title), scoring=bar("Scoring"), tell=tell,
        )  # fmt: skip
        if report.stopped_because == "interrupted":
            tell(
                f"{report.summary()}. Wrote {folder / 'result.json'} and pictures beside it, and "
                f"faces.png and generated.png in {out}; the rest was not run."
            )
            raise KeyboardInterrupt
        place = own.photos.index(report.photos["held_out"][0])
        portraits.append(
            Portrait(
                face=own.faces(torch.tensor([place]))[0],
                frame=read_image(folder / "frame.png"),
                title=report.summary(),
            )
        )
        reports.append(report)
    draw_overview(out / "overview.png", setup.victim, portraits)
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


def _attack_section(report: AttackScore, folder: Path) -> Section:
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
            *_looks(report),
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


def _looks(report: AttackScore) -> list[str]:
    seen = report.stealth.appearance
    if seen is None:
        return []
    said = "The frame passes for eyeglasses" if seen.passes else "The frame is no usual one"
    return [
        f"{said}, say judges that no attack has seen: of real frames {seen.patches:.0%} look more "
        f"usual by patches, {seen.whole:.0%} as a whole, {seen.variation:.0%} by total variation."
    ]
