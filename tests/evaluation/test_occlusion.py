"""Where a victim looks."""

import torch

from agns.attack.goals import Impersonate
from agns.evaluation.occlusion import occlusion_map
from agns.types import Faces, Logits


class Corner:
    """Takes whoever is bright in the upper left corner for Ann."""

    identities = ("Ann", "Bob")

    def __call__(self, faces: Faces) -> Logits:
        bright = faces[:, :, :32, :32].mean((1, 2, 3))
        return torch.stack([10 * (bright - 0.75), torch.zeros_like(bright)], 1)


def test_the_probability_falls_most_where_the_victim_looks() -> None:
    falls = occlusion_map(Corner(), torch.ones(3, 224, 224), Impersonate(0))
    assert falls.shape == (224, 224)
    assert float(falls[:24, :24].min()) > 0.5
    assert float(falls[100:, 100:].abs().max()) < 1e-6


def test_a_victim_that_looks_nowhere_has_a_map_of_zeros() -> None:
    class Blind:
        identities = ("Ann", "Bob")

        def __call__(self, faces: Faces) -> Logits:
            return torch.zeros(len(faces), 2)

    assert not occlusion_map(Blind(), torch.rand(3, 224, 224), Impersonate(0)).any()
