"""`agns attack`: one attack, and what it is worth."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, no_type_check

import typer

from agns.cli.attack_tables import show_score
from agns.cli.console import bar, prepare, say
from agns.cli.face_options import (
    FaceOptions,
    check_faces_options,
    open_glasses,
    open_subject,
    tell_left_out,
)
from agns.cli.options import (
    CenterCropOption,
    DefenceOption,
    DeviceOption,
    DiscriminatorOption,
    FacesOption,
    GeneratorOption,
    GlassesOption,
    RecognizerOption,
    SeedOption,
    SkipOption,
)
from agns.cli.settings_options import Settings, SettingsCommand, given_settings
from agns.loading import attacked_crop, load_setup, load_victim

if TYPE_CHECKING:
    from agns.accessory.placement import Placement
    from agns.attack.attack import Attack
    from agns.data.faces import FaceSet


class AttackCommand(SettingsCommand):
    """A command that has the options of the attack that `--method` names."""

    # The context is of a library that Typer keeps to itself.
    @no_type_check
    def make_context(self, info_name, args, **named):
        """Make the method's options."""
        from agns.attack.baselines import Baseline
        from agns.attack.library_attack import LibraryAttack
        from agns.errors import ConfigError

        method = _named_method(args)
        usual = usual_attack(method, physical="--physical" in args)
        kind = type(usual)
        shown = {one.name: getattr(usual, one.name) for one in dataclasses.fields(kind)}
        self.settings = (
            Settings(
                f"{kind.__module__}:{kind.__qualname__}",
                without=("kind",) if kind in (Baseline, LibraryAttack) else (),
                defaults={name: f"{value}" for name, value in shown.items() if value is not None},
            ),
        )
        try:
            return super().make_context(info_name, args, **named)
        except Exception as error:
            option = getattr(error, "option_name", None)
            if option in _options_of_all():
                raise ConfigError(f"{option} has no part in --method {method}") from error
            raise


def _named_method(args: list[str]) -> str:
    """What `--method` says in a command line that is not read yet; the last one counts."""
    method = "agn"
    for place, word in enumerate(args):
        if word == "--method" and place + 1 < len(args):
            method = args[place + 1]
        elif word.startswith("--method="):
            method = word.removeprefix("--method=")
    return method


def _options_of_all() -> set[str]:
    """The options of every attack's settings."""
    from agns.attack.methods import METHODS

    fields = {one.name for usual in METHODS.values() for one in dataclasses.fields(usual)}
    return {f"--{name.replace('_', '-')}" for name in fields}


def usual_attack(name: str, *, physical: bool) -> "Attack":
    """An attack with the settings that it has where none is given."""
    from agns.attack.agn import AGN, PHYSICAL
    from agns.attack.methods import find_attack
    from agns.attack.pixel_descent import PixelDescent
    from agns.attack.span import Span

    usual = find_attack(name)
    if physical and isinstance(usual, AGN):
        names = ("jitter", "brightness", "samples")
        return dataclasses.replace(usual, **{name: getattr(PHYSICAL, name) for name in names})
    if physical and isinstance(usual, PixelDescent | Span):
        return dataclasses.replace(usual, jitter=PHYSICAL.jitter, brightness=PHYSICAL.brightness)
    return usual


