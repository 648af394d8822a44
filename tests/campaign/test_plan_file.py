"""Plans are read with their defaults, and mistakes are told by line and key."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agns.attack.agn import AGN
from agns.attack.baselines import Baseline
from agns.attack.pixel_descent import CCS16_PHYSICAL, PGD
from agns.attack.transfer import Transfer
from agns.attack.universal import UNIVERSAL_AGN, Universal
from agns.campaign.plan import (
    Plan,
    PlannedAttack,
    PlannedUniversal,
    PlanVictim,
    Published,
    plan_as_json,
)
from agns.campaign.plan_file import naming, read_plan
from agns.data.simulation.drawn_frames import EYEGLASS_COUNT
from agns.errors import ConfigError
from agns.evaluation.universal import UniversalSpec

LEAST = "recognizers: [{}]\ngoals: [dodge]\nattacks: [agn]\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_least_plan_has_every_default(tmp_path: Path) -> None:
    assert read_plan(written(tmp_path, LEAST)) == Plan(
        recognizers=(PlanVictim(name="shipped"),),
        goals=("dodge",),
        attacks=(PlannedAttack(name="agn", method=AGN()),),
    )


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    text = """\
recognizers:
  - {file: runs/of10/recognizer.safetensors, faces: lfw}
  - {name: other, file: x.safetensors}
goals: [impersonate, dodge]
attacks:
  - pgd
  - name: loose
    method: agn
    settings: {kappa: 0, generator_rate: 1e-3, objective: margin, samples: 8}
  - {name: free, method: ccs16-bounded, settings: {bound: null}}
  - {name: printed, method: ccs16-physical, settings: {palette: own.csv, shift: 2}}
  - {method: untrained-generator, settings: {count: 20}}
