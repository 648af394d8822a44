"""`agns studio`: the same in a browser."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from agns.cli.console import prepare, say
from agns.cli.options import FacesOption, GlassesOption


def studio(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen at. Whoever reaches another than 127.0.0.1 may use this "
            "machine's recognisers and photos.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen at; 0 for any that is free.", min=0, max=65535)
    ] = 7860,
    faces: FacesOption = None,
    glasses: GlassesOption = None,
    recognizer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A further recogniser or gallery to choose, as elsewhere; may be given many "
            "times.",
        ),
    ] = None,
    runs: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of attacks begun on the page, and of campaigns."),
    ] = Path("runs"),
) -> None:
    """Open a page for the browser: recognise, draw eyeglasses, attack, read campaigns.

    It listens on this machine alone, and asks nothing of any other. Ctrl-C ends it, and lets
    attacks that run score what they have.
    """
    from agns.errors import ConfigError

    if find_spec("gradio") is None:
        raise ConfigError('the studio needs Gradio: pip install "agns[studio]"')
    for folder, name in ((faces, "face folder"), (glasses, "folder of eyeglasses")):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"there is no {name} {folder}")
    prepare()
    from agns.studio.server import listen, serve
    from agns.studio.workspace import Workspace

    workspace = Workspace(
        root=runs, faces=faces, glasses=glasses, recognizers=tuple(recognizer or ())
    )
    socket = listen(host, port)
    say(f"Open http://{host}:{socket.getsockname()[1]} in a browser; Ctrl-C ends it.")
    serve(workspace, socket)
