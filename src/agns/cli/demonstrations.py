"""The parts of `agns demo`: each says what will happen, does it, and says what was seen."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import bar, percent, say
from agns.cli.face_options import FaceOptions, open_faces
from agns.cli.launching import command
from agns.cli.stage import Stage
from agns.errors import ConfigError
from agns.loading import recorded_crop

if TYPE_CHECKING:
    from agns.data.faces import FaceSet
    from agns.evaluation.score import AttackScore

LOOKS = 8
"""Photos of each drawn identity that the recogniser is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the demonstration."""

    title: str
    """For the menu."""

    before: tuple[str, str, str]
    """What will happen."""

    run: Callable[[Stage], tuple[tuple[str, str, str], list[str]]]
    """Does it; returns what was seen, and the long commands that do the same."""

    leaves: str
    """What it writes, by its name in the directory."""

    asks_seed: bool = True
    """Whether somebody at a terminal is asked for the seed."""


def show_part(part: Part, stage: Stage) -> None:
    """Say what will happen, do it, and say what was seen and how to do it by hand."""
    if stage.out.exists() and not stage.out.is_dir():
        raise ConfigError(f"{stage.out} is a file, not a directory for results")
    if (stage.out / part.leaves).exists():
        raise ConfigError(f"{stage.out / part.leaves} is already there: name another directory")
    for sentence in part.before:
        say(sentence)
    seen, commands = part.run(stage)
    for sentence in seen:
        say(sentence)
    say("By hand, with all drawn eyeglasses:")
    for line in commands:
        say(f"  {line}")


def _recognise(stage: Stage) -> tuple[tuple[str, str, str], list[str]]:
    import torch

    from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
    from agns.evaluation.figures import draw_recognized
    from agns.models.victim import freeze
    from agns.training.recognizer_scores import classify

    victim = freeze(stage.victim.recognizer)
    names = victim.identities
    if stage.faces is None:
        drawn = SyntheticConfig(identities=len(names), photos=LOOKS, first_photo=80)
        with bar("Drawing faces") as progress:
            photos = synthetic_faces(drawn, progress=progress)
    else:
        photos = _unseen(
            open_faces(
                FaceOptions(
                    root=stage.faces,
                    names=stage.known,
                    center_crop=recorded_crop(stage.victim.metadata),
                )
            ),
            stage,
        )
    truth = torch.tensor([names.index(photos.identities[label]) for label in photos.labels])
    probabilities = classify(victim, photos).softmax(1)
    right = (probabilities.argmax(1) == truth).float()
    first = torch.stack([(truth == label).nonzero()[0, 0] for label in truth.unique()])[:10]
    sheet = stage.out / "recognised.png"
    draw_recognized(sheet, photos.faces(first), probabilities[first].log(), names)
    sure = probabilities.gather(1, truth[:, None])[:, 0]
    worst = int(sure.argmin())
    seen = (
        f"{percent(float(right.mean()))} of {len(photos)} photos are recognised.",
        f"The hardest is {photos.photos[worst]}: {float(sure[worst]):.3f} for who it is.",
        f"Wrote {sheet}: a photo of each identity, with the recogniser's first choice.",
    )
    named = ("--recognizer", stage.recognizer) if stage.recognizer else ()
    commands = [command("recognize", *named, stage.faces or "faces")]
    if stage.faces is None:
        size = ("--identities", len(names), "--photos", LOOKS, "--first-photo", 80)
        commands.insert(0, command("faces", "draw", "--out", "faces", *size))
    return seen, commands


def _unseen(photos: "FaceSet", stage: Stage) -> "FaceSet":
    """Those photos that the recogniser was not trained on."""
    from agns.data.twins import were_seen
    from agns.models.record import photos_seen

    fresh = (~were_seen(photos, photos_seen(stage.victim.metadata))).nonzero()[:, 0]
    if not len(fresh):
        raise ConfigError(
            f"the recogniser was trained on every photo in {stage.faces}: give others"
        )
    return photos.subset(fresh)


def _generate(stage: Stage) -> tuple[tuple[str, str, str], list[str]]:
    import torch

    from agns.cli.face_options import open_glasses
    from agns.images import from_pixels, tile, write_image
    from agns.models.dcgan import Discriminator, Generator, sample_latents
    from agns.models.shipped import shipped_weights

    draws = torch.Generator().manual_seed(stage.seed)
    generator = Generator.read(shipped_weights("generator"))
    discriminator = Discriminator.read(shipped_weights("discriminator")).eval()
    with torch.no_grad():
        frames = generator(sample_latents(40, generator=draws))
        real = from_pixels(open_glasses(None, count=64))
        believed = float(discriminator.judge_among(frames, real).sigmoid().median())
    sheet = stage.out / "generated.png"
    write_image(sheet, tile(frames, columns=5))
    seen = (
        f"Forty frames, drawn with seed {stage.seed}: the same seed gives the same frames.",
        f"Among real frames, the discriminator believes in them at {believed:.2f} (median).",
        f"Wrote {sheet}.",
    )
    return seen, [command("glasses", "generate", "--out", "generated.png", "--seed", stage.seed)]


def _attack(goal: str, stage: Stage) -> tuple[tuple[str, str, str], list[str]]:
    from agns.attack.agn import AGN
    from agns.evaluation.attack_spec import AttackSpec
    from agns.evaluation.prepared_attack import run_attack

    subject, other = stage.pair()
    target = None if goal == "dodge" else other
    experiment = AttackSpec(
        goal="dodge" if target is None else "impersonate",
        subject=subject, target=target, seed=stage.seed,
    )  # fmt: skip
    photos, setup, out = stage.photos(subject), stage.setup(), stage.out / goal
    with bar(f"{subject} {'dodges' if target is None else f'as {target}'}") as progress:
        report = run_attack(setup, photos, experiment, AGN(), out, progress=progress)
    aim = () if target is None else ("--target", target)
    long = command(
        "attack", goal, "--subject", subject, *aim, *stage.options,
        "--seed", stage.seed, "--out", stage.by_hand / goal,
    )  # fmt: skip
    return _seen(report, out), [long]


_STUDIO = 0.3
"""How far the simulated camera's scenes depart from plain ones: the sitter faces it, in steady
light."""


def _physical(stage: Stage) -> tuple[tuple[str, str, str], list[str]]:
    import torch

    from agns.attack.agn import PHYSICAL
    from agns.data.marked_photos import load_marked_photos
    from agns.data.simulation.wearer import write_wearer
    from agns.evaluation.attack_spec import AttackSpec
    from agns.evaluation.prepared_attack import run_attack

    subject, target = stage.pair()
    setup, out = stage.setup(), stage.out / "physical"
    own = stage.photos(subject)
    photos = stage.out / "photos" / subject
    with bar("Photographing") as progress:
        write_wearer(
            photos, own, subject, seen=setup.photos_seen, most=40, strength=_STUDIO,
            draws=torch.Generator().manual_seed(stage.seed), progress=progress,
        )  # fmt: skip
    marked = load_marked_photos(photos, subject, skip_unmarked=True)
    experiment = AttackSpec(
        goal="impersonate", subject=subject, target=target, seed=stage.seed, physical=True
    )
    with bar(f"{subject} as {target}") as progress:
        report = run_attack(
            setup, marked.faces, experiment, PHYSICAL, out,
            placement=marked.placement, progress=progress,
        )  # fmt: skip
    victim = ("--recognizer", stage.recognizer) if stage.recognizer else ()
    unseen = ("--unseen-by", stage.recognizer) if stage.recognizer else ()
    faces = ("--faces", stage.faces) if stage.faces else ()
    taken = stage.by_hand / "photos" / subject
    commands = [
        command(
            "faces", "photograph", "--subject", subject, "--photos", 40, "--strength", _STUDIO,
            *faces, *unseen,
            "--seed", stage.seed, "--out", taken,
        ),
        command(
            "attack", "impersonate", "--physical", "--photos", taken, "--skip-unmarked",
            "--target", target, *victim, "--seed", stage.seed, "--out", stage.by_hand / "physical",
        ),
    ]  # fmt: skip
    return _seen(report, out), commands


def _seen(report: "AttackScore", out: Path) -> tuple[str, str, str]:
    if report.stopped_because == "interrupted":
        raise KeyboardInterrupt
    held, benign = report.held_out, report.controls["benign"]
    aim = "is not recognised" if report.target is None else f"is taken for {report.target}"
    bare = "the marked frame alone" if report.physical else "no frame"
    warned = f" {report.warnings[0]}" if report.warnings else ""
    return (
        f"{report.subject} wearing the frame {aim} on {percent(held.success_rate)} of "
        f"{held.images} photos that it was not made on.",
        f"Wearing benign frames, on {percent(benign.success_rate)}; wearing {bare}, on "
        f"{percent(report.held_out_without_frame.success_rate)}.",
        f"Wrote {out / 'before_after.png'} and result.json beside it.{warned}",
    )


PARTS: dict[str, Part] = {
    "recognise": Part(
        title="recognise faces",
        before=(
            "A recogniser is shown photos that it was not trained on.",
            "It gives each identity a probability; the first choice counts.",
            "This is what the attacks below are up against.",
        ),
        leaves="recognised.png",
        run=_recognise,
        asks_seed=False,
    ),
    "generate": Part(
        title="generate eyeglasses",
        before=(
            "A generator draws eyeglasses from random points.",
            "It has learnt from 16,680 frames with the textures of a shop.",
            "The attacks fine-tune a copy of it.",
        ),
        leaves="generated.png",
        run=_generate,
    ),
    "dodge": Part(
        title="dodge: not be recognised",
        before=(
            "Somebody wants not to be recognised.",
            "A copy of the generator is fine-tuned on some photos until its frames hide them.",
            "Success is measured on other photos, beside frames that nobody crafted.",
        ),
        leaves="dodge",
        run=lambda stage: _attack("dodge", stage),
    ),
    "impersonate": Part(
        title="impersonate: be taken for somebody",
        before=(
            "Somebody wants to be taken for one other identity.",
            "A copy of the generator is fine-tuned on some photos until its frames do that.",
            "Success is measured on other photos, beside frames that nobody crafted.",
        ),
        leaves="impersonate",
        run=lambda stage: _attack("impersonate", stage),
    ),
    "physical": Part(
        title="impersonate physically: with photos of a worn frame",
        before=(
            "Somebody faces a simulated camera, wearing a frame with seven green marks.",
            "The marks tell where each photo has the frame; generated ones are warped onto it.",
            "The same warp serves in the attack and in the scoring, on other photos.",
        ),
        leaves="physical",
        run=_physical,
    ),
}
"""By the names that `agns demo` takes."""
