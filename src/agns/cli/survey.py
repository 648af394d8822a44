"""`agns survey`: people asked which frames are real, and what their answers say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import percent, say, show
from agns.cli.face_options import open_glasses
from agns.cli.options import GeneratorOption, GlassesOption, SeedOption

if TYPE_CHECKING:
    from agns.survey.score import OddsRatio

app = typer.Typer(
    help="Ask people which frames are real, and score their answers.", no_args_is_help=True
)


@app.command("build")
def build(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page, an HTML file.")],
    attacks: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[ATTACK]...",
            help="Attacking frames: directories of attacks or of campaigns, or 64x176 pictures.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to tell what each frame is.  [default: beside the page]"
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Most frames of each kind.", min=1, max=200)] = 10,
    glasses: GlassesOption = None,
    generator: GeneratorOption = None,
    worn: Annotated[bool, typer.Option("--worn", help="Show frames on a drawn face.")] = False,
    face: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show frames on this face, an aligned 224x224 photo."),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Write a page that asks which frames are real: real, generated and attacking ones.

    It is one file, works offline and on a phone, and sends nothing: people save their answers as
    a file and hand it over. What each frame is stands in the key alone.
    """
    from collections import Counter

    import torch

    from agns.data.listing import list_folder
    from agns.data.simulation.drawn_frames import DrawnFrames
    from agns.data.simulation.synthetic import draw_photo
    from agns.errors import ConfigError
    from agns.images import from_pixels, read_image
    from agns.models.dcgan import Generator
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights
    from agns.storage import write_json
    from agns.survey.page import write_page
    from agns.survey.questions import (
        attack_frames,
        compose_survey,
        generated_frames,
        real_frames,
    )

    key = out.with_suffix(".key.json") if key is None else key
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"a page's name ends in .html, got {out}")
    if key.exists():
        raise ConfigError(f"{key} is there, the key to a page that may be in use: name another")
    candidates = [one for path in attacks or () for one in attack_frames(path)]
    network = Generator.read(locate_weights(generator or shipped_weights("generator")))
    candidates += generated_frames(network, count, seed=seed)
    if glasses is None:
        candidates += real_frames(DrawnFrames.of("judges"), count, names=None, seed=seed)
    else:
        shop = open_glasses(glasses)
        names = [str(path) for path in list_folder(glasses).pictures]
        candidates += real_frames(shop, count, names=names, seed=seed)
    photo = None
    if face is not None:
        photo = read_image(face, size=(224, 224))
    elif worn:
        photo = from_pixels(torch.from_numpy(draw_photo(0, 0, 0)[0]).permute(2, 0, 1)[None])[0]
    survey = compose_survey(candidates, count=count, face=photo, seed=seed)
    write_json(key, survey.key())
    write_page(out, survey)
    kinds = Counter(one.kind for one in survey.questions)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    say(f"Wrote {len(survey.questions)} frames to {out}: {told}.")
    if glasses is None:
        say("The real ones are drawn by agns, not photographed: give those of a shop by --glasses.")
    say(f"What each is stands in {key}: keep it from those who are asked.")


@app.command("score")
def score(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="The key that came with the page.")],
    answers: Annotated[
        list[Path],
        typer.Argument(metavar="ANSWERS...", help="Files that people saved, or folders of them."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the figures as JSON too.")
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Say how often people took each kind of frame for real.

    Intervals come from resampling people. Odds ratios are against real frames.
    """
    from agns.storage import versions, write_json
    from agns.survey.answers import read_answers, read_key
    from agns.survey.score import score_survey

    read = read_key(key)
    found = score_survey(read, read_answers(answers, read), seed=seed)
    if out is not None:
        write_json(out, {"score": found, "seed": seed, "versions": versions()})
    who = "One person" if found.people == 1 else f"{found.people} people"
    say(f"{who} took part.")
    for warning in found.warnings:
        say(f"Warning: {warning}")
    rows = [
        (
            one.kind,
            str(one.frames),
            str(one.answers),
            percent(one.share),
            f"{one.interval[0]:.0%} to {one.interval[1]:.0%}",
            *_odds(one.odds_ratio),
            "-" if one.paper is None else f"{one.paper:.0%}",
        )
        for one in found.kinds
    ]
    head = (
        "", ">frames", ">answers", ">marked real", ">95 % interval", ">odds ratio",
        ">95 % interval", ">in the paper",
    )  # fmt: skip
    show(head, rows)
    say(
        "Intervals: by resampling people. Odds ratios: to real frames. The paper: Sharif et al. "
        "2019, with its own frames and people."
    )
    if out is not None:
        say(f"Wrote {out}.")


def _odds(ratio: "OddsRatio | None") -> tuple[str, str]:
    if ratio is None:
        return "-", "-"
    low, high = ratio.interval
    return f"{ratio.value:.2f}", f"{low:.2f} to {high:.2f}"
