"""The parts of `agns demo`: each says what will happen, does it, and says what was seen."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.agn import AGN, PHYSICAL
from agns.cli.console import bar, percent, say
from agns.cli.face_options import FaceOptions, open_faces, open_glasses, open_subject
from agns.cli.launching import command
from agns.data.face_folder import list_identities
from agns.data.faces import FaceSet
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.simulation.wearer import write_wearer
from agns.data.twins import were_seen
from agns.errors import ConfigError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.plots import draw_captioned, first_choices
from agns.evaluation.prepared_attack import run_attack
from agns.images import from_pixels, tile, write_image
from agns.loading import LoadedVictim, load_setup, recorded_crop
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.record import photos_seen
from agns.models.shipped import shipped_weights
from agns.models.victim import freeze
from agns.training.recognizer_scores import classify

DEMO_FRAMES = 2560
"""Drawn frames that the demonstration's attacks see; fewer than the whole set saves time."""
_TRIED = 8
"""Photos of each drawn identity that the recogniser is shown."""
_STRENGTH = 0.3
"""How far the simulated camera's scenes depart from plain ones: the person faces it, in steady
light."""
Shown: TypeAlias = tuple[list[str], list[str]]
"""What was seen, in sentences, and the commands that do the same by hand."""


@dataclass(frozen=True)
class Demo:
    """What every part is given."""

    victim: LoadedVictim
    """Whom to fool."""

    recognizer: Path | None
    """Its file, if it is not the one that comes with agns."""

    faces: Path | None
    """A face folder, if not drawn faces."""

    out: Path
    """Where pictures and results go."""

    seed: int

    def options(self, recognizer: str = "--recognizer") -> tuple[object, ...]:
        """The options that name the victim and the faces, for a command line."""
        named = ((recognizer, self.recognizer), ("--faces", self.faces))
        return tuple(word for pair in named if pair[1] is not None for word in pair)

    @property
    def by_hand(self) -> Path:
        """Where the same done by hand may go: what this run writes is not written over."""
        return self.out.with_name(f"{self.out.name}-by-hand")

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The recogniser's identities whom the folder has; all of them without a folder."""
        identities = self.victim.recognizer.identities
        if self.faces is None:
            return identities
        listed = list_identities(self.faces)
        known = tuple(name for name in identities if listed.get(name))
        if len(known) < 2:
            raise ConfigError(
                f"{self.faces} holds {len(known)} of the recogniser's {len(identities)} "
                "identities, but a demonstration needs two: name the recogniser of these faces "
                "with --recognizer"
            )
        return known

    def pair(self) -> tuple[str, str]:
        """Two identities, by the seed."""
        rng = torch.Generator().manual_seed(self.seed)
        first, second = torch.randperm(len(self.known), generator=rng)[:2].tolist()
        return self.known[first], self.known[second]

    def photos(self, subject: str) -> FaceSet:
        """One identity's photos."""
        options = FaceOptions(root=self.faces, center_crop=recorded_crop(self.victim.metadata))
        return open_subject(options, subject, self.victim.recognizer.identities)

    def unseen(self) -> FaceSet:
        """Photos of all identities that the recogniser was not trained on."""
        if self.faces is None:
            drawn = SyntheticConfig(identities=len(self.known), photos=_TRIED, first_photo=80)
            with bar("Drawing faces") as progress:
                return synthetic_faces(drawn, progress=progress)
        crop = recorded_crop(self.victim.metadata)
        photos = open_faces(FaceOptions(root=self.faces, names=self.known, center_crop=crop))
        fresh = (~were_seen(photos, photos_seen(self.victim.metadata))).nonzero()[:, 0]
        if not len(fresh):
            raise ConfigError(
                f"the recogniser was trained on every photo in {self.faces}: give others"
            )
        return photos.subset(fresh)

    def setup(self) -> AttackSetup:
        """The networks that come with agns, and some drawn frames."""
        return load_setup(self.victim, open_glasses(None, count=DEMO_FRAMES))


def show_part(name: str, demo: Demo) -> None:
    """Say what will happen, do it, and say what was seen and how to do it by hand."""
    part = PARTS[name]
    if demo.out.exists() and not demo.out.is_dir():
        raise ConfigError(f"{demo.out} is a file, not a directory for results")
    if (demo.out / part.leaves).exists():
        raise ConfigError(f"{demo.out / part.leaves} is already there: name another directory")
    for sentence in part.before.splitlines():
        say(sentence)
    seen, commands = part.run(demo)
    for sentence in seen:
        say(sentence)
    say("By hand, with all drawn eyeglasses:")
    for line in commands:
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
    commands = [command("recognize", *named, demo.faces or "faces")]
    if demo.faces is None:
        size = ("--identities", len(names), "--photos", _TRIED, "--first-photo", 80)
        commands.insert(0, command("faces", "draw", "--out", "faces", *size))
    return seen, commands


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
    return seen, [command("glasses", "generate", "--out", "generated.png", "--seed", demo.seed)]


def _digital(goal: str, demo: Demo) -> Shown:

    subject, target = demo.pair() if goal == "impersonate" else (demo.pair()[0], None)
    seen = _attack(demo, goal, subject, target, demo.photos(subject), AGN(), FIXED)
    aim = () if target is None else ("--target", target)
    by_hand = command(
        "attack", goal, "--subject", subject, *aim, *demo.options(),
        "--seed", demo.seed, "--out", demo.by_hand / goal,
    )  # fmt: skip
    return seen, [by_hand]


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
    return seen, [photograph, attack]


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
        demo.setup(), photos, spec, config, out, placement=placement, bar=bar(title), tell=say
    )
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
