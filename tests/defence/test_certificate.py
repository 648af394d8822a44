"""The certificate stands against everything that is tried to break it."""

import itertools

import pytest
import torch
from tests.defence.test_placements import drawn, moved
from torch import nn

from agns.accessory.frame import place, silhouette
from agns.accessory.placement import lay_over
from agns.defence.certificate import certified, two_rounds
from agns.defence.masking import Masked, Masking
from agns.models.gallery import Gallery
from agns.models.victim import Classifier, Victim
from agns.types import Faces

WIDE = Masking(filling="mean", shift=12, parts=2)


def answers(decisions: torch.Tensor) -> int:
    return int(two_rounds(decisions[:, :, None])[0])


def test_every_table_of_three_regions_that_is_certified_survives_every_frame() -> None:
    """All that a frame within region k can do: change the entries that hide neither with k."""
    clean = torch.zeros(3, 3, dtype=torch.int64)
    assert bool(certified(clean[:, :, None], torch.tensor([0])))
    for k in range(3):
        others = [at for at in range(3) if at != k]
        free = list(itertools.combinations_with_replacement(others, 2))
        for forged in itertools.product(range(3), repeat=len(free)):
            table = clean.clone()
            for (one, other), decision in zip(free, forged, strict=True):
                table[one, other] = table[other, one] = decision
            assert answers(table) == 0


def test_two_rounds_reads_as_the_algorithm_does() -> None:
    agreed = torch.full((3, 3), 2)
    assert answers(agreed) == 2
    # One region disagrees, and its row bears it out.
    heard = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert answers(heard) == 1
    # It does not, under another mask: the majority is right.
    refuted = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 0, 0]])
    assert answers(refuted) == 0
    decided, by = two_rounds(torch.stack([agreed, heard, refuted], 2))
    assert decided.tolist() == [2, 1, 0]
    assert by.tolist() == [0, 0, 1]


def test_who_is_not_certified_is_told() -> None:
    table = torch.zeros(2, 2, 3, dtype=torch.int64)
    table[0, 1, 1] = table[1, 0, 1] = 1
    assert certified(table, torch.tensor([0, 0, 1])).tolist() == [True, False, False]


def worn(faces: Faces, content: torch.Tensor, placement: tuple[float, ...]) -> Faces:
    """Faces wearing a frame whose canvas holds anything, warped as a placement has it."""
    homographies = moved(*placement).float().expand(len(faces), 3, 3)
    return lay_over(faces, content, homographies).clamp(0, 1)


def decisions_of(victim: Masked, faces: Faces) -> torch.Tensor:
    with torch.no_grad():
        return victim._decided(victim(faces)[None])[0].reshape(len(faces), -1)


@pytest.mark.parametrize("kind", ["classifier", "gallery"])
@pytest.mark.parametrize("masking", [Masking(shift=2, turn=3, scale=0.02), WIDE])
def test_contents_at_random_change_no_certified_decision(
    kind: str, masking: Masking, photos: Faces, request: pytest.FixtureRequest
) -> None:
    inner: Victim = request.getfixturevalue(kind)
    victim, photos = masking.around(inner).eval(), photos[:4]
    rng = torch.Generator().manual_seed(5)
    right = decisions_of(victim, photos)
    everything = victim.decisions(photos).unflatten(2, (len(photos), -1))
    sure = (everything == right).all(0).all(0)
    assert bool(sure.any())
    for placement in drawn(masking.placements, 4):
        scale = 10 ** float(torch.rand((), generator=rng))
        content = place((torch.rand(1, 3, 64, 176, generator=rng) * scale).round() % 2)
        now = decisions_of(victim, worn(photos, content, placement))
        assert torch.equal(now[sure], right[sure]), placement


def test_contents_optimised_against_the_bare_victim_change_no_certified_decision(
    classifier: Classifier, photos: Faces
) -> None:
    """It fools the victim itself, and the masked one on no photo that is certified."""
    photos = photos[:3]
    victim = WIDE.around(classifier).eval()
    classes = decisions_of(victim, photos)[:, 0]
    sure = victim.certify(photos, classes)
    assert bool(sure.any())
    fooled = 0
    for placement in drawn(WIDE.placements, 2):
        content = torch.full((len(photos), 3, 64, 176), 0.5, requires_grad=True)
        for _ in range(4):
            faces = worn(photos, place(content), placement)
            # Every mask's answer at once, as somebody who knows the defence would.
            loss = nn.functional.cross_entropy(
                victim(faces), classes
            ) + nn.functional.cross_entropy(classifier(faces), classes)
            (gradient,) = torch.autograd.grad(loss, content)
            content = (content + 0.3 * gradient.sign()).clamp(0, 1).detach().requires_grad_()
        faces = worn(photos, place(content.detach()), placement)
        fooled += int((classifier(faces).argmax(1) != classifier(photos).argmax(1)).sum())
        now = decisions_of(victim, faces)[:, 0]
        assert torch.equal(now[sure], classes[sure])
    assert fooled > 0


def test_one_region_is_blind_to_every_content_bit_for_bit(
    gallery: Gallery, photos: Faces, generator: torch.Generator
) -> None:
    victim = Masking().around(gallery).eval()
    with torch.no_grad():
        bare = victim(photos)
        for _ in range(5):
            content = place(torch.rand(1, 3, 64, 176, generator=generator))
            assert torch.equal(victim(torch.lerp(photos, content, silhouette())), bare)