subjects: [Ann, "007"]
targets: random
chosen_by: 4
seeds: [1, 2]
craft: 3
control_frames: 8
frames: 320
"""
    plan = read_plan(written(tmp_path, text))
    assert plan.recognizers == (
        PlanVictim(name="of10", file="runs/of10/recognizer.safetensors", faces=Path("lfw")),
        PlanVictim(name="other", file="x.safetensors"),
    )
    pgd, loose, free, printed, chosen = plan.attacks
    assert chosen.method == Baseline(kind="untrained_generator", count=20)
    assert pgd == PlannedAttack(name="pgd", method=PGD())
    assert loose.method == AGN(kappa=0.0, generator_rate=1e-3, objective="margin", samples=8)
    assert free.method.bound is None
    assert printed.method == replace(CCS16_PHYSICAL, palette="own.csv", shift=2.0)
    assert plan.subjects == ("Ann", "007")
    assert (plan.targets, plan.chosen_by, plan.seeds) == ("random", 4, (1, 2))
    assert (plan.craft, plan.control_frames, plan.frames) == (3, 8, 320)
    told = plan_as_json(plan)
    assert told["recognizers"][0]["file"] == "runs/of10/recognizer.safetensors"
    assert told["attacks"][1]["method"]["min_fake_score"] == AGN().min_fake_score


@pytest.mark.parametrize(("text", "expected"), [("all", None), ("4", 4)])
def test_subjects_are_all_or_so_many(tmp_path: Path, text: str, expected: int | None) -> None:
    assert read_plan(written(tmp_path, f"{LEAST}subjects: {text}\n")).subjects == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("- a\n", "line 1: a plan should be keys with values"),
        ("goals: [dodge]\nattacks: [agn]\n", "line 1: a plan needs recognizers"),
        (LEAST + "goal: dodge\n", r"line 4: a plan has no 'goal': it takes recognizers, goals"),
        (LEAST + "craft: 3\ncraft: 4\n", "line 5: craft comes twice"),
        (LEAST + "craft: many\n", "line 4: craft should be a valid integer, got"),
        (LEAST + "craft: true\n", "line 4: craft should be a valid integer, got"),
        (LEAST + "craft: 0\n", "line 4: craft should be greater than or equal to 1, got 0"),
        (LEAST + "seeds: 3\n", "line 4: seeds should be a list, got 3"),
        (LEAST + "seeds: []\n", "line 4: seeds should have at least 1 item"),
        (LEAST + "seeds: [1, 1]\n", "line 4: seeds: the same comes twice"),
        (LEAST + "subjects: [Ann, Ann]\n", "line 4: subjects: the same comes twice"),
        (
            LEAST.replace("[agn]", "[{method: pgd, settings: {bound: [1]}}]"),
            "line 3: bound should be a valid number",
        ),
        (
            LEAST.replace("[agn]", "[{method: pgd, settings: {step: !!int a}}]"),
            "step should be a valid number, got",
        ),
        (
            LEAST.replace("[agn]", "[{method: pgd, settings: {step: 1.2.3e4}}]"),
            "step should be a valid number, got",
        ),
        (
            LEAST + "targets: anybody\n",
            "line 4: targets should be 'next' or 'random' or a list, got 'any",
        ),
        (LEAST + "subjects: some\n", "line 4: subjects should be a list or a valid integer, got"),
        (LEAST + "frames: [\n", r"line 5: "),
        (LEAST + "transfer: maybe\n", "line 4: transfer should be a valid boolean, got"),
        (LEAST + "published: [{goal: dodge}]\n", "line 4: a published number needs recognizer"),
        (
            LEAST + "seeds: [9223372036854775808]\n",
            "line 4: seeds should be less than 9223372036854775808",
        ),
        (
            LEAST + "published: [{recognizer: a, goal: dodge, attack: agn, percent: 1}]\n",
            "line 4: published: the plan has no agn against a",
        ),
        (
            LEAST + "published: [{recognizer: a, goal: dodge, attack: b, percent: 101}]\n",
            "line 4: percent should be less than or equal to 100, got 101",
        ),
        (
            LEAST.replace("[dodge]", "[hide]"),
            "line 2: goals should be 'dodge' or 'impersonate', got",
        ),
        (
            LEAST.replace("[agn]", "[fgsm]"),
            "line 3: there is no attack .*are agn, agn-paper, span, ccs16",
        ),
        (LEAST.replace("[agn]", "[agn, agn]"), "line 3: attacks: two are called 'agn'"),
        (LEAST.replace("[agn]", "[{name: a}]"), "line 3: an attack needs method"),
        (LEAST.replace("[agn]", "[{method: agn, settings: {kapa: 1}}]"), "has no 'kapa'"),
        (
            LEAST.replace("[agn]", "\n  - method: agn\n    settings: {kappa: 2}"),
            r"line 5: kappa must lie in \[0, 1\], got 2",
        ),
        (
            LEAST.replace("[agn]", "[{method: agn, settings: {objective: best}}]"),
            "objective should be 'logits', 'probabilities' or 'margin', got",
        ),
        (LEAST.replace("[agn]", "[{method: pgd, settings: {seed: 1}}]"), "has no 'seed'"),
        (LEAST.replace("[agn]", "[{method: benign, settings: {kind: noise}}]"), "the method says"),
        (
            LEAST + "together: 2\n",
            "line 4: attacks run one after another now: leave together out",
        ),
        (LEAST + "targets: {Ann: Bob}\n", "line 4: targets should be 'next' or 'random' or a list"),
        (LEAST + "targets: []\n", "line 4: targets should .*have at least 1 item"),
        (LEAST + "targets: [Ann, Bob]\n", "line 4: targets: 2 need as many subjects .* got 0"),
        (
            LEAST + "subjects: [Ann, Bob, Cy]\ntargets: [Ann, Bob]\n",
            "line 5: targets: 2 need as many subjects by name, in their order, got 3",
        ),
        (LEAST + "universal: [{}, {}]\n", "line 4: universal: two are called 'universal'"),
        (
            LEAST + "universal: [{cluster: 2}]\n",
            "a universal attack has no 'cluster': it takes subjects, .*, name",
        ),
        (LEAST + "universal: [{seed: 2}]\n", "a universal attack has no 'seed'"),
        (LEAST + "universal: [{steps: 0}]\n", "line 4: steps must be at least 1, got 0"),
        (LEAST + "universal: [{unseen: 1}]\n", r"line 4: unseen must lie in \(0, 1\), got 1"),
        (LEAST + "universal: [{counts: [2, 1]}]\n", "line 4: counts must ascend from at least 1"),
        (LEAST + "universal: [{counts: 2}]\n", "line 4: counts should be a list"),
        (LEAST + "universal: [{settings: {kappa: 2}}]\n", r"line 4: kappa must lie in \[0, 1\]"),
        (LEAST + "universal: [{settings: {epochs: 2}}]\n", "line 4: epochs: of a universal attack"),
        (LEAST + "universal: [{name: []}]\n", "^[^,]*, line 4: name should be a valid string$"),
        (LEAST + "universal: [{settings: {jitter: 1.0}}]\n", "line 4: .*no jitter"),
        ("recognizers: [{}]\ngoals: [dodge]\nuniversal: [{}]\n", "line 1: a plan needs attacks"),
        (LEAST.replace("[{}]", "[{file: [a]}]"), "line 1: file should be a valid string"),
        (LEAST.replace("[{}]", "[{file: ~}]"), "line 1: file should be a valid string"),
        (LEAST.replace("[{}]", "[{faces: null}]"), "line 1: faces should be a valid string"),
        (LEAST.replace("[{}]", "[{}, {}]"), "line 1: recognizers: two are called 'shipped'"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_plan(written(tmp_path, text))


def test_the_plan_that_the_documentation_shows_says_the_defaults(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "campaigns.md"
    text = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    plan = read_plan(written(tmp_path, text))
    least = read_plan(written(tmp_path, text.split("# What follows")[0]))
    assert replace(plan, frames=None) == least
    assert plan.frames == EYEGLASS_COUNT


def test_names_are_taken_as_they_are_written(tmp_path: Path) -> None:
    text = LEAST.replace("{}", "{name: no, faces: 2020}") + "subjects: [007, null_, Yes]\n"
    plan = read_plan(written(tmp_path, text))
    assert (plan.recognizers[0].name, plan.recognizers[0].faces) == ("no", Path("2020"))
    assert plan.subjects == ("007", "null_", "Yes")


def test_aliases_name_a_value_again_but_not_too_often(tmp_path: Path) -> None:
    own = "[{method: pgd, settings: &own {steps: 3}}, {method: ccs16, settings: *own}]"
    text = LEAST.replace("[agn]", own)
    assert [one.method.steps for one in read_plan(written(tmp_path, text)).attacks] == [3, 3]
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="has more than 100000 values"):
        read_plan(written(tmp_path, "\n".join(["a0: &a0 [x]", *levels])))
    with pytest.raises(ConfigError, match="is no YAML"):
        read_plan(written(tmp_path, "seeds: &a [*a]\n"))


def test_a_defence_and_code_of_ones_own_are_named_by_reference(tmp_path: Path) -> None:
    text = LEAST.replace("{}", '{file: "mine.nets:build", defence: "mine.nets:Blur"}')
    (victim,) = read_plan(written(tmp_path, text)).recognizers
    assert (victim.file, victim.defence) == ("mine.nets:build", "mine.nets:Blur")
    own = LEAST.replace("[agn]", '["agns.attack.agn:AGN"]')
    (attack,) = read_plan(written(tmp_path, own)).attacks
    assert (attack.name, attack.method) == ("AGN", AGN())


@pytest.mark.parametrize(
    ("at", "sentence", "told"),
    [
        ((), "subjects: one knows no 'Bob'", ", line 4: subjects: one knows no 'Bob'"),
        (("recognizers", 0), "no file: it is gone", ", line 1: no file: it is gone"),
        ((), "one: knows nobody", ": one: knows nobody"),
        ((), "one knows nobody", ": one knows nobody"),
    ],
)
def test_what_recognisers_show_to_be_wrong_is_told_with_its_line(
    tmp_path: Path, at: tuple[str | int, ...], sentence: str, told: str
) -> None:
    path = written(tmp_path, f"{LEAST}subjects: [Bob]\n")
    with pytest.raises(ConfigError) as raised, naming(path, *at):
        raise ConfigError(sentence)
    assert str(raised.value) == f"{path}{told}"


def test_targets_may_be_named(tmp_path: Path) -> None:
    one = read_plan(written(tmp_path, f"{LEAST}targets: [Cy]\n"))
    assert one.targets == ("Cy",)
    each = read_plan(written(tmp_path, f"{LEAST}subjects: [Ann, Bob]\ntargets: [Bob, Cy]\n"))
    assert each.targets == ("Bob", "Cy")


def test_a_plan_may_be_of_universal_attacks_alone(tmp_path: Path) -> None:
    text = """\
