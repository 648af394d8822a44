"""Two campaigns side by side."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from agns.campaign.comparison import Comparison, with_other_photos
from agns.campaign.comparison import compare as compare_findings
from agns.campaign.ledger import Begun
from agns.campaign.records import JobRecord
from agns.campaign.results import Results
from agns.data.known_photos import PhotoRow
from agns.errors import ConfigError

Make = Callable[..., JobRecord]
NAMES = [f"P{number}" for number in range(8)]


def compare(before: list[JobRecord], after: list[JobRecord]) -> list[Comparison]:
    return compare_findings(
        *(Results(plan={}, versions={}, records=rows) for rows in (before, after))
    )


def test_a_recogniser_that_is_fooled_more_often_got_worse(record: Make) -> None:
    before = [record(name, "agn", 0.2) for name in NAMES]
    after = [record(name, "agn", 0.6) for name in NAMES]
    (worse,) = compare(before, after)
    assert (worse.subjects, worse.before, worse.after) == (
        8,
        pytest.approx(0.2),
        pytest.approx(0.6),
    )
    assert worse.by_chance == pytest.approx(2 / 2**8)
    assert worse.is_worse()
    (better,) = compare(after, before)
    assert not better.is_worse()


def test_what_may_be_chance_is_not_called_worse(record: Make) -> None:
    before = [record(name, "agn", 0.5) for name in NAMES]
    after = [record(name, "agn", 0.5 + (0.3 if at % 2 else -0.25)) for at, name in enumerate(NAMES)]
    (found,) = compare(before, after)
    assert found.after > found.before
    assert not found.is_worse()
    assert found.is_worse(level=0.999)


def test_frames_for_many_are_not_compared(record: Make, universal_record: JobRecord) -> None:
    (found,) = compare(
        [record("Ann", "agn", 0.2), universal_record], [record("Ann", "agn", 0.2), universal_record]
    )
    assert found.attack == "agn"


def test_only_what_both_have_counts(record: Make, failed: JobRecord) -> None:
    before = [record("Ann", "agn", 0.2), record("Bob", "agn", 0.4), record("Ann", "pgd", 0.1)]
    after = [record("Ann", "agn", 0.3), record("Ann", "agn", 0.5, seed=1), failed]
    (found,) = compare(before, after)
    assert (found.attack, found.subjects) == ("agn", 1)
    assert (found.before, found.after) == (pytest.approx(0.2), pytest.approx(0.4))


def test_nothing_in_common_is_refused(record: Make) -> None:
    one = record("Ann", "agn", 0.2)
    other = replace(one, job=replace(one.job, target="Bob"))
    with pytest.raises(ConfigError, match="have no attack of a single subject in common"):
        compare([one], [other])


def test_five_subjects_are_too_few_to_tell(record: Make) -> None:
    before, after = ([record(name, "agn", held) for name in NAMES[:5]] for held in (0.0, 1.0))
    (found,) = compare(before, after)
    assert (found.is_worse(), found.can_tell()) == (False, False)
    (enough,) = compare(*([record(name, "agn", held) for name in NAMES[:6]] for held in (0.0, 1.0)))
    assert (enough.is_worse(), enough.can_tell()) == (True, True)


def test_many_comparisons_are_allowed_for(record: Make) -> None:
    def campaign(held: float, same: float) -> list[JobRecord]:
        rows = [record(name, "agn", held) for name in NAMES[:6]]
        return rows + [record(name, "pgd", same) for name in NAMES[:6]]

    worse, same = compare(campaign(0.2, 0.5), campaign(0.4, 0.5))
    assert worse.by_chance == pytest.approx(2 * 2 / 2**6)
    assert same.by_chance == 1


def test_results_of_one_campaign_alone_are_counted_as_missing(
    record: Make, failed: JobRecord
) -> None:
    before = [record(name, "agn", 0.2) for name in NAMES]
    (found,) = compare(before, [*before[:3], failed])
    assert (found.subjects, found.missing) == (3, 5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"craft": 16}, "craft is 3 in one plan and 16"), ({"attacks": []}, None),
     ({"attacks": [{"name": "agn", "method": {"kappa": 0.25, "seed": 0}}]}, None),
     ({"attacks": [{"name": "agn", "method": {"kappa": 0}}]}, "agn has other settings")],
)  # fmt: skip
def test_other_settings_are_not_compared(
    record: Make, change: dict[str, object], complaint: str | None
) -> None:
    plan = {"craft": 3, "attacks": [{"name": "agn", "method": {"kappa": 0.25}}]}
    rows = [record(name, "agn", 0.2) for name in NAMES]
    both = (
        Results(plan=plan, versions={}, records=rows),
        Results(plan={**plan, **change}, versions={}, records=rows),
    )
    if complaint is None:
        assert len(compare_findings(*both)) == 1
    else:
        with pytest.raises(ConfigError, match=complaint):
            compare_findings(*both)


def test_names_are_compared_in_composed_form(record: Make) -> None:
    (found,) = compare([record("Jos\u00e9", "agn", 0.2)], [record("Jose\u0301", "agn", 0.2)])
    assert (found.subjects, found.missing) == (1, 0)


def test_subjects_of_whom_the_photos_are_others_are_named() -> None:
    def begun(subject: str, name: str, picture: str) -> Begun:
        row = PhotoRow(photo=name, identity=subject, digest=picture, picture=picture)
        return {("r", subject): [row]}

    before = {**begun("Ann", "1.png", "a"), **begun("Bob", "1.png", "b"), **begun("Cy", "1", "c")}
    after = {**begun("Ann", "2.png", "a"), **begun("Bob", "1.png", "x")}
    first, second = (
        Results(plan={}, versions={}, records=[], photos=photos) for photos in (before, after)
    )
    assert with_other_photos(first, second) == ["Bob"]
