"""`agns attack` for what is printed and worn: photos of the worn frame, colours that print."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.accessory.marks import marked_frame
from agns.accessory.printability import non_printability, read_palette
from agns.accessory.wear import wear
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.images import read_image, write_image
from agns.storage import read_json

Run = Callable[..., Any]

DODGE = ("attack", "dodge", "--subject", "Synthetic_000")
IMPERSONATE = ("attack", "impersonate", "--subject", "Synthetic_000")


@pytest.fixture(scope="module")
def wearer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of a drawn person who wears the marked frame."""
    folder = tmp_path_factory.mktemp("wearer") / "Synthetic_000"
    faces = synthetic_faces(SyntheticConfig(identities=1, photos=4)).faces(torch.arange(4))
    for number, photo in enumerate(wear(faces, *marked_frame())):
        write_image(folder / f"{number}.png", photo)
    return folder


@pytest.mark.usefixtures("few_controls", "no_pictures")
@pytest.mark.parametrize(
    "options", [("--stop", 0.99999), ("--subject", "Somebody_Else", "--stop", 0.0001)]
)
def test_a_physical_attack_scores_photos_of_the_worn_frame(
    options: tuple[object, ...], agns: Run, wearer: Path, weights: Any, shop: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    done = agns(
        "attack", "impersonate", "--target", "Synthetic_001", "--physical", "--photos", wearer,
        *options, *weights.options,
        "--glasses", shop, "--out", out, "--samples", 2,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Found the seven marks in 4 photos" in done.out
    assert "marked" in done.out.partition("marks in")[2]
    report = read_json(out / "result.json")
    assert report["physical"] is True
    assert report["config"]["jitter"] == 1
    assert (report["craft"]["images"], report["held_out"]["images"]) == (2, 2)
    known = "--subject" not in options
    assert (report["held_out"]["recognized"]["images"] > 0) <= known
    assert agns("survive", out, *weights.options[:2]).code == 2


def test_a_folder_of_photos_names_its_subject_as_it_was_given(
    agns: Run, tmp_path: Path, wearer: Path, weights: Any
) -> None:
    link = tmp_path / "Zoe"
    link.symlink_to(wearer, target_is_directory=True)
    done = agns(
        "attack", "dodge", "--physical", "--photos", link, "--recognizer", weights.recognizer,
        "--out", tmp_path / "attack",
    )  # fmt: skip
    assert (done.code, "does not know 'Zoe'" in done.complaint) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--physical",), "give --photos"),
        (("--photos", "{wearer}", "--subject", "Ada"), "belong to --physical"),
        (("--physical", "--photos", "{wearer}", "--faces", "{wearer}"), "without --faces"),
        ((), "name who wears"),
        (("--physical", "--photos", "{wearer}", "--subject", "Nobody"), "does not know 'Nobody'"),
    ],
)
def test_physical_misuse_is_one_sentence(
    arguments: tuple[str, ...], complaint: str, agns: Run, wearer: Path, weights: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    given = (part.format(wearer=wearer) for part in arguments)
    done = agns("attack", "dodge", *given, *weights.options, "--out", tmp_path / "out")
    assert done.code == 2
    assert complaint in done.complaint


@pytest.mark.usefixtures("few_controls", "no_pictures")
@pytest.mark.parametrize("method", [("--method", "ccs16-physical"), ("--nps-weight", 0.5)])
def test_a_palette_is_attacked_and_scored_with(
    method: tuple[object, ...], agns: Run, tmp_path: Path, weights: Any, folder: Path, shop: Path
) -> None:
    palette, out = tmp_path / "palette.csv", tmp_path / "attack"
    palette.write_text("10,20,30\n250,240,20\n", encoding="utf-8")
    own = weights.options if method[0] == "--nps-weight" else weights.options[:2]
    done = agns(
        *IMPERSONATE, "--target", "Synthetic_002", "--stop", 0.0001, "--craft", 2,
        *own, "--faces", folder, "--glasses", shop, *method, "--palette", palette, "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "non printability" in done.out
    result = read_json(out / "result.json")
    assert result["config"]["palette"] == str(palette)
    frame = read_image(out / "frame.png")[None]
    score = float(non_printability(frame, read_palette(palette)))
    assert result["stealth"]["non_printability"] == pytest.approx(score, rel=0.05)
    assert result["benign_stealth"]["non_printability"]["median"] > 0


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (("--palette", "none.csv"), 2, "must come with an nps_weight above 0"),
        (("--palette", "none.csv", "--nps-weight", 1), 2, "there is no palette none.csv"),
        (("--method", "ccs16-physical", "--palette", __file__), 1, "line 1: expected a colour"),
        (("--nps-weight", -1), 2, "nps_weight must be at least 0"),
    ],
)
def test_a_palette_that_cannot_be_used_is_told_before_the_attack(
    options: tuple[object, ...], code: int, complaint: str, agns: Run, tmp_path: Path, weights: Any
) -> None:
    done = agns(*DODGE, *weights.options[:2], *options, "--out", tmp_path / "attack")
    assert (done.code, done.out) == (code, "")
    assert complaint in done.complaint
