"""A universal attack on three strangers: who takes part, what counts, and what stays apart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.attack.agn import AGN
from agns.attack.universal import Universal
from agns.data.faces import FaceSet, faces_from_pixels
from agns.errors import ConfigError, DataError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.controls import logits_wearing
from agns.evaluation.reach import ReachPoint
from agns.evaluation.universal import UniversalSpec, divide_subjects, run_universal
from agns.evaluation.universal_report import UniversalReport
from agns.images import read_image

WHO = UniversalSpec(unseen=0.34, craft=3, counts=(1, 2, 10))
QUICK = Universal(
    clusters=2,
    candidates=2,
    frames=3,
    steps=1,
    agn=AGN(batch=4, samples=2, generator_rate=5e-3, check_every=2),
)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An experiment that is done."""

    report: UniversalReport
    out: Path

    def point(self, *key: object) -> ReachPoint:
        return next(
            point
            for point in self.report.points
            if (point.frames, point.group, point.made_by, point.rule) == key
        )


@pytest.fixture(scope="module")
def finished(
    setup: AttackSetup, crowd: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    out = tmp_path_factory.mktemp("universal")
    return Finished(report=run_universal(setup, crowd, WHO, QUICK, out), out=out)


def trained_on(setup: AttackSetup, digests: Sequence[str]) -> AttackSetup:
    """The same, its recogniser trained on these photos; what it has measured stays."""
    trained = replace(setup, metadata={"training_photos": list(digests)})
    trained.__dict__["scale"] = setup.scale
    return trained


def written_frames(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((out / "frames").iterdir())]


def test_subjects_are_divided_by_names_and_seed_alone() -> None:
    names = [f"p{number}" for number in range(40)]
    groups = divide_subjects(names, replace(WHO, subjects=20, unseen=0.25))
    assert (len(groups["craft"]), len(groups["unseen"])) == (15, 5)
    assert not set(groups["craft"]) & set(groups["unseen"])
    assert groups == divide_subjects(names[::-1], replace(WHO, subjects=20, unseen=0.25))
    assert groups != divide_subjects(names, replace(WHO, subjects=20, unseen=0.25, seed=1))
    for unseen in (0.01, 0.99):
        both = divide_subjects(names[:2], replace(WHO, unseen=unseen))
        assert [len(some) for some in both.values()] == [1, 1]


def test_unseen_photos_have_no_part_in_the_frames(
    finished: Finished, setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    (unseen,) = finished.report.subjects["unseen"]
    pixels = crowd.pixels.clone()
    pixels[crowd.places_of(unseen)] = 255 - pixels[crowd.places_of(unseen)]
    held_out = [
        crowd.photos.index(photo)
        for name in finished.report.subjects["craft"]
        for photo in finished.report.photos[name]["held_out"]
    ]
    pixels[held_out] = 255 - pixels[held_out]
    others = faces_from_pixels(pixels, crowd.labels, crowd.identities, crowd.photos)
    report = run_universal(setup, others, WHO, QUICK, tmp_path)
    assert written_frames(tmp_path) == written_frames(finished.out)
    assert report.chosen == finished.report.chosen
    assert report.without_frame != finished.report.without_frame


def test_the_same_seed_gives_the_same_result_but_for_the_time(
    finished: Finished, setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    torch.manual_seed(1234)
    run_universal(setup, crowd, WHO, QUICK, tmp_path)
    one, other = (
        json.loads((out / "result.json").read_text(encoding="utf-8"))
        for out in (finished.out, tmp_path)
    )
    del one["seconds"], other["seconds"]
    assert one == other


def test_the_figures_are_those_of_the_written_frames(
    finished: Finished, setup: AttackSetup, crowd: FaceSet
) -> None:
    (unseen,) = finished.report.subjects["unseen"]
    frames = torch.stack(
        [read_image(finished.out / "frames" / f"{number:02d}.png") for number in (1, 2)]
    )
    label = crowd.identities.index(unseen)
    sides = {}
    for side, names in finished.report.photos[unseen].items():
        photos = crowd.faces(torch.tensor([crowd.photos.index(name) for name in names]))
        sides[side] = logits_wearing(setup.victim, photos, frames).argmax(2) != label
    best = int(sides["own"].sum(1).argmax())
    found = finished.point(2, "unseen", "attack", "picked")
    assert found.all.success_rate == pytest.approx(float(sides["held_out"][best].double().mean()))
    bound = finished.point(2, "unseen", "attack", "any")
    assert bound.all.success_rate == pytest.approx(float(sides["held_out"].any(0).double().mean()))
    assert (found.all.subjects, found.all.photos) == (1, len(sides["held_out"][0]))


def test_there_are_no_more_frames_to_choose_from_than_were_chosen(finished: Finished) -> None:
    assert {point.frames for point in finished.report.points} == {1, 2, 3}
    assert len(finished.report.chosen) == 3
    coverage = [frame.coverage for frame in finished.report.chosen]
    assert coverage == sorted(coverage)


def test_every_photo_is_a_subjects_own_or_held_out(finished: Finished, crowd: FaceSet) -> None:
    for name, sides in finished.report.photos.items():
        assert len(sides["own"]) == 3
        both = sorted(sides["own"] + sides["held_out"])
        assert both == [crowd.photos[place] for place in crowd.places_of(name).tolist()]


def test_pictures_are_written_beside_the_result(finished: Finished) -> None:
    assert {"result.json", "reach.png", "frames.png", "frames"} == {
        path.name for path in finished.out.iterdir()
    }
    assert len(written_frames(finished.out)) == 6


def test_no_photo_is_scored_that_the_recogniser_was_trained_on(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    (unseen,) = divide_subjects(crowd.identities, WHO)["unseen"]
    first = next(name for name in crowd.identities if name != unseen)
    seen = [crowd.digests[place] for place in crowd.places_of(first).tolist()]
    seen += [crowd.digests[place] for place in crowd.places_of(unseen).tolist()[:5]]
    report = run_universal(trained_on(setup, seen), crowd, WHO, QUICK, tmp_path)
    (sentence,) = report.left_out
    assert f"trained on all 8 photos of {first}" in sentence
    assert first not in report.subjects["craft"]
    scored = [photo for sides in report.photos.values() for photo in sides["held_out"]]
    assert not {crowd.digests[crowd.photos.index(photo)] for photo in scored} & set(seen)


def test_a_group_without_anybody_left_is_refused(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    trained = trained_on(setup, crowd.digests)
    with pytest.raises(DataError, match="none of the 2 craft subjects can take part"):
        run_universal(trained, crowd, WHO, QUICK, tmp_path)


def test_an_interrupted_attack_says_so_and_is_scored(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    def stop(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == 1:
            raise KeyboardInterrupt

    report = run_universal(setup, crowd, WHO, replace(QUICK, stop=1e-6), tmp_path, progress=stop)
    assert report.interrupted
    assert any("interrupted: frames come from 1 groups" in text for text in report.warnings)


def test_too_few_subjects_and_a_finished_directory_are_refused(
    finished: Finished, setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"expected at least 4 identities .* found 3"):
        run_universal(setup, crowd, replace(WHO, subjects=4), QUICK, tmp_path)
    with pytest.raises(ConfigError, match="already holds a result"):
        run_universal(setup, crowd, WHO, QUICK, finished.out)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"subjects": 1}, "subjects must be at least 2, got 1"),
        ({"unseen": 0.0}, "unseen must lie in"),
        ({"unseen": 1.0}, "unseen must lie in"),
        ({"craft": 0}, "craft must be at least 1, got 0"),
        ({"counts": ()}, "counts must ascend"),
        ({"counts": (2, 1)}, "counts must ascend"),
        ({"counts": (0, 1)}, "counts must ascend"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        replace(WHO, **settings)
