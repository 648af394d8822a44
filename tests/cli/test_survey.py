"""`agns survey`: a page for people, and what they said."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.images import write_image
from agns.storage import read_json, write_json

Run = Callable[..., Any]


@pytest.fixture
def page(agns: Run, weights: Any, shop: Path, tmp_path: Path) -> Path:
    """A page with four frames of each kind, with its key beside it."""
    for place in range(4):
        out = tmp_path / "campaign" / "cells" / str(place)
        shade = torch.full((3, 64, 176), place / 5)
        write_image(out / "frame.png", shade)
        write_json(out / "result.json", {"method": "agn"})
    done = agns(
        "survey", "build", tmp_path / "campaign", "--generator", weights.generator,
        "--glasses", shop, "--count", 4, "--out", tmp_path / "page.html",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Wrote 12 frames" in done.out
    assert "4 agn, 4 generated, 4 real" in done.out
    assert "by agns" not in done.out
    return tmp_path / "page.html"


def answer(page: Path, people: int, odds: dict[str, float]) -> Path:
    """A folder of answers by drawn people."""
    key = read_json(page.with_suffix(".key.json"))
    frames: Any = key["frames"]
    draws = random.Random(0)
    folder = page.parent / "answers"
    for number in range(people):
        said = [
            {
                "frame": one["frame"],
                "answer": "real" if draws.random() < odds[one["kind"]] else "algorithm",
            }
            for one in frames[: 6 if number == 0 else None]
        ]
        content = {"form": 1, "survey": key["survey"], "participant": f"{number:016x}"}
        write_json(folder / f"answers-{number}.json", {**content, "answers": said})
    return folder


def test_answers_of_drawn_people_are_scored(agns: Run, page: Path) -> None:
    folder = answer(page, 12, {"real": 0.8, "agn": 0.5, "generated": 0.7})
    out = page.parent / "score.json"
    done = agns("survey", "score", page.with_suffix(".key.json"), folder, "--out", out)
    assert done.code == 0, done.err
    told = done.out.splitlines()
    assert told[0] == "12 people took part."
    assert told[1].startswith("Warning: 12 people took part: with fewer than 30")
    assert told[2].startswith("Warning: One person did not answer all frames")
    rows = {line.split()[0]: line.split() for line in told[4:7]}
    assert list(rows) == ["real", "agn", "generated"]
    assert [rows[kind][-1] for kind in rows] == ["61%", "47%", "-"]
    score: Any = read_json(out)["score"]
    assert (score["people"], score["partial"], len(score["frames"])) == (12, 1, 12)
    assert score["kinds"][1]["odds_ratio"]["value"] < 1


def test_a_page_with_drawn_frames_on_a_face_says_what_they_are(
    agns: Run, weights: Any, tmp_path: Path
) -> None:
    done = agns(
        "survey", "build", "--generator", weights.generator, "--worn", "--count", 2,
        "--out", tmp_path / "page.html", "--key", tmp_path / "secret.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "drawn by agns, not photographed" in done.out
    key = read_json(tmp_path / "secret.json")
    assert key["worn"] is True
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert key["survey"] in text
    for one in json.loads(json.dumps(key["frames"])):
        assert one["source"] not in text


def test_a_key_that_is_there_is_not_replaced(agns: Run, page: Path) -> None:
    before = page.with_suffix(".key.json").read_bytes()
    done = agns("survey", "build", "--out", page)
    assert (done.code, "a page that may be in use" in done.complaint) == (2, True)
    assert page.with_suffix(".key.json").read_bytes() == before


def test_what_cannot_be_asked_or_scored_is_refused_in_one_sentence(
    agns: Run, page: Path, tmp_path: Path, weights: Any
) -> None:
    key = page.with_suffix(".key.json")
    folder = answer(page, 2, {"real": 1.0, "agn": 1.0, "generated": 0.0})
    (folder / "twice.json").write_bytes((folder / "answers-1.json").read_bytes())
    new = tmp_path / "new.html"
    for given, code, sentence in (
        (("build", "--out", tmp_path / "new.txt"), 2, "ends in .html"),
        (("build", tmp_path / "none", "--out", new), 2, "holds no frame of an attack"),
        (("score", tmp_path / "none.json", folder), 2, "there is no key"),
        (("score", key, tmp_path / "none"), 2, "there is no file of answers"),
        (("score", key, folder), 1, "are by the same person"),
        (("score", key, key), 1, "does not say by whom it is"),
        (("score", page, folder), 1, "cannot be read as JSON"),
    ):
        done = agns("survey", *given)
        assert (done.code, sentence in done.complaint) == (code, True), (given, done.err)
    assert not new.exists()
