"""`agns universal`: frames for many, and what is refused before they are made."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agns.attack import universal
from agns.images import read_image
from agns.storage import read_json

Run = Callable[..., Any]


@pytest.fixture
def options(weights: Any, folder: Path, shop: Path) -> tuple[object, ...]:
    return (*weights.options, "--faces", folder, "--glasses", shop)


SMALL = ("--clusters", 1, "--candidates", 2, "--frames", 2, "--steps", 1, "--craft", 1)


@pytest.mark.usefixtures("few_controls")
def test_frames_for_many_leave_their_result_and_tell_whom_they_serve(
    agns: Run, tmp_path: Path, options: tuple[object, ...]
) -> None:
    out = tmp_path / "universal"
    done = agns("universal", "--out", out, *options, *SMALL, "--seed", 3)
    assert done.code == 0
    assert "Frames made with 1 of 3 subjects" in done.out
    assert str(out / "result.json") in done.out
    result = read_json(out / "result.json")
    assert result["seed"] == 3
    config = result["config"]
    assert isinstance(config, dict)
    assert config["attack"]["steps"] == 1
    points = result["points"]
    assert isinstance(points, list)
    assert {point["frames"] for point in points} == {1, 2}
    assert read_image(out / "frames" / "02.png").shape == (3, 64, 176)
    assert (out / "reach.png").is_file()

    done = agns("universal", "--out", out, *options, *SMALL)
    assert done.code == 2
    assert done.complaint == f"{out} already holds a result: name another directory"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--frames", 0), "frames must be at least 1, got 0"),
        (("--clusters", 0), "clusters must be at least 1, got 0"),
        (("--unseen", 1), "unseen must lie in (0, 1), got 1.0"),
        (("--subjects", 9), "expected at least 9 identities that the recogniser knows"),
        (("--kappa", 2), "kappa must lie in [0, 1], got 2.0"),
        (("--stop", 0), "stop must lie in (0, 1), got 0.0"),
    ],
)
def test_misuse_is_told_before_anything_is_made(
    agns: Run,
    tmp_path: Path,
    options: tuple[object, ...],
    arguments: tuple[object, ...],
    complaint: str,
) -> None:
    done = agns("universal", "--out", tmp_path / "none", *options, *arguments)
    assert done.code == 2
    assert complaint in done.complaint
    assert not (tmp_path / "none").exists()


def test_faces_of_others_are_refused(agns: Run, tmp_path: Path, weights: Any, folder: Path) -> None:
    shutil.copytree(folder / "Synthetic_000", tmp_path / "faces" / "Ann")
    done = agns(
        "universal", "--out", tmp_path / "none", *weights.options,
        "--faces", tmp_path / "faces",
    )  # fmt: skip
    assert done.code == 2
    assert "holds 0 of the recogniser's 3 identities" in done.complaint


def test_ctrl_c_while_frames_are_made_ends_with_130(
    agns: Run, tmp_path: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(universal, "group_subjects", interrupted)
    done = agns("universal", "--out", tmp_path / "none", *options, *SMALL)
    assert done.code == 130
    assert "Traceback" not in done.err
