"""Records of a ledger, as attacks leave them."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from tests.evaluation.conftest import (  # noqa: F401
    crowd,
    few_benign,
    gan,
    glasses,
    recognizer,
    setup,
)

from agns.campaign.jobs import Job
from agns.campaign.records import JobRecord, TransferRecord, TransferScore, result_as_json
from agns.evaluation.judges import Appearance
from agns.evaluation.metrics import SplitSuccess, Success
from agns.evaluation.reach import Reach, ReachPoint
from agns.evaluation.score import AttackScore, PointScore, QueryPoint
from agns.evaluation.stealth import Stealth
from agns.evaluation.universal_report import ReachAt, UniversalReport

NO_PHOTOS = Success(images=0, success_rate=None, interval=None, mean_probability=None)


def split(rate: float | None) -> SplitSuccess:
    """Success on some photos, none of which is recognised without a frame."""
    return SplitSuccess(
        images=4, success_rate=rate, interval=(0.0, 1.0), mean_probability=0.5, recognized=NO_PHOTOS
    )


def attack_score(subject: str = "Ann", held: float = 0.5, **changes: Any) -> AttackScore:
    """What an attack was worth, as it is read from a file."""
    stealth = Stealth(
        discriminator_score=0.2, discriminator_percentile=0.5, total_variation=0.1,
        total_variation_percentile=0.5, non_printability=0.1, non_printability_percentile=0.5,
        nearest_real=0.1, nearest_real_percentile=0.5, within_benign_90=True,
        appearance=Appearance(patches=0.6, whole=0.5, variation=0.4, sealed=1.0),
    )  # fmt: skip
    usual: dict[str, Any] = {
        "goal": "dodge", "subject": subject, "target": None, "recognizer": "of10", "seed": 0,
        "iterations": 3, "seconds": 4.0, "stopped_because": "reached the stop value",
        "stop_value": 0.01, "reached_stop_value": True, "craft": split(1.0),
        "held_out": split(held), "held_out_without_frame": split(0.0),
        "controls": {"benign": split(0.1)}, "stealth": stealth, "benign_stealth": {},
        "photos": {"craft": [], "held_out": []}, "craft_digests": [],
        "craft_photos_seen_in_training": 0, "warnings": ["Few photos."], "config": {},
        "versions": {},
    }  # fmt: skip
    return AttackScore(**{**usual, **changes})


def written(content: Any) -> dict[str, Any]:
    """An object of JSON, as it comes back from a file; scores know each other by identity alone."""
    whole = isinstance(content, AttackScore | UniversalReport)
    found: dict[str, Any] = json.loads(
        json.dumps(result_as_json(content) if whole else asdict(content))
    )
    return found


def make_job(subject: str, attack: str = "agn", *, seed: int = 0, **changes: Any) -> Job:
    usual = {"recognizer": "OF10", "goal": "dodge", "target": None}
    return Job(**{**usual, **changes}, subject=subject, attack=attack, seed=seed)


@pytest.fixture
def record() -> Callable[..., JobRecord]:
    """Makes the record of one attack on OF10 that is done."""

    def make(
        subject: str, attack: str, held: float, *, seed: int = 0, met: bool = True,
        craft: float = 1.0, benign: float = 0.1, score: float = 0.2,
    ) -> JobRecord:  # fmt: skip
        usual = attack_score()
        stealth = replace(usual.stealth, discriminator_score=score)
        result = replace(
            usual, subject=subject, reached_stop_value=met, craft=split(craft),
            held_out=split(held), controls={"benign": split(benign)}, stealth=stealth,
        )  # fmt: skip
        job = make_job(subject, attack, seed=seed)
        return JobRecord(job=job, state="done", seconds=10.0, result=result)

    return make


@pytest.fixture
def asked(record: Callable[..., JobRecord]) -> Callable[..., JobRecord]:
    """Makes the record of an attack that only asks, by what its best frame was worth when."""

    def make(subject: str, attack: str, queries: int, **after: float) -> JobRecord:
        done = record(subject, attack, list(after.values())[-1])
        assert isinstance(done.result, AttackScore)
        points = [
            QueryPoint(queries=int(count[1:]), held_out=split(rate))
            for count, rate in after.items()
        ]
        return replace(done, result=replace(done.result, queries=queries, by_queries=points))

    return make


@pytest.fixture
def at_points() -> Callable[..., JobRecord]:
    """Makes the record of an attack on a gallery, with its success by false-accept rate."""

    def make(subject: str, held: dict[float, float]) -> JobRecord:
        points = tuple(
            PointScore(
                false_accept_rate=rate, threshold=rate, held_out=split(share),
                held_out_without_frame=split(0.05), controls={"benign": split(0.2)},
            )
            for rate, share in held.items()
        )  # fmt: skip
        result = attack_score(subject, operating_points=points)
        return JobRecord(job=make_job(subject), state="done", seconds=10.0, result=result)

    return make


@pytest.fixture
def transfer() -> Callable[..., TransferRecord]:
    """Makes what a frame that was made against OF10 did to another recogniser."""

    def make(
        subject: str, digital: float, *, victim: str = "VGG10", seed: int = 0
    ) -> TransferRecord:
        rates = {"digital": digital, "photographed": digital / 2, "benign": 0.1, "bare": 0.05}
        score = TransferScore(**{name: split(rate) for name, rate in rates.items()})
        return TransferRecord(job=make_job(subject, seed=seed), victim=victim, score=score)

    return make


@pytest.fixture
def failed() -> JobRecord:
    """An attack that could not be made."""
    return JobRecord(job=make_job("Dan"), state="failed", seconds=1.0, sentence="no photos")


@pytest.fixture
def universal_record() -> JobRecord:
    """A universal attack on OF10 that is done, with one frame to choose from."""

    def reach(rate: float | None) -> Reach:
        interval = None if rate is None else (rate / 2, rate)
        return Reach(
            subjects=4, photos=9, success_rate=rate, interval=interval, subjects_dodging=rate
        )

    rates = {("attack", "picked"): 0.8, ("attack", "any"): 0.9, ("benign", "picked"): 0.1,
             ("benign", "any"): 0.2}  # fmt: skip
    points = [
        ReachPoint(
            frames=1, group=group, made_by=made_by, rule=rule, all=reach(0.0),
            recognized=reach(rate if group == "craft" else None),
        )
        for group in ("craft", "unseen")
        for (made_by, rule), rate in rates.items()
    ]  # fmt: skip
    result = UniversalReport(
        recognizer="of10", seed=3, subjects={"craft": [], "unseen": []}, left_out=[], photos={},
        clusters=[], chosen=[], benign_stealth={}, points=points, without_frame={}, seconds=1.0,
        interrupted=False, warnings=["Few subjects."], config={}, versions={},
        operating_points=[
            ReachAt(
                false_accept_rate=0.01, threshold=0.5, points=points,
                without_frame={"craft": reach(0.05), "unseen": reach(None)},
            )
        ],
    )  # fmt: skip
    job = make_job("many", "few", seed=3, goal="universal")
    return JobRecord(job=job, state="done", seconds=10.0, result=result)
