"""The server: the page, what can be downloaded, and that nothing is asked of other machines."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from agns.errors import AgnsError, ConfigError
from agns.studio.campaigns import find_campaign, report_of
from agns.studio.runs import pack
from agns.studio.workspace import Workspace

POLICY = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "object-src 'none'",
))  # fmt: skip
"""By which a browser asks no other machine for anything, whatever the page says."""

LARGEST = 600 * 2**20
"""Bytes of an upload; photos are held to less."""

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]


class _Guarded:
    """An application whose answers all carry the policy."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        async def tell(message: _Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self._app(scope, receive, tell)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        ConfigError: Somebody listens there already, or this machine has no such address.
    """
    try:
        kind = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=kind)
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"the studio cannot listen at {host}:{port}: {why}") from error


@contextlib.contextmanager
def _settled() -> Iterator[None]:
    """Gradio's environment: nothing is told to its makers, and uploads go with the server."""
    with tempfile.TemporaryDirectory(prefix="agns-studio-") as folder:
        told = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder,
                "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
        os.environ.update(told)
        yield


def serve(workspace: Workspace, listening: socket.socket) -> None:
    """Serve the page until the process is interrupted; attacks that run score what they have."""
    with _settled():
        import uvicorn

        config = uvicorn.Config(
            application(workspace, host=listening.getsockname()[0]), log_level="error",
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            workspace.runs.stop_own()


def application(workspace: Workspace, *, host: str) -> Any:
    """The page and its downloads, as an application for a server."""
    import gradio as gr
    from fastapi import FastAPI
    from fastapi.responses import FileResponse, PlainTextResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from agns.studio.page import build_page

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    def packed(name: str) -> Any:
        try:
            path = pack(workspace.runs.find(name))
        except AgnsError as error:
            return PlainTextResponse(f"{error}\n", status_code=404)
        return FileResponse(path, filename=path.name, media_type="application/zip")

    def reported(name: str) -> Any:
        try:
            path = report_of(find_campaign(workspace.root, name))
        except AgnsError as error:
            return PlainTextResponse(f"{error}\n", status_code=404)
        return FileResponse(path, media_type="text/html")

    app.add_api_route("/runs/{name}.zip", packed)
    app.add_api_route("/campaigns/{name}/report.html", reported)
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"], spacing_size="lg", radius_size="md",
        text_size="md",
    ).set(
        # Light enough or dark enough to be read: 4.5 to 1 at least.
        button_primary_background_fill="#0f766e", button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0f766e", button_primary_text_color="#ffffff",
        button_primary_background_fill_hover_dark="#115e59",
        block_info_text_color="#5a6b6d", block_info_text_color_dark="#9fb1b3",
        block_label_text_color="#1c2a2b", block_title_text_color="#1c2a2b",
        block_title_text_color_dark="#e6eeee", block_title_text_weight="600",
    )  # fmt: skip
    blocks = build_page(workspace)
    blocks.queue(api_open=False, default_concurrency_limit=4, max_size=64)
    gr.mount_gradio_app(
        app, blocks, path="/", allowed_paths=[], max_file_size=LARGEST, ssr_mode=False,
        footer_links=[], run_history=False, pwa=False, theme=theme, show_error=False,
        enable_monitoring=False, mcp_server=False,
        css=Path(str(files("agns") / "studio" / "style.css")).read_text(encoding="utf-8"),
    )  # fmt: skip
    if host in ("127.0.0.1", "::1"):
        # A page elsewhere cannot have its name mean this machine, and ask in its visitor's place.
        names = ["127.0.0.1", "localhost", "[::1]"]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names)
    return _Guarded(app)
