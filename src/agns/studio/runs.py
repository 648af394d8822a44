"""Attacks that run beside the page, each in a process and a folder of its own.

The folder tells all there is to know, so that a page that was closed, or a server that was begun
anew, finds them again:

    request.json   what was asked
    command.txt    the command that does the same
    process.json   who works on it
    progress.json  how far it is; beside it live.png, the face that the recogniser was shown last
    log.txt        what it would have said at a terminal
    result/        what `agns attack` writes
    ended.json     how it ended
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from agns.campaign.runs import is_running
from agns.errors import ConfigError
from agns.storage import read_json, write_json
from agns.studio.attack_request import AttackRequest
from agns.writing import replacing, write_text

State: TypeAlias = Literal["running", "done", "stopped", "failed"]

MOST_RUNNING = 2
"""Attacks at a time: each takes a core at least."""

_NAME = re.compile(r"attack-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


@dataclass(frozen=True, slots=True)
class Run:
    """An attack that was begun on a page."""

    folder: Path

    @property
    def name(self) -> str:
        """By which pages ask for it."""
        return self.folder.name

    @property
    def result(self) -> Path:
        """The directory of the attack's results."""
        return self.folder / "result"

    @property
    def request(self) -> AttackRequest:
        """What was asked.

        Raises:
            DataError: It is damaged.
        """
        return AttackRequest.read(self.folder / "request.json")

    @property
    def command(self) -> str:
        """The command that does the same."""
        return (self.folder / "command.txt").read_text(encoding="utf-8").strip()

    @property
    def progress(self) -> dict[str, object]:
        """As the process wrote it last; empty before it does."""
        path = self.folder / "progress.json"
        return read_json(path) if path.is_file() else {}

    @property
    def process(self) -> int | None:
        """The number of its process."""
        path = self.folder / "process.json"
        number = read_json(path).get("process") if path.is_file() else None
        return number if isinstance(number, int) else None

    def ended(self) -> tuple[State, str]:
        """How it ended, and what there is to say of it; or that it runs."""
        path = self.folder / "ended.json"
        if path.is_file():
            content = read_json(path)
            for state in ("done", "stopped", "failed"):
                if content.get("state") == state:
                    return state, str(content.get("sentence", ""))
        if self.process is not None and is_running(self.process):
            return "running", ""
        return "failed", "its process ended without a word; log.txt in its folder may say more"


class Runs:
    """The runs in a folder.

    Args:
        root: Made if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        # Processes that nobody waits for would count as running after they have ended.
        self._own: dict[str, subprocess.Popen[bytes]] = {}

    def begin(self, request: AttackRequest, *, folder: Path | None = None) -> Run:
        """Begin an attack.

        Args:
            request: What is asked.
            folder: One of `new_folder`, if something had to be put there before.

        Raises:
            ConfigError: As many run as may at a time.
        """
        self.check_room()
        run = Run(self.new_folder() if folder is None else folder)
        write_json(run.folder / "request.json", request)
        write_text(run.folder / "command.txt", f"{request.command('result')}\n")
        with (run.folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "agns.studio.attack_process", str(run.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the server's terminal is for the server, which passes it on.
                start_new_session=True,
            )
        self._own[run.name] = process
        write_json(run.folder / "process.json", {"process": process.pid})
        return run

    def check_room(self) -> None:
        """Refuse one attack too many.

        Raises:
            ConfigError: As many run as may at a time.
        """
        if len(self.running()) >= MOST_RUNNING:
            raise ConfigError(
                f"{MOST_RUNNING} attacks are running: wait until one ends, or stop one"
            )

    def new_folder(self) -> Path:
        """An empty folder for a run, whose name tells when it was begun."""
        name = f"attack-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
        folder = self.root / name
        folder.mkdir()
        return folder

    def find(self, name: str) -> Run:
        """A run by its name.

        Raises:
            ConfigError: There is none of this name.
        """
        folder = self.root / name
        if not _NAME.fullmatch(name) or not (folder / "request.json").is_file():
            raise ConfigError("there is no such run any more: choose another")
        return Run(folder)

    def all(self) -> list[Run]:
        """Every run, the latest first."""
        self._wait()
        folders = [one for one in self.root.iterdir() if _NAME.fullmatch(one.name)]
        return [Run(one) for one in sorted(folders, reverse=True)
                if (one / "request.json").is_file()]  # fmt: skip

    def running(self) -> list[Run]:
        """Those that have not ended."""
        return [run for run in self.all() if run.ended()[0] == "running"]

    def state(self, run: Run) -> tuple[State, str]:
        """How a run ended, or that it runs."""
        self._wait()
        return run.ended()

    def stop(self, run: Run) -> None:
        """Interrupt a run as Ctrl-C does: it scores the best frame so far; once more ends it."""
        if self.state(run)[0] == "running" and run.process is not None:
            os.kill(run.process, signal.SIGINT)

    def stop_own(self) -> None:
        """Interrupt the runs of this server."""
        for name in list(self._own):
            self.stop(Run(self.root / name))

    def _wait(self) -> None:
        for name, process in list(self._own.items()):
            if process.poll() is not None:
                self._own.pop(name, None)


def pack(run: Run) -> Path:
    """All that a run left, in a zip file, with the command that does the same.

    Raises:
        ConfigError: It has not ended.
    """
    if run.ended()[0] == "running":
        raise ConfigError("the run has not ended yet")
    path = run.folder / f"{run.name}.zip"
    if not path.is_file():
        with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for file in sorted(run.folder.rglob("*")):
                if file.is_file() and file.suffix != ".zip" and file != temporary:
                    archive.write(file, f"{run.name}/{file.relative_to(run.folder)}",
                                  zipfile.ZIP_DEFLATED)  # fmt: skip
    return path
