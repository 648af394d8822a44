"""Photos known again by content."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.known_photos import as_recorded, read_rows, rows_of
from agns.errors import ConfigError, DataError


def people(values: list[int], names: list[str]) -> FaceSet:
    """One colour for each photo; the even places are Ann's, the odd ones Bob's."""
    pixels = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 224, 224)
    labels = torch.arange(len(values)) % 2
    return faces_from_pixels(pixels.contiguous(), labels, ["Ann", "Bob"], names)


BEGUN = people([1, 2, 3, 4], ["a", "b", "c", "d"])


def test_photos_are_put_in_the_order_and_under_the_names_of_the_record() -> None:
    renamed = people([3, 4, 1, 2], ["x", "y", "z", "w"])
    found = as_recorded(renamed, rows_of(BEGUN), "the run")
    assert found.photos == BEGUN.photos
    assert torch.equal(found.pixels, BEGUN.pixels)
    assert torch.equal(found.labels, BEGUN.labels)


def test_what_pictures_are_of_is_taken_from_the_record() -> None:
    told = replace(BEGUN, digests=("of", "of", "of", "of"))
    assert as_recorded(BEGUN, rows_of(told), "the run").digests == told.digests


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2, 3, 9], "1 of its 4 are not among these, and 1 of these are new"),
        ([1, 2, 3], "1 of its 4 are not among these, and 0 of these are new"),
        # The same pictures of the other one.
        ([2, 1, 3, 4], "2 of its 4 are not among these, and 2 of these are new"),
        ([1, 2, 3, 4, 1], "0 of its 4 are not among these, and 1 of these are new"),
    ],
)
def test_other_photos_are_refused_and_counted(values: list[int], said: str) -> None:
    others = people(values, [str(place) for place in range(len(values))])
    with pytest.raises(ConfigError, match=said):
        as_recorded(others, rows_of(BEGUN), "the run")


def test_rows_are_read_as_they_were_written() -> None:
    rows = rows_of(BEGUN)
    assert read_rows([row.as_json() for row in rows], Path("photos.json")) == rows


@pytest.mark.parametrize("listed", [None, [3], [{"photo": "a"}], {"photo": "a"}])
def test_what_is_no_record_is_refused(listed: object) -> None:
    with pytest.raises(DataError, match=r"photos\.json does not list photos"):
        read_rows(listed, Path("photos.json"))
