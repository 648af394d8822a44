"""The example on digits, in a small setting: what it writes, and what it refuses."""

import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from torch import nn

from agns.images import read_image
from agns.storage import read_json
from digit_pictures import Digits

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.py"
MAIN = runpy.run_path(str(EXAMPLE))["main"]
SMALL = "--pretraining 8 --steps 4 --drawn 40 --seed 3"


@pytest.fixture(scope="module")
def trained() -> Iterator[dict[int, nn.Module]]:
    """The classifiers by their seeds, none of which is trained twice while it is here."""
    kept: dict[int, nn.Module] = {}
    train = MAIN.__globals__["train"]

    def train_once(layers: Sequence[nn.Module], data: Digits, seed: int) -> nn.Module:
        if seed not in kept:
            kept[seed] = train(layers, data, seed)
        return kept[seed]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MAIN.__globals__, "train", train_once)
        yield kept


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, trained: dict[int, nn.Module]) -> Path:
    path = tmp_path_factory.mktemp("digits")
    assert MAIN(["--out", str(path), "--digits", "7,3", *SMALL.split()]) == 0
    assert sorted(trained) == [3, 4]
    return path


def test_the_classifiers_read_digits(out: Path) -> None:
    accuracy = read_json(out / "result.json")["accuracy"]
    assert sorted(accuracy) == ["neighbours", "network", "victim"]
    assert min(accuracy.values()) > 0.93


def test_shares_lie_in_their_intervals_and_add_up(out: Path) -> None:
    told = read_json(out / "result.json")
    for when in ("before", "after"):
        rows = told[when]
        assert list(rows) == ["3", "7", "all"]
        for row in rows.values():
            for name in ("misread", "network", "neighbours", "counts"):
                share, low, high = row[name]
                assert 0 <= low <= share <= high <= 1
            least = min(row["misread"][0], row["network"][0], row["neighbours"][0])
            assert row["counts"][0] <= least
            assert 0 <= row["belief"][0] <= 1
        mean = (rows["3"]["misread"][0] + rows["7"]["misread"][0]) / 2
        assert rows["all"]["misread"][0] == pytest.approx(mean)


def test_the_sheet_holds_ten_digits_of_each_before_and_after(out: Path) -> None:
    sheet = read_image(out / "before_and_after.png")
    assert tuple(sheet.shape) == (3, 2 * 50 + 2, 20 * 50 + 2)
    assert float(sheet[:, :, -460:].std()) > 0


def test_a_digits_figures_depend_on_the_seed_and_not_on_the_other_digits(
    out: Path, trained: dict[int, nn.Module], tmp_path: Path
) -> None:
    # The victim's training takes longest; that of a judge shows as well that the seed decides.
    del trained[4]
    assert MAIN(["--out", str(tmp_path), "--digits", "7", *SMALL.split()]) == 0
    again, told = (read_json(path / "result.json") for path in (tmp_path, out))
    assert again["accuracy"] == told["accuracy"]
    for when in ("before", "after"):
        assert again[when]["7"] == told[when]["7"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--digits 1,x", "--digits should be digits with commas between, got 1,x"),
        ("--digits 10", "got 10"),
        ("--steps 0", "start at 1"),
        ("--seed -1", "--seed at 0"),
        ("--mnist nowhere", "there is no train-images-idx3-ubyte in nowhere"),
    ],
)
def test_misuse_is_told_in_a_sentence(
    words: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MAIN(["--out", str(tmp_path / "out"), *words.split()]) == 2
    told = capsys.readouterr().err
    assert told.startswith("digits: ")
    assert sentence in told
    assert not (tmp_path / "out").exists()


def test_the_example_stays_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 150