recognizers: [{}]
universal:
  - {}
  - name: few
    subjects: 40
    unseen: 0.25
    craft: 4
    counts: [1, 3]
    clusters: 3
    frames: 3
    stop: 0.1
    settings: {kappa: 0.5}
"""
    plan = read_plan(written(tmp_path, text))
    assert (plan.goals, plan.attacks) == ((), ())
    usual, few = plan.universal
    assert usual == PlannedUniversal(
        name="universal", experiment=UniversalSpec(), method=Universal()
    )
    assert few == PlannedUniversal(
        name="few",
        experiment=UniversalSpec(subjects=40, unseen=0.25, craft=4, counts=(1, 3)),
        method=Universal(clusters=3, frames=3, stop=0.1, agn=replace(UNIVERSAL_AGN, kappa=0.5)),
    )
    told = plan_as_json(plan)
    assert told["universal"][1]["method"]["agn"]["check_every"] == UNIVERSAL_AGN.check_every


def test_published_figures_and_transfer_are_read(tmp_path: Path) -> None:
    figure = "{recognizer: shipped, goal: dodge, attack: agn, percent: 37}"
    plan = read_plan(written(tmp_path, f"{LEAST}transfer: true\npublished: [{figure}]\n"))
    assert plan.transfer
    assert plan.published == (
        Published(recognizer="shipped", goal="dodge", attack="agn", percent=37.0),
    )


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "plans").glob("*.yaml")))
def test_the_plans_that_come_with_agns_can_be_read(path: Path) -> None:
    plan = read_plan(path)
    names = {victim.name for victim in plan.recognizers}, {entry.name for entry in plan.attacks}
    for figure in plan.published:
        assert figure.recognizer in names[0]
        assert figure.attack in names[1]


def test_what_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no plan"):
        read_plan(tmp_path)
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not text"):
        read_plan(path)


def test_the_plans_that_come_along_are_plans() -> None:
    plans = sorted((Path(__file__).parents[2] / "plans").glob("*.yaml"))
    assert plans
    for path in plans:
        plan = read_plan(path)
        assert plan.attacks or plan.universal


def test_a_tilde_before_a_path_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    plan = read_plan(written(tmp_path, LEAST.replace("[{}]", "[{file: ~/r.safetensors}]")))
    assert plan.recognizers[0].file == str(tmp_path / "r.safetensors")
    printed = "[{method: agn, settings: {palette: ~/ink.csv, nps_weight: 1}}]"
    own = read_plan(written(tmp_path, LEAST.replace("[agn]", printed))).attacks[0].method
    assert own == AGN(palette=str(tmp_path / "ink.csv"), nps_weight=1.0)


def test_surrogates_are_named_as_recognisers_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    follows = "[{method: transfer, settings: {surrogates: [~/a.safetensors, No]}}]"
    plan = read_plan(written(tmp_path, LEAST.replace("[agn]", follows)))
    own = Transfer(surrogates=(str(tmp_path / "a.safetensors"), "No"))
    assert plan.attacks[0].method == own
    assert json.loads(json.dumps(plan_as_json(plan)))["attacks"][0]["method"]["surrogates"] == [
        *own.surrogates
    ]


def test_a_home_folder_that_nobody_knows_is_a_mistake(tmp_path: Path) -> None:
    text = LEAST.replace("[{}]", "[{file: ~nobody_of_this_name/r.safetensors}]")
    with pytest.raises(ConfigError, match="line 1: file: nobody knows the home folder in ~nobody"):
        read_plan(written(tmp_path, text))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[{}]", '[{name: "v\\udce9"}]'),
        ("[{}]", '[{file: "v\\udce9/recognizer.safetensors"}]'),
        ("[agn]", '[{method: agn, name: "a\\udce9"}]'),
        ("[agn]", '[agn]\nsubjects: ["Ren\\udce9"]'),
        ("[agn]", '[agn]\ntargets: ["Ren\\udce9"]'),
        ("[agn]", '[agn]\nuniversal: [{name: "u\\udce9"}]'),
    ],
)
def test_names_that_no_ledger_can_hold_are_refused(tmp_path: Path, before: str, after: str) -> None:
    with pytest.raises(ConfigError, match=r"plan.yaml, line \d: .*UTF-8 text"):
        read_plan(written(tmp_path, LEAST.replace(before, after)))


def test_folders_whose_names_are_no_text_may_be_named_in_a_plan(tmp_path: Path) -> None:
    text = LEAST.replace("{}", '{name: v, file: "v\\udce9/r.safetensors", faces: "\\udce9"}')
    (victim,) = read_plan(written(tmp_path, text)).recognizers
    assert (victim.file, victim.faces) == ("v\udce9/r.safetensors", Path("\udce9"))


def test_plans_made_in_python_refuse_the_same_names() -> None:
    plan = Plan(recognizers=(PlanVictim(name="v"),))
    for make in (
        lambda: PlanVictim(name="v\udce9"),
        lambda: PlannedAttack(name="a\udce9", method=PGD()),
        lambda: replace(plan, subjects=("Ren\udce9",)),
    ):
        with pytest.raises(ConfigError, match="UTF-8 text"):
            make()


OWN = """\
from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

