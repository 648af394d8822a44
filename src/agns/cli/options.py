"""Options that several commands share, and what they stand for."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

FacesOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--faces", metavar="DIR", help="Face folder <DIR>/<Identity>/*.jpg.  [default: drawn faces]"
    ),
]
IdentitiesOption: TypeAlias = Annotated[
    int | None, typer.Option("--identities", help="Take the N identities with the most photos.")
]
MinimumPhotosOption: TypeAlias = Annotated[
    int | None, typer.Option("--minimum-photos", help="Leave out identities with fewer photos.")
]
NamesOption: TypeAlias = Annotated[
    list[str] | None, typer.Option("--name", help="Take this identity; may be given many times.")
]
CenterCropOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--center-crop",
        metavar="SIDE",
        help="Central square of each photo to take, in pixels. "
        "[default: 224x224 photos as they are, the central 120 of 250x250 ones]",
    ),
]
SkipOption: TypeAlias = Annotated[
    bool, typer.Option("--skip-unreadable", help="Count files that do not decode, and go on.")
]
RecognizerOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--recognizer",
        metavar="FILE",
        help="Recogniser to use: a file, a folder of save_pretrained, owner/name on the Hugging "
        "Face hub, a description (.yaml), or package.module:function.  "
        "[default: the one that comes with agns]",
    ),
]
EmbedderOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--embedder",
        metavar="NAME",
        help="Embedding: dlib, which comes with agns[dlib]; the file of a backbone; a description "
        "(.yaml); or package.module:function.",
    ),
]
DefenceOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--defence",
        metavar="NAME",
        help="Defence around it: masking, a file of agns defend, or package.module:Name, which is "
        "called with the victim.",
    ),
]
GeneratorOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--generator",
        metavar="FILE",
        help="Generator of eyeglasses: a file, a folder or a name, as of recognisers.  "
        "[default: the one that comes with agns]",
    ),
]
DiscriminatorOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--discriminator",
        metavar="FILE",
        help="Its discriminator, likewise.  [default: the one that comes with agns]",
    ),
]
GlassesOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--glasses", metavar="DIR", help="Folder of eyeglass pictures.  [default: drawn frames]"
    ),
]
PrecisionOption: TypeAlias = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(
        "--precision",
        help="Of the networks' steps. auto takes bf16 where the processor is quicker in it.",
    ),
]
DeviceOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="Where the networks run: cpu, cuda, cuda:1. auto takes a GPU where there is one.",
    ),
]
SeedOption: TypeAlias = Annotated[
    int, typer.Option("--seed", help="Seed of every draw.", min=0, max=2**63 - 1)
]
