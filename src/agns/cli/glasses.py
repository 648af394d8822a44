"""`agns glasses`: eyeglasses generated, drawn and cropped."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from agns.cli.console import bar, prepare, say, workers
from agns.cli.face_options import open_glasses, tell_left_out
from agns.cli.options import GeneratorOption, GlassesOption, SeedOption, SkipOption

app = typer.Typer(help="Generate, draw, crop, fit or print eyeglass frames.", no_args_is_help=True)


@app.command("generate")
def generate(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Picture of the sheet.")],
    count: Annotated[int, typer.Option(help="Frames on it.", min=1)] = 40,
    columns: Annotated[int, typer.Option(help="Frames in a row.", min=1)] = 5,
    generator: GeneratorOption = None,
    seed: SeedOption = 0,
) -> None:
    """Write a sheet of frames that a generator draws from random latents."""
    import torch

    from agns.images import check_picture_name, tile, write_image
    from agns.models.dcgan import Generator, sample_latents
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights

    check_picture_name(out)
    prepare()
    network = Generator.read(locate_weights(generator or shipped_weights("generator")))
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        frames = network(sample_latents(count, rng=rng))
    write_image(out, tile(frames, columns=columns))
    say(f"Wrote {count} frames to {out}")


@app.command("draw")
def draw(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the pictures.")],
    count: Annotated[int, typer.Option(help="Frames to draw.", min=1)] = 100,
    canvas: Annotated[
        bool, typer.Option("--canvas", help="Write 224x224 canvases, not 64x176 crops.")
    ] = False,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write one picture of all of them.")
    ] = None,
    set_version: Annotated[
        int | None,
        typer.Option(help="Version of the drawn set; 1 is of plain frames only.  [default: 2]"),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Write frames drawn with procedural textures: what the generator learns from."""
    from agns.accessory.frame import place
    from agns.data.simulation.drawn_frames import draw_frames
    from agns.data.simulation.textures.stock import VERSION
    from agns.images import check_picture_name, from_pixels, tile, write_image

    if sheet is not None:
        check_picture_name(sheet)
    version = VERSION if set_version is None else set_version
    with bar("Drawing eyeglasses") as progress:
        frames = draw_frames(
            count, seed=seed, version=version, workers=workers(), progress=progress
        )
    if sheet is not None:
        write_image(sheet, tile(from_pixels(frames), columns=5))
    with bar("Writing pictures") as progress:
        for index in range(count):
            frame = from_pixels(frames[index : index + 1])
            write_image(out / f"frame_{index:05d}.png", (place(frame) if canvas else frame)[0])
            progress(index + 1, count, {})
    say(f"Wrote {count} frames to {out}")


@app.command("crop")
def crop(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of 224x224 pictures.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="Folder for the crops.")],
    mask: Annotated[
        Path | None, typer.Option(help="Picture that is black where crops are to be black.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="Text file that lists the pictures to take.")
    ] = None,
    skip_unreadable: SkipOption = False,
) -> None:
    """Crop eyeglass pictures to 64x176: rows 53 to 117, columns 25 to 201."""
    from agns.data.eyeglasses import crop_eyeglasses
    from agns.data.listing import list_folder

    seen = 0

    with bar("Cropping") as progress:

        def count(done: int, total: int, figures: object) -> None:
            nonlocal seen
            seen = done
            progress(done, total, {})

        written = crop_eyeglasses(
            source,
            destination,
            names=names,
            mask=mask,
            skip_unreadable=skip_unreadable,
            progress=count,
        )
    if names is None:
        tell_left_out(source, list_folder(source).left_out)
    skipped = f"; {seen - written} did not decode and were skipped" if seen > written else ""
    say(f"Wrote {written} crops to {destination}{skipped}")


@app.command("fit")
def fit(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The .safetensors file.")],
    glasses: GlassesOption = None,
    directions: Annotated[
        int | None,
        typer.Option(help="Principal directions of real frames.  [default: 160]", min=1),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Fit the set of natural frames, which some attacks stay in, to real ones.

    95 of 100 real frames that it is not fitted to lie in it. Of a folder a third, chosen by the
    seed, is kept for that.
    """
    import torch

    from agns.accessory.natural_set import DIRECTIONS, NaturalSet
    from agns.data.simulation.drawn_frames import PARTS, draw_frames
    from agns.errors import ConfigError

    if out.suffix != ".safetensors":
        raise ConfigError(f"a natural set's name ends in .safetensors, got {out}")
    prepare()
    if glasses is None:
        with bar("Drawing eyeglasses") as progress:
            fitted = draw_frames(2000, workers=workers(), progress=progress)
            kept = draw_frames(
                1500, start=PARTS["calibration"].start, workers=workers(), progress=progress
            )
    else:
        real = open_glasses(glasses)
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        fitted, kept = real[order[len(real) // 3 :]], real[order[: len(real) // 3]]
    natural = NaturalSet.fit(fitted, kept, directions=directions or DIRECTIONS)
    source = "drawn by agns" if glasses is None else str(glasses)
    natural.write(out, {"frames": source, "fitted": str(len(fitted)), "kept": str(len(kept))})
    count = len(natural.deviations)
    say(f"Wrote {count} directions of {len(fitted)} frames, and bounds of {len(kept)}, to {out}")


@app.command("print")
def print_(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The PDF file.")],
    frame: Annotated[
        Path | None,
        typer.Argument(
            metavar="FRAME",
            help="Directory with the results of an attack, or a 64x176 picture.  "
            "[default: with --marks, a grey frame]",
        ),
    ] = None,
    width: Annotated[
        float, typer.Option(help="Millimetres across the frame, from temple to temple.")
    ] = 140.0,
    paper: Annotated[Literal["a4", "letter"], typer.Option(help="What it is printed on.")] = "a4",
    marks: Annotated[
        bool, typer.Option("--marks", help="Put the seven green marks on the frame.")
    ] = False,
    palette: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Colours of the patches, one r,g,b a line.  [default: an assumed printer's]",
        ),
    ] = None,
) -> None:
    """Write a frame as a PDF at true scale, to print on paper, cut out and wear.

    Beside it are crop marks, the outline to cut, a mirrored copy, a line of 50 mm and colour
    patches.
    """
    from agns.accessory.frame import crop
    from agns.accessory.marks import marked_frame
    from agns.accessory.printability import palette_at
    from agns.attack.result import frame_file
    from agns.errors import ConfigError
    from agns.evaluation.print_sheet import PrintSheet, write_print_sheet
    from agns.images import read_image
    from agns.storage import file_digest

    if out.suffix.lower() != ".pdf":
        raise ConfigError(f"a sheet's name ends in .pdf, got {out}")
    if frame is not None:
        file = frame_file(frame)
        picture, name, digest = read_image(file, size=(64, 176)), str(file), file_digest(file)
    elif marks:
        picture, name, digest = crop(marked_frame()[0])[0], "the marked frame", None
    else:
        raise ConfigError("name a frame, or give --marks to print the grey frame with marks")
    sheet = PrintSheet(
        frame=picture,
        name=name,
        digest=digest,
        palette=palette_at(None if palette is None else str(palette)),
        width=width,
        paper=paper,
        marks=marks,
    )
    write_print_sheet(out, sheet)
    say(f"Wrote {name}, {width:g} mm wide, to {out}: print it at 100 %")
