"""`agns models`: what networks there are."""

from typing import Annotated

import typer

from agns.cli.console import show


def models(
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects instead.")] = False,
) -> None:
    """List the networks: parameters, input size and range, classes."""
    import json

    from agns.models.catalogue import list_networks

    networks = list_networks()
    if as_json:
        typer.echo(json.dumps(networks, indent=2))
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
