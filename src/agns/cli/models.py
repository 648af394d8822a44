"""`agns models`: what networks there are, what a file holds, and weights of other systems."""

from pathlib import Path
from typing import Annotated, Literal, no_type_check

import typer

from agns.cli.console import bar, prepare, print_json, say, show

app = typer.Typer(help="List the networks; show one; bring in weights of other systems.")


# Typer asks for its own context, and hands over that of the library below it.
@app.callback(invoke_without_command=True)
@no_type_check
def models(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects instead.")] = False,
) -> None:
    """List the networks: parameters, input size and range, classes."""
    from agns.errors import ConfigError

    if context.invoked_subcommand is not None:
        if as_json:
            raise ConfigError("--json belongs to the list of networks: leave it out")
        return
    from agns.models.summary import list_networks

    networks = list_networks()
    if as_json:
        print_json(networks)
        return
    rows = [
        (
            network["name"],
            f"{network['parameters']:,}",
            "x".join(map(str, network["input_size"])),
            "[{:g}, {:g}]".format(*network["input_range"]),
            "-" if network["classes"] is None else str(network["classes"]),
        )
        for network in networks
    ]
    show(("name", ">parameters", ">input size", ">input range", ">classes"), rows)


@app.command("import")
def import_(
    arch: Annotated[
        str,
        typer.Option(
            help="vgg10, vgg143, of10, of143, vgg, of; vgg16 or openface for a backbone alone; "
            "generator, discriminator."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The safetensors file.")],
    source: Annotated[
        Path | None,
        typer.Argument(help="File or folder of weights; left out with --pretrained."),
    ] = None,
    pretrained: Annotated[
        Literal["imagenet"] | None,
        typer.Option(help="Weights to download instead: torchvision's VGG-16, 553 MB."),
    ] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="JSON of the identities' names, in the order of the logits."),
    ] = None,
) -> None:
    """Bring in weights that another system wrote; their kind is told from their content."""
    from agns.data.faces import read_classes
    from agns.errors import ConfigError
    from agns.models.importing import import_weights
    from agns.models.importing.pretrained import import_pretrained

    prepare()
    identities = None if classes is None else read_classes(classes)
    if source is not None and pretrained is None:
        name = source.name
        imported = import_weights(source, arch, identities)
    elif source is None and pretrained is not None:
        name = pretrained
        with bar("Downloading, in MB") as progress:
            imported = import_pretrained(pretrained, arch, identities, progress=progress)
    else:
        raise ConfigError("name either a file or folder of weights, or --pretrained, and not both")
    imported.save(out, name)
    say(f"Read {source or pretrained} as {imported.kind}")
    say(f"Wrote {out}")


@app.command("show")
def show_network(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A network's file or folder, or owner/name on the hub."
        ),
    ],
    graph: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Draw the network with Graphviz: .svg, .png or .pdf; .dot for the source alone.",
        ),
    ] = None,
    depth: Annotated[int, typer.Option(help="Levels of layers to list.", min=1)] = 3,
) -> None:
    """Show a network: what it is, how it came about, its layers, and if asked its graph."""
    from agns.errors import ConfigError
    from agns.models.diagram import graph_source
    from agns.models.gallery_file import gallery_rows
    from agns.models.graph import check_drawing, draw_graph
    from agns.models.record import figures, recorded
    from agns.models.sharing import locate_weights
    from agns.models.summary import layer_table, list_networks, read_any

    prepare()
    if not file.exists() and str(file) in [row["name"] for row in list_networks()]:
        raise ConfigError(
            f"{file} is the name of an architecture, which `agns models` lists; show takes a file "
            "of weights, such as one that a training wrote"
        )
    if graph is not None:
        check_drawing(graph)
    weights = locate_weights(file)
    if told := gallery_rows(weights):
        if graph is not None:
            raise ConfigError(f"{file} holds a gallery, whose embedding has a file of its own")
        show(("", str(file)), told)
        return
    network = read_any(weights)
    rows = [*network.described(), *recorded(network.record)]
    for name in ("recipe", "scores"):
        entries = ", ".join(f"{entry} {value}" for entry, value in figures(network.record, name))
        rows += [(name, entries)] if entries else []
    show(("", str(file)), rows)
    say("")
    for line in layer_table(network, depth=depth).splitlines():
        say(line)
    if graph is not None:
        draw_graph(graph_source(network, file.name), graph)
        say(f"Wrote {graph}")
