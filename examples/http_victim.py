r"""A victim over HTTP, for services that you own or are allowed to test; and a server to try it on.

    python examples/http_victim.py [--port 8700] [--recognizer FILE]

serves a recogniser: GET gives its identities, a JSON list, and POST of a PNG of a canonical face,
224x224 RGB, their scores. In another terminal, from the folder of this file,

    AGNS_VICTIM_URL=http://127.0.0.1:8700 \
        agns attack dodge --recognizer http_victim:from_environment \
        --method cmaes --subject Synthetic_003 --out runs/http

asks it, a request for each face; of attacks only those that ask can. Scoring asks too, beyond the
attack's budget. Faces are sent in 8 bits. Where a service has another form, change `HttpVictim`.
"""

import argparse
import functools
import io
import json
import os
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import agns

LARGEST = 2**20
"""Bytes that either side takes at most."""


class HttpVictim:
    """A victim that is asked over HTTP: one POST of a PNG for each face."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise agns.AgnsError(f"the victim's address should be http or https, got {url!r}")
        self.url = url

    @functools.cached_property
    def identities(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return tuple(map(str, self._ask(None)))

    def __call__(self, faces: Tensor) -> Tensor:
        """Scores of canonical faces, (batch, 3, 224, 224), in [0, 1]."""
        return torch.stack([self._scores(face) for face in faces])

    def _scores(self, face: Tensor) -> Tensor:
        file, pixels = io.BytesIO(), (face.detach() * 255).round().byte().permute(1, 2, 0)
        Image.fromarray(pixels.cpu().numpy()).save(file, "PNG")
        try:
            scores = torch.tensor([float(one) for one in self._ask(file.getvalue())])
        except (OverflowError, TypeError, ValueError) as error:
            raise agns.AgnsError(f"{self.url} gave scores that are no numbers: {error}") from error
        if scores.shape != (len(self.identities),):
            raise agns.AgnsError(f"{self.url} gave {len(scores)} scores, not one for each identity")
        return scores

    def _ask(self, body: bytes | None) -> list[Any]:
        head = {} if body is None else {"Content-Type": "image/png"}
        try:
            request = urllib.request.Request(self.url, body, head)
            with urllib.request.urlopen(request, timeout=30) as answer:
                found = json.loads(answer.read(LARGEST))
        except (OSError, ValueError, HTTPException, RecursionError) as error:
            raise agns.AgnsError(f"{self.url} did not answer as it should: {error}") from error
        return found if isinstance(found, list) else []


def from_environment() -> HttpVictim:
    """The victim at the address in AGNS_VICTIM_URL."""
    return HttpVictim(os.environ.get("AGNS_VICTIM_URL", "http://127.0.0.1:8700"))


def serve(victim: agns.Victim, port: int = 0) -> HTTPServer:
    """A server of a victim on this machine alone; at port 0 any free one. Call `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(lambda: list(victim.identities))

        def do_POST(self) -> None:
            def scores() -> list[float]:
                length = int(self.headers.get("Content-Length", "0"))
                if length > LARGEST:
                    raise ValueError(f"a picture has at most {LARGEST} bytes, got {length}")
                picture = Image.open(io.BytesIO(self.rfile.read(length)), formats=["PNG"])
                if picture.size != (224, 224):
                    raise ValueError(f"a face has 224x224 pixels, got {picture.size}")
                face = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1) / 255
                with torch.no_grad():
                    return victim(face[None])[0].tolist()

            self._answer(scores)

        def _answer(self, make: Callable[[], object]) -> None:
            try:
                code, content = 200, make()
            except (OSError, ValueError, agns.AgnsError) as error:
                code, content = 400, {"error": str(error)}
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--recognizer", help="a file; the one that comes with agns without it")
    given = parser.parse_args()
    serve(agns.load(given.recognizer).eval(), given.port).serve_forever()
