"""`agns enrol`: people enrolled in a gallery, and thresholds from everybody else."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from agns.cli.console import bar, prepare, say, show
from agns.cli.face_options import FaceOptions, open_faces
from agns.cli.given import given
from agns.cli.options import CenterCropOption, EmbedderOption, NamesOption, SeedOption, SkipOption


def enrol(
    faces: Annotated[Path, typer.Argument(metavar="DIR", help="Face folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Gallery to write.")],
    embedder: EmbedderOption = "dlib",
    name: NamesOption = None,
    people: Annotated[
        int | None,
        typer.Option(help="Enrol so many, drawn by the seed, in place of those named.", min=2),
    ] = None,
    templates: Annotated[int, typer.Option(help="Photos to enrol each with.", min=1)] = 3,
    rule: Annotated[
        Literal["mean", "best"],
        typer.Option(help="Compare with the mean of these, or with the nearest."),
    ] = "mean",
    task: Annotated[
        Literal["verification", "open-set", "closed-set"],
        typer.Option(help="Believe a claim, or name somebody, known people alone or not."),
    ] = "verification",
    false_accepts: Annotated[
        float, typer.Option("--far", help="False-accept rate of the threshold, in (0, 1).")
    ] = 0.001,
    others: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Whose comparisons give thresholds.  [default: the others of the face folder]",
        ),
    ] = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    seed: SeedOption = 0,
) -> None:
    """Enrol people in a gallery, which can be attacked as any recogniser.

    The threshold is where so many comparisons of other people with each other are accepted.
    """
    import torch

    from agns.data.faces import composed, unknown_identity
    from agns.data.splits import craft_held_out_split
    from agns.errors import ConfigError
    from agns.models.description import runs_code
    from agns.models.gallery import Gallery
    from agns.models.opening import load_embedder

    prepare()
    if out.is_dir() or out.suffix != ".safetensors":
        kind = "the folder " if out.is_dir() else ""
        raise ConfigError(f"a gallery is a .safetensors file, got {kind}{out}")
    if out.exists():
        raise ConfigError(f"{out} is already there: name another file")
    if (name is None) == (people is None):
        raise ConfigError(
            "say whom to enrol: either --name, which may be given many times, or --people"
        )
    if task == "closed-set" and {"false_accepts", "others"} & {*given()}:
        raise ConfigError("--far and --others belong to a threshold, and closed-set has none")
    if not 0 < false_accepts < 1:
        raise ConfigError(f"--far should lie in (0, 1), got {false_accepts:g}")
    network = load_embedder(embedder)
    options = FaceOptions(
        root=faces, center_crop=center_crop, skip_unreadable=skip_unreadable, to_split=False
    )
    everybody = open_faces(options)
    names = list(dict.fromkeys(composed(one) for one in name or ()))
    for one in names:
        if one not in everybody.identities:
            raise unknown_identity(one, everybody.identities, str(faces))
    if people is not None:
        known = everybody.identities
        if people > len(known):
            raise ConfigError(f"{faces} holds {len(known)} people, and {people} are asked for")
        order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
        names = sorted(known[at] for at in order[:people].tolist())
    enrolled = torch.cat(
        [craft_held_out_split(everybody, subject=one, craft=templates, seed=seed).first
         for one in names]
    )  # fmt: skip
    gallery = Gallery(
        network,
        everybody.subset(enrolled),
        rule=rule,
        task="closed-set" if task == "closed-set" else None,
    )
    if task != "closed-set":
        if others is None:
            places = [everybody.places_of(one) for one in everybody.identities if one not in names]
            apart = everybody.subset(torch.cat(places) if places else torch.zeros(0).long())
        else:
            apart = open_faces(replace(options, root=others))
        with bar("Comparing other people") as progress:
            gallery = gallery.calibrate(
                apart, at=false_accepts,
                templates=templates, task=task, progress=progress,
            )  # fmt: skip
    gallery.record = {**gallery.record, "seed": seed, "faces": options.source}
    if center_crop is not None:
        gallery.record = {**gallery.record, "center_crop": center_crop}
    gallery.write(out, source=embedder)
    say(f"Enrolled {len(names)} people with {len(enrolled)} photos: {out}")
    say(f"They are {', '.join(names)}.")
    if runs_code(embedder):
        say(
            "Warning: its embedding runs code, to which no gallery's file leads: commands do not "
            "open it, and Python does by agns.Gallery.read(path, lambda _: embedder)."
        )
    if len(enrolled) < templates * len(names):
        say(
            f"Warning: somebody has fewer than {2 * templates} photos and is enrolled with half of "
            f"them, while thresholds are of people enrolled with {templates}."
        )
    if gallery.points:
        point = gallery.points[0]
        whose = f"comparisons of {point.people} other people"
        if task == "open-set":
            whose += f", each with {len(names)} of them at once"
        say(f"Thresholds from {point.comparisons:,} {whose}:")
        show(
            (">false accepts", ">distance below", ""),
            [
                (
                    f"{point.false_accept_rate:g}",
                    f"{point.threshold:.4f}",
                    "the threshold" if point.threshold == gallery.threshold else "",
                )
                for point in gallery.points
            ],
        )
