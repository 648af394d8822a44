"""Files of answers, good and bad."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agns.errors import AgnsError, ConfigError, DataError
from agns.storage import write_json
from agns.survey.answers import LARGEST, Key, read_answers, read_key
from agns.survey.questions import Candidate, compose_survey

Save = Callable[..., Path]


def test_a_key_is_read_as_it_was_written(candidates: list[Candidate], tmp_path: Path) -> None:
    survey = compose_survey(candidates, count=2, face=None, seed=0)
    write_json(tmp_path / "survey.key.json", survey.key())
    key = read_key(tmp_path / "survey.key.json")
    assert (key.survey, key.worn) == (survey.name, False)
    assert key.kinds == {one.name: one.kind for one in survey.questions}
    assert key.sources == {one.name: one.source for one in survey.questions}


def test_answers_are_read_from_files_and_folders_less_the_key(key: Key, save_answers: Save) -> None:
    first = save_answers(1, {"00000": "real", "00001": "algorithm"})
    save_answers(2, {"00000": "algorithm"})
    write_json(first.parent / "page.key.json", {"form": 1})
    one, two = read_answers([first.parent], key)
    assert one.marked_real == {"00000": True, "00001": False}
    assert two.marked_real == {"00000": False}
    assert read_answers([first], key) == [one]


def test_two_files_of_one_person_are_refused(key: Key, save_answers: Save) -> None:
    files = [save_answers(1, {"00000": "real"}), save_answers(2, {"00000": "real"})]
    files.append(save_answers(3, {"00001": "real"}, participant=f"{1:016x}"))
    with pytest.raises(DataError, match=r"1\.json and .*3\.json are by the same person"):
        read_answers(files, key)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"survey": "fedcba9876543210"}, "answers survey fedcba9876543210, and the key is of 0123"),
        ({"form": 2}, "by another version"),
        ({"survey": 7}, "no file of a survey"),
        ({"participant": "Ann"}, "does not say by whom"),
        ({"answers": []}, "empty, or is none"),
        ({"answers": [["00000", "real"]]}, "empty, or is none"),
        ({"answers": [{"frame": "00000", "answer": True}]}, "empty, or is none"),
        ({"answers": [{"frame": "00000", "answer": "real"}] * 2}, "lists a frame twice"),
        ({"answers": [{"frame": "fffff", "answer": "real"}]}, "does not know"),
        ({"answers": [{"frame": "00000", "answer": "maybe"}]}, "does not know"),
    ],
)
def test_damaged_answers_and_those_to_another_survey_are_refused(
    key: Key, save_answers: Save, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        read_answers([save_answers(1, {"00000": "real"}, **change)], key)


def test_files_that_are_cut_short_huge_or_missing_are_refused(key: Key, tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{"form": 1, "survey": "0123', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_answers([path], key)
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(DataError, match="more than 4 MiB"):
        read_answers([path], key)
    wrong: list[tuple[Callable[[], object], type[AgnsError]]] = [
        (lambda: read_answers([tmp_path / "none.json"], key), ConfigError),
        (lambda: read_key(tmp_path / "none.json"), ConfigError),
        (lambda: read_key(path), DataError),
    ]
    for call, error in wrong:
        with pytest.raises(error):
            call()
    path.unlink()
    with pytest.raises(ConfigError, match="no answers in"):
        read_answers([tmp_path], key)
