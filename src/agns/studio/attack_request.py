"""What somebody asks of an attack on the page, and the command that asks the same."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agns.errors import ConfigError, DataError
from agns.storage import read_json

if TYPE_CHECKING:
    from agns.attack.attack import Attack
    from agns.evaluation.attack_spec import AttackSpec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AttackRequest:
    """One attack: as `agns attack` takes it, and as it is kept in a run's folder."""

    goal: Literal["dodge", "impersonate"]
    subject: str
    target: str | None = None
    method: str = "agn"
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Those that differ from the method's usual ones."""
    seed: int = 0
    craft: int = 16
    stop: float | None = None
    recognizer: str | None = None
    """As for `agns.load`."""
    faces: str | None = None
    """A face folder; None for drawn faces, or where photos are given."""
    glasses: str | None = None
    photos: str | None = None
    """Of a physical attack: the folder of photos that show the marked frame."""
    marks: Sequence[Sequence[Sequence[float]]] | None = None
    """Of a physical attack, (photos, 7, 2): where the marks are, if somebody moved them."""

    @classmethod
    def read(cls, path: Path) -> "AttackRequest":
        """Read one, as `write_json` wrote it.

        Raises:
            DataError: It is not one.
        """
        content = read_json(path)
        try:
            return cls(**content)  # type: ignore[arg-type]
        except TypeError as error:
            raise DataError(f"{path} is no attack that the studio began: {error}") from error

    @property
    def physical(self) -> bool:
        """Whether frames are warped onto a worn one."""
        return self.photos is not None

    def attack(self) -> "Attack":
        """The method with these settings.

        Raises:
            ConfigError: There is no such method, or it refuses its settings.
        """
        from agns.cli.attack import usual_attack

        usual = usual_attack(self.method, physical=self.physical)
        assert dataclasses.is_dataclass(usual)
        given = {name: tuple(one) if isinstance(one, list) else one
                 for name, one in self.settings.items()}  # fmt: skip
        try:
            return dataclasses.replace(usual, **given)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{self.method} refuses its settings: {error}") from error

    def spec(self) -> "AttackSpec":
        """Goal and subject.

        Raises:
            ConfigError: The goal lacks its target, or has one too many.
        """
        from agns.evaluation.attack_spec import AttackSpec

        return AttackSpec(
            goal=self.goal, subject=self.subject, target=self.target, stop=self.stop,
            craft=self.craft, seed=self.seed, physical=self.physical,
        )  # fmt: skip

    def command(self, out: str) -> str:
        """The command that does the same, as a shell takes it."""
        words = ["agns", "attack", self.goal, "--subject", self.subject]
        options = {
            "--target": self.target,
            "--method": self.method,
            "--recognizer": self.recognizer,
            "--faces": None if self.physical else self.faces,
            "--photos": self.photos,
            "--glasses": self.glasses,
            "--seed": self.seed,
            "--craft": self.craft,
            "--stop": self.stop,
        }
        if self.physical:
            words.append("--physical")
        for name, value in options.items():
            if value is not None:
                words += [name, str(value)]
        for name, setting in self.settings.items():
            words += _option(name, setting)
        return shlex.join([*words, "--out", out])


def _option(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, list | tuple):
        if any(isinstance(one, str) for one in value):
            return [word for one in value for word in (flag, str(one))]
        return [flag, ",".join(map(str, value))]
    return [] if value is None else [flag, str(value)]
