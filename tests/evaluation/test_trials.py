"""Attacks on one recogniser side by side, from photos to figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.evaluation.conftest import without_pictures

from agns.attack.config import AgnConfig
from agns.attack.outcome import Outcome
from agns.data.faces import FaceSet
from agns.errors import AgnsError, DataError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.attack_report import AttackReport
from agns.evaluation.experiment import Experiment
from agns.evaluation.trial import Trial, prepare
from agns.evaluation.trials import run_experiment, run_trials

QUICK = AgnConfig(batch=8, samples=4, generator_rate=5e-3)
EXPERIMENTS = [
    Experiment(goal="dodge", subject=name, control_frames=3) for name in ("Ann", "Bob", "Cy")
]


@dataclass(frozen=True, kw_only=True)
class Told:
    """Attacks side by side, one of which cannot be scored."""

    found: list[AttackReport | AgnsError]
    progress: list[tuple[int, int]]
    out: Path


@pytest.fixture(scope="module")
def told(apparatus: Apparatus, crowd: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Told:
    out = tmp_path_factory.mktemp("trials")
    trials = [prepare(apparatus, crowd, one, QUICK, out / one.subject) for one in EXPERIMENTS]
    report = Trial.report

    def picky(trial: Trial, outcome: Outcome) -> AttackReport:
        if trial.experiment.subject == "Bob":
            raise DataError("the palette is away")
        return report(trial, outcome)

    progress: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch, without_pictures():
        patch.setattr(Trial, "report", picky)
        found = run_trials(trials, lambda done, total, figures: progress.append((done, total)))
    return Told(found=found, progress=progress, out=out)


@pytest.mark.usefixtures("no_pictures")
def test_they_come_to_the_figures_that_each_has_alone(
    told: Told, apparatus: Apparatus, crowd: FaceSet, tmp_path: Path
) -> None:
    for experiment, report in zip(EXPERIMENTS[::2], told.found[::2], strict=True):
        assert isinstance(report, AttackReport)
        alone = run_experiment(apparatus, crowd, experiment, QUICK, tmp_path / report.subject)
        assert report.held_out.success_rate == alone.held_out.success_rate
        for side in ("craft", "held_out"):
            assert getattr(report, side).mean_probability == pytest.approx(
                getattr(alone, side).mean_probability, abs=1e-4
            )
        assert report.stopped_because == alone.stopped_because
        assert (told.out / report.subject / "result.json").is_file()


def test_progress_is_that_of_all_together(told: Told) -> None:
    assert max(done for done, _ in told.progress) == told.progress[-1][0] == told.progress[-1][1]


def test_one_that_cannot_be_scored_leaves_the_others_alone(told: Told) -> None:
    assert [type(one) for one in told.found] == [AttackReport, DataError, AttackReport]


def test_what_is_broken_off_is_not_scored(
    apparatus: Apparatus, crowd: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [prepare(apparatus, crowd, one, QUICK, tmp_path) for one in EXPERIMENTS[:2]]

    def press(done: int, total: int, figures: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, "report", lambda *_: pytest.fail("scored"))
    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, press)


def test_without_attacks_nothing_is_done() -> None:
    assert run_trials([]) == []