def attack(
    goal: Annotated[
        Literal["dodge", "impersonate"], typer.Argument(help="What the subject wants.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the results.")],
    subject: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Who wears the eyeglasses.  [default: of a physical attack, the folder's name]",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom to be taken for, if impersonating.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="agn, a generative net. A frame that stays among real ones: span. To "
            "compare with, a frame's own pixels, which need not "
            "look like eyeglasses: ccs16, ccs16-bounded, ccs16-physical, pgd, pixels. Without a "
            "gradient: cmaes and square, which only ask, and transfer, which follows surrogates. "
            "The best of 300 frames that nobody crafted: benign, untrained-generator, noise, "
            "solid. Other libraries' attacks: art-apgd, art-square, foolbox-pgd. Or your own: "
            "package.module:Class. Before --help it shows that method's settings.",
        ),
    ] = "agn",
    recognizer: RecognizerOption = None,
    defence: DefenceOption = None,
    faces: FacesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    physical: Annotated[
        bool,
        typer.Option(
            "--physical", help="Warp frames onto one with seven green marks that is worn in photos."
        ),
    ] = False,
    photos: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of aligned photos of the subject wearing it."),
    ] = None,
    skip_unmarked: Annotated[
        bool,
        typer.Option(
            "--skip-unmarked", help="Count photos that do not show exactly seven marks, and go on."
        ),
    ] = False,
    seed: SeedOption = 0,
    stop: Annotated[
        float | None,
        typer.Option(
            help="Mean probability that ends it.  [default: 0.01, or 0.924 for a target; "
            "physically 0.005 and 0.99]"
        ),
    ] = None,
    craft: Annotated[
        int,
        typer.Option(
            help="Most photos to craft on: of those that the recogniser was trained on, or of half."
        ),
    ] = 16,
    control_frames: Annotated[
        int,
        typer.Option(
            help="Frames of each of the three controls, all tried on every held-out photo.", min=1
        ),
    ] = 32,
    generator: GeneratorOption = None,
    discriminator: DiscriminatorOption = None,
    glasses: GlassesOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Make eyeglasses that fool a recogniser, on some of a subject's photos; score the others.

    For frames that many subjects dodge with, see `agns universal --help`. Only for
    recognisers that you are allowed to test.
    """
    from agns.accessory.placement import FIXED
    from agns.accessory.printability import palette_at
    from agns.attack.methods import palette_of
    from agns.errors import ConfigError
    from agns.evaluation.attack_spec import AttackSpec, build_goal
    from agns.evaluation.prepared_attack import run_attack
    from agns.evaluation.score import check_results_directory

    prepare()
    if physical:
        if photos is None or faces is not None or center_crop is not None or skip_unreadable:
            raise ConfigError(
                "a physical attack is made on photos of somebody who wears the marked frame: give "
                "--photos, without --faces, --center-crop and --skip-unreadable"
            )
        if not photos.is_dir():
            raise ConfigError(f"there is no folder of photos {photos}")
        subject = subject or Path(os.path.abspath(photos)).name  # Not where a link leads.
    elif photos is not None or skip_unmarked:
        raise ConfigError("--photos and --skip-unmarked belong to --physical")
    check_faces_options(faces, center_crop, skip_unreadable=skip_unreadable)
    if subject is None:
        raise ConfigError("name who wears the eyeglasses with --subject")
    own = usual_attack(method, physical=physical)
    assert dataclasses.is_dataclass(own)
    try:
        own = dataclasses.replace(own, **given_settings(type(own)))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{method} refuses its settings: {error}") from error
    check_results_directory(out)
    spec = AttackSpec(
        goal=goal, subject=subject, target=target, stop=stop, craft=craft, seed=seed,
        physical=physical, control_frames=control_frames,
    )  # fmt: skip
    victim = load_victim(recognizer, device, defence=defence)
    cut = None if physical else attacked_crop(victim, center_crop)
    palette_at(palette_of(own))
    spec = dataclasses.replace(spec, center_crop=cut)
    build_goal(spec, victim.recognizer)
    if physical and photos is not None:
        photographs, placement = _marked(photos, subject, skip_unmarked=skip_unmarked)
    else:
        options = FaceOptions(root=faces, center_crop=cut, skip_unreadable=skip_unreadable)
        photographs = open_subject(options, subject, victim.recognizer.identities)
        placement = FIXED
    # Last, as the first time it takes a while: mistakes above are told at once.
    setup = load_setup(
        victim, open_glasses(glasses), generator=generator, discriminator=discriminator
    )
    title = f"{subject} {'dodges' if target is None else f'as {target}'}"
    score = run_attack(
        setup, photographs, spec, own, out,
        placement=placement, bar=bar(title), scoring=bar("Scoring"), tell=say,
    )  # fmt: skip
    show_score(score, out)
    if score.stopped_because == "interrupted":
        raise typer.Exit(130)


def _marked(photos: Path, subject: str, *, skip_unmarked: bool) -> "tuple[FaceSet, Placement]":
    """Photos of somebody who wears the marked frame, and where that sits on them."""
    from agns.data.marked_photos import load_marked_photos

    marked = load_marked_photos(photos, subject, skip_unmarked=skip_unmarked)
    tell_left_out(photos, marked.left_out)
    say(f"Found the seven marks in {len(marked.faces)} photos")
    if marked.skipped:
        say(f"{len(marked.skipped)} photos were left out: {marked.skipped[0]}")
    return marked.faces, marked.placement