import agns


class Mode(enum.Enum):
    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, kw_only=True)
class Odd:
    weights: list[int] = field(default_factory=lambda: [1, 2])
    where: Path = Path("x")
    mode: Mode = Mode.SOFT

    def run(self, victim, faces, goal, **named):
        raise ValueError("out of colour")
"""


def test_settings_of_an_own_attack_may_be_of_any_plain_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"odd_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plain = f"recognizers: [{{}}]\ngoals: [dodge]\nattacks:\n  - {{method: '{name}:Odd'}}\n"
    (usual,) = read_plan(written(tmp_path, plain)).attacks
    assert vars(usual.method)["weights"] == [1, 2]
    settings = "settings: {weights: [3, 4], where: /tmp/there, mode: hard}"
    (own,) = read_plan(written(tmp_path, plain.replace("Odd'}", f"Odd', {settings}}}"))).attacks
    told = vars(own.method)
    assert (told["weights"], told["where"], told["mode"].value) == (
        [3, 4], Path("/tmp/there"), "hard",
    )  # fmt: skip


@pytest.mark.parametrize("key", ["<<: {goals: [dodge]}", "? {a: 1}\n: 2", "? [a]\n: 2"])
def test_keys_are_words(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="line 4: a key should be a word"):
        read_plan(written(tmp_path, LEAST + key + "\n"))
