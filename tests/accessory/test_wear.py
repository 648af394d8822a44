import pytest
import torch

from agns.accessory.wear import wear


@pytest.fixture
def source() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_wear_keeps_pixels_off_the_frame(source: torch.Generator) -> None:
    faces, glasses = torch.rand(2, 2, 3, 8, 8, generator=source)
    mask = torch.zeros(8, 8)
    mask[:4] = 1
    assert torch.equal(wear(faces, glasses, mask)[..., 4:, :], faces[..., 4:, :])


def test_wear_shows_the_glasses_on_the_frame(source: torch.Generator) -> None:
    faces, glasses = torch.rand(2, 2, 3, 8, 8, generator=source)
    mask = torch.zeros(1, 8, 8)
    mask[:, :4] = 1
    assert torch.equal(wear(faces, glasses, mask)[..., :4, :], glasses[..., :4, :])


def test_wear_blends_on_soft_edges() -> None:
    worn = wear(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), torch.full((8, 8), 0.25))
    assert torch.equal(worn, torch.full((1, 3, 8, 8), 0.25))


def test_wear_gives_one_pair_to_all_faces(source: torch.Generator) -> None:
    faces = torch.rand(3, 3, 8, 8, generator=source)
    glasses, mask = torch.rand(1, 3, 8, 8, generator=source), torch.rand(8, 8, generator=source)
    assert torch.equal(wear(faces, glasses, mask), wear(faces, glasses.expand(3, -1, -1, -1), mask))


def test_wear_takes_a_mask_for_each_face(source: torch.Generator) -> None:
    faces, glasses = torch.rand(2, 2, 3, 8, 8, generator=source)
    masks = torch.rand(2, 1, 8, 8, generator=source)
    alone = [wear(faces[i : i + 1], glasses[i : i + 1], masks[i, 0]) for i in range(2)]
    assert torch.equal(wear(faces, glasses, masks), torch.cat(alone))


def test_wear_is_differentiable_in_every_argument(source: torch.Generator) -> None:
    shapes = ((2, 3, 3, 4), (1, 3, 3, 4), (2, 1, 3, 4))
    arguments = [
        torch.rand(shape, generator=source, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]
    assert torch.autograd.gradcheck(wear, arguments)
