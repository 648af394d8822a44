"""Attacks on one recogniser side by side, from photos to figures."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from agns.attack.config import AgnConfig
from agns.attack.outcome import Outcome
from agns.data.faces import FaceSet
from agns.errors import DataError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.attack_report import AttackReport
from agns.evaluation.experiment import Experiment
from agns.evaluation.trial import Trial, prepare
from agns.evaluation.trials import run_experiment, run_trials

QUICK = AgnConfig(batch=8, samples=4, generator_rate=5e-3)
EXPERIMENTS = [
    Experiment(goal="dodge", subject=name, control_frames=3) for name in ("Ann", "Bob", "Cy")
]


@pytest.fixture
def trials(apparatus: Apparatus, crowd: FaceSet, tmp_path: Path) -> list[Trial]:
    return [prepare(apparatus, crowd, one, QUICK, tmp_path / one.subject) for one in EXPERIMENTS]


def test_they_come_to_the_figures_that_each_has_alone(
    trials: list[Trial], apparatus: Apparatus, crowd: FaceSet, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    found = run_trials(trials, lambda done, total, figures: told.append((done, total)))
    assert max(done for done, _ in told) == told[-1][0] == told[-1][1]
    for experiment, report in zip(EXPERIMENTS, found, strict=True):
        assert isinstance(report, AttackReport)
        alone = run_experiment(
            apparatus, crowd, experiment, QUICK, tmp_path / "alone" / report.subject
        )
        assert report.held_out.success_rate == alone.held_out.success_rate
        for side in ("craft", "held_out"):
            assert getattr(report, side).mean_probability == pytest.approx(
                getattr(alone, side).mean_probability, abs=1e-4
            )
        assert replace(report, seconds=0.0).stopped_because == alone.stopped_because
        assert (tmp_path / report.subject / "result.json").is_file()


def test_one_that_cannot_be_scored_leaves_the_others_alone(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Trial.report

    def picky(trial: Trial, outcome: Outcome) -> AttackReport:
        if trial.experiment.subject == "Bob":
            raise DataError("the palette is away")
        return report(trial, outcome)

    monkeypatch.setattr(Trial, "report", picky)
    found = run_trials(trials)
    assert [type(one) for one in found] == [AttackReport, DataError, AttackReport]


def test_what_is_broken_off_is_not_scored(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(done: int, total: int, figures: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trial, "report", lambda *_: pytest.fail("scored"))
    with pytest.raises(KeyboardInterrupt):
        run_trials(trials, press)


def test_without_attacks_nothing_is_done() -> None:
    assert run_trials([]) == []
