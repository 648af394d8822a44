"""Clean and certified accuracy of a masked victim."""

import pytest
import torch
from tests.defence.conftest import NAMES, Blocks

from agns.data.faces import faces_from_pixels
from agns.defence.masking import Masking
from agns.errors import DataError
from agns.evaluation.certified import score_masking
from agns.images import from_pixels
from agns.models.victim import Classifier


def test_of_one_region_all_that_is_recognised_is_certified_and_of_several_at_most_that(
    generator: torch.Generator,
) -> None:
    inner = Classifier(Blocks(3, generator), NAMES, size=56).eval()
    coarse = torch.randint(256, (6, 3, 8, 8), generator=generator, dtype=torch.uint8)
    pixels = coarse.repeat_interleave(28, 2).repeat_interleave(28, 3)
    one = Masking(filling="mean").around(inner).eval()
    with torch.no_grad():
        labels = one(from_pixels(pixels)).argmax(1)
    # A stranger is left out, and one photo is of somebody else.
    labels[0] = (labels[0] + 1) % 3
    labels[1] = 3
    faces = faces_from_pixels(pixels, labels, (*NAMES, "Stranger"), list("abcdef"))
    scores = score_masking(one, inner, faces)
    assert scores.photos == 5
    assert scores.accuracy.share == scores.certified.share == 0.8
    several = Masking(filling="mean", shift=10, parts=2).around(inner).eval()
    wide = score_masking(several, inner, faces)
    assert wide.regions == 4
    assert wide.certified.share <= wide.accuracy.share
    assert wide.masked_share > scores.masked_share
    with pytest.raises(DataError, match="somebody whom the recogniser knows"):
        score_masking(one, inner, faces.subset(torch.tensor([1])))
