"""`agns attack`: one attack, and what it is worth."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agns.cli.attack_tables import show_report
from agns.cli.console import bar, prepare, say
from agns.cli.face_options import (
    FaceOptions,
    check_faces_options,
    open_glasses,
    open_subject,
    tell_left_out,
)
from agns.cli.given import given
from agns.cli.options import (
    CenterCropOption,
    DeviceOption,
    DiscriminatorOption,
    FacesOption,
    GeneratorOption,
    GlassesOption,
    MethodName,
    PaletteOption,
    PrecisionOption,
    RecognizerOption,
    SeedOption,
    SkipOption,
    Victim,
    attacked_crop,
    open_victim,
)

if TYPE_CHECKING:
    from agns.evaluation.apparatus import Apparatus


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
        MethodName,
        typer.Option(
            help="How: a generative net. Or, to compare with, a frame's own pixels, which need not "
            "look like eyeglasses, or the best of 300 frames that nobody crafted."
        ),
    ] = "agn",
    recognizer: RecognizerOption = None,
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
    kappa: Annotated[
        float, typer.Option(help="Weight of looking real against fooling the recogniser.")
    ] = 0.25,
    objective: Annotated[
        Literal["logits", "probabilities", "margin"],
        typer.Option(help="How the recogniser's error is put in figures."),
    ] = "probabilities",
    joined_length: Annotated[
        Literal["shorter", "real"],
        typer.Option(help="Length of the two gradients when joined; the paper's is shorter."),
    ] = "real",
    smoothness: Annotated[
        float, typer.Option(help="Weight of total variation in frames rougher than benign ones.")
    ] = 1.0,
    loosening: Annotated[
        float, typer.Option(help="By what share the roughness allowed grows with each step.")
    ] = 0.005,
    printability: Annotated[
        float, typer.Option(help="Weight of colours that a printer reproduces.")
    ] = 0.0,
    palette: PaletteOption = None,
    headroom: Annotated[
        float, typer.Option(help="How near to 0 or 1 values are pushed back.")
    ] = 0.05,
    generator_rate: Annotated[float, typer.Option(help="Adam's rate for the generator.")] = 2e-3,
    warm_up: Annotated[int, typer.Option(help="Steps in which that rate rises.")] = 20,
    discriminator_rate: Annotated[float, typer.Option(help="And for the discriminator.")] = 2e-5,
    lead: Annotated[
        float,
        typer.Option(help="Belief in the frames below which the discriminator sits a step out."),
    ] = 0.2,
    tuned_layers: Annotated[
        int, typer.Option(help="Layers of the generator that learn, of five.")
    ] = 5,
    focus: Annotated[
        float, typer.Option(help="How much the steps turn to photos that still resist.")
    ] = 0.8,
    batch: Annotated[int, typer.Option(help="Generated frames in a step.")] = 16,
    jitter: Annotated[
        float | None,
        typer.Option(
            help="Pixels by which steps move the frame at random.  [default: 0, physically 1]"
        ),
    ] = None,
    brightness: Annotated[
        float | None,
        typer.Option(help="Share by which steps change the light.  [default: 0, physically 0.1]"),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Frames in each look.  [default: 32, physically 48]"),
    ] = None,
    precision: PrecisionOption = "auto",
    passes: Annotated[int, typer.Option(help="Passes over the eyeglasses before giving up.")] = 1,
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
    from agns.attack.agn import AGN, PHYSICAL
    from agns.attack.choice import ChoiceConfig
    from agns.attack.descent import DescentConfig
    from agns.attack.methods import METHODS, palette_of
    from agns.data.marked_photos import load_marked_photos
    from agns.errors import ConfigError
    from agns.evaluation.attack_report import check_results_directory
    from agns.evaluation.experiment import Experiment, build_goal
    from agns.evaluation.trial import prepare as prepare_trial

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
    usual = PHYSICAL if physical else AGN()
    jitter = usual.jitter if jitter is None else jitter
    brightness = usual.brightness if brightness is None else brightness
    agn = AGN(
        kappa=kappa,
        objective=objective,
        joined_length=joined_length,
        smoothness=smoothness,
        loosening=loosening,
        printability=printability,
        palette=None if palette is None or method != "agn" else str(palette),
        headroom=headroom,
        generator_rate=generator_rate,
        warm_up=warm_up,
        discriminator_rate=discriminator_rate,
        lead=lead,
        tuned_layers=tuned_layers,
        focus=focus,
        batch=batch,
        precision=precision,
        passes=passes,
        seed=seed,
        jitter=jitter,
        brightness=brightness,
        samples=usual.samples if samples is None else samples,
    )
    check_results_directory(out)
    victim = open_victim(recognizer, device)
    cut = None if physical else attacked_crop(victim, center_crop)
    if method != "agn":
        # Of the others, descents alone know how to disturb frames.
        disturbs = isinstance(METHODS[method], DescentConfig)
        shared = {"seed", "jitter", "brightness"} if disturbs else {"seed"}
        if method == "ccs16-physical":
            shared |= {"palette"}
        own = {*dataclasses.asdict(agn), "generator", "discriminator"} - shared
        if of_agn := [name for name in given() if name in own]:
            option = of_agn[0].replace("_", "-")
            raise ConfigError(f"--{option} has no part in --method {method}")
    config = {**METHODS, "agn": agn}[method]
    if isinstance(config, DescentConfig):
        config = dataclasses.replace(
            config, jitter=jitter, brightness=brightness, seed=seed,
            palette=None if palette is None else str(palette),
        )  # fmt: skip
    if isinstance(config, ChoiceConfig):
        config = dataclasses.replace(config, seed=seed)
    palette_at(palette_of(config))
    experiment = Experiment(
        goal=goal, subject=subject, target=target, stop=stop, craft=craft, seed=seed,
        physical=physical, center_crop=cut,
    )  # fmt: skip
    build_goal(experiment, victim.recognizer)
    if physical and photos is not None:
        marked = load_marked_photos(photos, subject, skip_unmarked=skip_unmarked)
        photographs, placement = marked.faces, marked.placement
        tell_left_out(photos, marked.left_out)
        say(f"Found the seven marks in {len(photographs)} photos")
        if marked.skipped:
            say(f"{len(marked.skipped)} photos were left out: {marked.skipped[0]}")
    else:
        options = FaceOptions(root=faces, center_crop=cut, skip_unreadable=skip_unreadable)
        photographs = open_subject(options, subject, victim.recognizer.identities)
        placement = FIXED
    # Last, as the first time it takes a while: mistakes above are told at once.
    apparatus = open_apparatus(victim, generator, discriminator, glasses)
    with bar(f"{subject} {'dodges' if target is None else f'as {target}'}") as progress:
        trial = prepare_trial(apparatus, photographs, experiment, config, out, placement=placement)
        outcome = trial.attack(progress)
    if outcome.stopped_because == "interrupted":
        say("Interrupted: scoring the best frame so far; Ctrl-C again leaves it without scores")
    report = trial.report(outcome)
    show_report(report, out)
    if report.stopped_because == "interrupted":
        raise typer.Exit(130)


def open_apparatus(
    victim: Victim,
    generator: Path | None,
    discriminator: Path | None,
    glasses: Path | None,
    *,
    count: int | None = None,
) -> "Apparatus":
    """Load the other networks and the eyeglasses, those that come with agns where none is named.

    The networks go to where the victim is.
    """
    from agns.evaluation.apparatus import Apparatus
    from agns.models.dcgan import Discriminator, Generator
    from agns.models.layout import device_of
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights

    generator = locate_weights(generator or shipped_weights("generator"))
    discriminator = locate_weights(discriminator or shipped_weights("discriminator"))
    place = device_of(victim.recognizer)
    return Apparatus(
        generator=Generator.read(generator).to(place),
        discriminator=Discriminator.read(discriminator).to(place),
        recognizer=victim.recognizer,
        recognizer_name=victim.name,
        metadata=victim.metadata,
        glasses=open_glasses(glasses, count=count),
    )
