"""Options that several commands share, and what they stand for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agns.models.recognizer import Recognizer

MethodName: TypeAlias = Literal[
    "agn", "ccs16", "ccs16-bounded", "ccs16-physical", "pgd", "pixels",
    "benign", "untrained-generator", "noise", "solid",
]  # fmt: skip
"""The keys of `agns.attack.methods.METHODS`, which help comes without."""

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
        help="Recogniser to use: a file, a folder of save_pretrained, or owner/name on the "
        "Hugging Face hub.  [default: the one that comes with agns]",
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
PaletteOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--palette",
        metavar="FILE",
        help="Colours that the printer reproduces, a line r,g,b each, 0 to 255.  "
        "[default: thirty assumed ones]",
    ),
]
PrecisionOption: TypeAlias = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(
        "--precision",
        help="Of the networks' steps. auto takes bf16 where the processor has instructions for it.",
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


class Victim(NamedTuple):
    """A recogniser and where it comes from."""

    recognizer: "Recognizer"
    name: str
    metadata: "Mapping[str, object]"


def open_victim(path: Path | None, device: str = "cpu") -> Victim:
    """Load a recogniser; the one that comes with agns where no file is named.

    Raises:
        ConfigError: There is no such device.
        WeightsError: The file cannot be read.
    """
    import torch

    from agns.models.recognizer import Recognizer
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights
    from agns.training.precision import choose_device

    place = choose_device(device)
    if place.type == "cuda":
        # Convolutions would round to ten bits: figures are to differ in their last digits alone.
        torch.backends.cudnn.allow_tf32 = False
    source = shipped_weights("of10_synthetic") if path is None else locate_weights(path)
    recognizer = Recognizer.read(source)
    name = source.name if path is None else str(path)
    return Victim(recognizer.to(place), name, recognizer.record)


def attacked_crop(victim: Victim, told: int | None) -> int | None:
    """The central square that an attack's photos are cut to.

    Raises:
        ConfigError: It is not that of the photos that the victim was trained on, whose digests
            would then be unknown.
    """
    from agns.errors import ConfigError
    from agns.models.record import photos_seen

    recorded = recorded_crop(victim.metadata)
    if told not in (None, recorded) and photos_seen(victim.metadata):
        raise ConfigError(
            f"{victim.name} was trained on photos cut to {recorded or 'nothing'}: of photos cut to "
            f"{told} nobody could tell which it has seen, so leave out --center-crop"
        )
    return recorded if told is None else told


def recorded_crop(metadata: "Mapping[str, object]") -> int | None:
    """The central square that a recogniser's training photos were cut to, if its file tells."""
    crop = metadata.get("center_crop")
    return crop if isinstance(crop, int) else None
