"""The parts of `agns demo`: each says what will happen, does it, and says what was seen."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.agn import AGN, PHYSICAL
from agns.cli.console import bar, percent, say, show_picture
from agns.cli.demo_setup import TRIED, Demo
from agns.cli.face_options import open_glasses
from agns.cli.launching import command
from agns.data.faces import FaceSet
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.wearer import write_wearer
from agns.errors import ConfigError
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.plots import draw_captioned, first_choices
from agns.evaluation.prepared_attack import run_attack
from agns.images import from_pixels, tile, write_image
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.record import photos_seen
from agns.models.shipped import shipped_weights
from agns.models.victim import freeze
from agns.training.recognizer_scores import classify

_STRENGTH = 0.3
"""How far the simulated camera's scenes depart from plain ones: the person faces it, in steady
light."""


class Shown(NamedTuple):
    """What a part found."""

    seen: list[str]
    """In sentences."""

    picture: Path

    commands: list[str]
    """That do the same by hand."""

    python: list[str]
    """Lines that do the same, on the photos that the commands write."""


def show_part(name: str, demo: Demo) -> None:
    """Say what will happen, do it, and say what was seen and how to do it by hand."""
    part = PARTS[name]
    if demo.out.exists() and not demo.out.is_dir():
        raise ConfigError(f"{demo.out} is a file, not a directory for results")
    if (demo.out / part.leaves).exists():
        raise ConfigError(f"{demo.out / part.leaves} is already there: name another directory")
    for sentence in part.before.splitlines():
        say(sentence)
    shown = part.run(demo)
    for sentence in shown.seen:
        say(sentence)
    show_picture(shown.picture)
    say("By hand, with all drawn eyeglasses:")
    for line in shown.commands:
        say(f"  {line}")
    say("From Python:")
    for line in shown.python:
        say(f"  {line}")


def _recognise(demo: Demo) -> Shown:

    victim, photos = freeze(demo.victim.recognizer), demo.unseen()
    names = victim.identities
    truth = torch.tensor([names.index(photos.identities[label]) for label in photos.labels])
    logits = classify(victim, photos)
    probabilities = logits.softmax(1)
    right = (probabilities.argmax(1) == truth).float()
    first = torch.stack([(truth == label).nonzero()[0, 0] for label in truth.unique()])[:10]
    sheet = demo.out / "recognised.png"
    draw_captioned(sheet, photos.faces(first), first_choices(logits[first], names), columns=5)
    sure = probabilities.gather(1, truth[:, None])[:, 0]
    worst = int(sure.argmin())
    seen = [
        f"{percent(float(right.mean()))} of {len(photos)} photos are recognised.",
        f"The hardest is {photos.photos[worst]}: {float(sure[worst]):.3f} for who it is.",
        f"Wrote {sheet}: a photo of each identity, with the recogniser's first choice.",
    ]
    named = ("--recognizer", demo.recognizer) if demo.recognizer else ()
    commands = [*demo.drawing(TRIED), command("recognize", *named, demo.faces or "faces")]
    python = [
        "import torch",
        *demo.loading(),
        "logits = victim(faces.faces(torch.arange(len(faces))))",
        "print([victim.identities[number] for number in logits.argmax(1)])",
    ]
    return Shown(seen, sheet, commands, python)


def _generate(demo: Demo) -> Shown:

    rng = torch.Generator().manual_seed(demo.seed)
    generator = Generator.read(shipped_weights("generator"))
    discriminator = Discriminator.read(shipped_weights("discriminator")).eval()
    with torch.no_grad():
        frames = generator(sample_latents(40, rng=rng))
        real = from_pixels(open_glasses(None, count=64))
        believed = float(discriminator.judge_among(frames, real).sigmoid().median())
    sheet = demo.out / "generated.png"
    write_image(sheet, tile(frames, columns=5))
    seen = [
        f"Forty frames, drawn with seed {demo.seed}: the same seed gives the same frames.",
        f"Among real frames, the discriminator believes in them at {believed:.2f} (median).",
        f"Wrote {sheet}.",
    ]
    python = [
        "import torch",
        "from agns.attack.attack import shipped_nets",
        "from agns.models.dcgan import sample_latents",
        f"latents = sample_latents(40, rng=torch.Generator().manual_seed({demo.seed}))",
        "frames = shipped_nets()[0](latents)  # (40, 3, 64, 176), in [0, 1]",
    ]
    by_hand = command("glasses", "generate", "--out", "generated.png", "--seed", demo.seed)
    return Shown(seen, sheet, [by_hand], python)


def _digital(goal: str, demo: Demo) -> Shown:

    subject, target = demo.pair() if goal == "impersonate" else (demo.pair()[0], None)
    seen = _attack(demo, goal, subject, target, demo.photos(subject), AGN(), FIXED)
    aim = () if target is None else ("--target", target)
    by_hand = command(
        "attack", goal, "--subject", subject, *aim, *demo.options(),
        "--seed", demo.seed, "--out", demo.by_hand / goal,
    )  # fmt: skip
    aimed = f"Dodge({subject!r})" if target is None else f"Impersonate({target!r})"
    python = [
        *(f"# {line}" for line in demo.drawing(48)),
        *demo.loading(),
        f"craft, held_out = faces.of({subject!r}).split(seed={demo.seed})",
        f"result = agns.AGN().run(victim, craft, agns.{aimed}, seed={demo.seed})",
        "print(agns.evaluate(result, victim, held_out).held_out)",
    ]
    return Shown(seen, demo.out / goal / "before_after.png", [by_hand], python)


def _physical(demo: Demo) -> Shown:

    subject, target = demo.pair()
    folder = demo.out / "photos" / subject
    with bar("Photographing") as progress:
        write_wearer(
            folder, demo.photos(subject), subject, seen=photos_seen(demo.victim.metadata), most=40,
            strength=_STRENGTH, rng=torch.Generator().manual_seed(demo.seed), progress=progress,
        )  # fmt: skip
    marked = load_marked_photos(folder, subject, skip_unmarked=True)
    seen = _attack(demo, "physical", subject, target, marked.faces, PHYSICAL, marked.placement)
    taken, seed = demo.by_hand / "photos" / subject, ("--seed", demo.seed)
    victim = ("--recognizer", demo.recognizer) if demo.recognizer else ()
    photograph = command(
        "faces", "photograph", "--subject", subject, "--photos", 40, "--strength", _STRENGTH,
        *demo.options("--unseen-by"), *seed, "--out", taken,
    )  # fmt: skip
    attack = command(
        "attack", "impersonate", "--physical", "--photos", taken, "--skip-unmarked",
        "--target", target, *victim, *seed, "--out", demo.by_hand / "physical",
    )  # fmt: skip
    python = [
        "from pathlib import Path",
        "from agns.attack.agn import PHYSICAL",
        "from agns.data.marked_photos import load_marked_photos",
        "from agns.data.simulation.drawn_frames import load_drawn_frames",
        "from agns.evaluation.attack_spec import AttackSpec",
        "from agns.evaluation.prepared_attack import run_attack",
        "from agns.loading import load_setup, load_victim",
        f"setup = load_setup(load_victim({demo.named or None}), load_drawn_frames())",
        f"marked = load_marked_photos(Path({str(taken)!r}), {subject!r}, skip_unmarked=True)",
        f"spec = AttackSpec(goal='impersonate', subject={subject!r}, target={target!r}, "
        f"seed={demo.seed}, physical=True)",
        f"out = Path({str(demo.by_hand / 'python')!r})",
        "run_attack(setup, marked.faces, spec, PHYSICAL, out, placement=marked.placement)",
    ]
    pictures = demo.out / "physical" / "before_after.png"
    return Shown(seen, pictures, [photograph, attack], python)


def _attack(
    demo: Demo,
    part: str,
    subject: str,
    target: str | None,
    photos: FaceSet,
    config: AGN,
    placement: Placement,
) -> list[str]:
    """Attack, and say what came of it."""
    out = demo.out / part
    spec = AttackSpec(
        goal="dodge" if target is None else "impersonate", subject=subject, target=target,
        seed=demo.seed, physical=part == "physical",
    )  # fmt: skip
    title = f"{subject} {'dodges' if target is None else f'as {target}'}"
    report = run_attack(
        demo.setup(), photos, spec, config, out,
        placement=placement, bar=bar(title), scoring=bar("Scoring"), tell=say,
    )  # fmt: skip
    held, benign = report.held_out, report.controls["benign"]
    aim = "is not recognised" if target is None else f"is taken for {target}"
    bare = "the marked frame alone" if report.physical else "no frame"
    warned = f" {report.warnings[0]}" if report.warnings else ""
    seen = [
        f"{subject} wearing the frame {aim} on {percent(held.success_rate)} of "
        f"{held.images} photos that it was not made on.",
        f"Wearing benign frames, on {percent(benign.success_rate)}; wearing {bare}, on "
        f"{percent(report.held_out_without_frame.success_rate)}.",
        f"Wrote {out / 'before_after.png'} and result.json beside it.{warned}",
    ]
    if report.stopped_because == "interrupted":
        for sentence in seen:
            say(sentence)
        raise KeyboardInterrupt
    return seen


class Part(NamedTuple):
    """One part of the demonstration."""

    leaves: str
    """What it writes, by its name in the directory."""

    run: Callable[[Demo], Shown]
    before: str
    """What will happen, a sentence a line."""


PARTS = {
    "recognise": Part(
        "recognised.png", _recognise,
        """A recogniser is shown photos that it was not trained on.
It gives each identity a probability; the first choice counts.
This is what the attacks below are up against.""",
    ),
    "generate": Part(
        "generated.png", _generate,
        """A generator draws eyeglasses from random points.
It has learnt from 16,680 frames with the textures of a shop.
The attacks fine-tune a copy of it.""",
    ),
    "dodge": Part(
        "dodge", partial(_digital, "dodge"),
        """Somebody wants not to be recognised.
A copy of the generator is fine-tuned on some photos until its frames hide them.
Success is measured on other photos, beside frames that nobody crafted.""",
    ),
    "impersonate": Part(
        "impersonate", partial(_digital, "impersonate"),
        """Somebody wants to be taken for one other identity.
A copy of the generator is fine-tuned on some photos until its frames do that.
Success is measured on other photos, beside frames that nobody crafted.""",
    ),
    "physical": Part(
        "physical", _physical,
        """Somebody faces a simulated camera, wearing a frame with seven green marks.
The marks tell where each photo has the frame; generated ones are warped onto it.
The same warp serves in the attack and in the scoring, on other photos.""",
    ),
}  # fmt: skip
"""By the names that `agns demo` takes."""
