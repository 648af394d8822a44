"""The worst rectangle and the worst frame, and a recogniser that learns from them."""

from pathlib import Path

import pytest
import torch
from tests.training.small_openface import SmallOpenFace
from torch import Tensor, nn

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.attack.agn import AGN
from agns.attack.attack import natural_set_at
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.defence.masking import MaskedPhotos, Masking
from agns.defence.occlusion import Occlusion, rectangle_masks, worst_frames
from agns.errors import ConfigError
from agns.models.dcgan import build_gan, sample_latents
from agns.models.recognizer import Recognizer
from agns.models.start import Start
from agns.storage import read_json
from agns.training.recipe import RecognizerTraining
from agns.training.recognizer import train_recognizer
from agns.types import Faces


class Corner(nn.Module):
    """Knows people by one patch: brighter than grey is the first."""

    identities = ("Ann", "Bob")

    def __init__(self, top: int, left: int) -> None:
        super().__init__()
        self.top, self.left = top, left
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, faces: Tensor, *, size: int | None = None) -> Tensor:
        patch = faces[:, :, self.top : self.top + 40, self.left : self.left + 40]
        bright = self.scale * (patch.mean((1, 2, 3)) - 0.45)
        return torch.stack([bright, -bright], 1)


BRIGHT = torch.full((2, 3, 224, 224), 0.9)
ANN = torch.zeros(2, dtype=torch.int64)


@pytest.mark.parametrize("search", ["gradient", "exhaustive"])
def test_the_rectangle_goes_where_it_hurts(search: str) -> None:
    victim = Corner(120, 60)
    occlusion = Occlusion(height=40, width=40, stride=20, search=search)  # type: ignore[arg-type]
    places = occlusion.find_places(victim, BRIGHT, ANN)
    assert places.tolist() == [[120, 60], [120, 60]]


def test_its_pixels_are_painted_and_no_others() -> None:
    victim = Corner(120, 60)
    occlusion = Occlusion(height=40, width=40, stride=20, steps=20, step=0.05)
    masks = rectangle_masks(torch.tensor([[120, 60], [0, 180]]), 40, 40)
    assert masks.sum((1, 2, 3)).tolist() == [1600, 1600]
    painted = occlusion.paint(victim, BRIGHT, ANN, masks)
    assert torch.equal(painted[~masks.expand_as(painted)], BRIGHT[~masks.expand_as(BRIGHT)])
    assert victim(painted).argmax(1).tolist() == [1, 0]
    assert float(painted[0, :, 120:160, 60:100].max()) == 0


def test_a_share_of_a_batch_is_attacked_part_of_it_by_frames(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    nets = build_gan(rng=generator)
    monkeypatch.setattr("agns.defence.occlusion.shipped_nets", lambda: (nets[0].eval(), nets[1]))
    faces, labels = torch.full((8, 3, 224, 224), 0.9), torch.zeros(8, dtype=torch.int64)
    challenge = Occlusion(share=0.5, frames_share=0.5, steps=2, frame_steps=1, stride=50)
    made = challenge(Corner(70, 40), faces, labels, rng=generator)
    changed = (made != faces).flatten(1).sum(1)
    # The first of a batch wear benign glasses already.
    assert (changed[:4] == 0).all()
    assert changed[4:6].tolist() == [3 * 70 * 70] * 2
    assert changed[6:].tolist() == [3 * int(silhouette().sum())] * 2
    assert not made.requires_grad


def test_the_worst_frames_lie_in_the_natural_set(generator: torch.Generator) -> None:
    net = build_gan(rng=generator)[0].eval()
    first, second = (torch.Generator().manual_seed(4) for _ in range(2))
    worn = worst_frames(Corner(56, 30), BRIGHT, ANN, net, steps=0, step=0.2, rng=first)
    with torch.no_grad():
        drawn = net(sample_latents(2, rng=second))
        held = natural_set_at(None).project(drawn, off_plane=AGN().off_plane)
    assert not torch.equal(held, drawn)
    assert torch.equal(worn, wear(BRIGHT, place(held), silhouette()))


def test_latents_move_towards_a_higher_loss(generator: torch.Generator) -> None:
    net = build_gan(rng=generator)[0].eval()
    victim = Corner(56, 30)
    victim.scale.data.fill_(1.0)

    def loss(steps: int) -> float:
        rng = torch.Generator().manual_seed(1)
        worn = worst_frames(victim, BRIGHT, ANN, net, steps=steps, step=0.2, rng=rng)
        with torch.no_grad():
            return float(nn.functional.cross_entropy(victim(worn), ANN))

    assert loss(4) > loss(0)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agns.models.families.OpenFace", SmallOpenFace)


class BrokenOff(Exception):
    """Stands for a power cut."""


@pytest.mark.usefixtures("small")
def test_a_recogniser_goes_on_learning_and_a_run_that_broke_off_goes_on(
    tmp_path: Path, photos: Faces
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    faces = synthetic_faces(SyntheticConfig(identities=2, photos=4))
    glasses = draw_frames(8)
    config = RecognizerTraining(arch="of", epochs=2, batch=4, rate=1e-3, validation_fraction=0,
                                frames_per_photo=2)  # fmt: skip
    begun = Recognizer("of", faces.identities).eval()
    start = Start(network=begun, path=tmp_path / "begun.safetensors")
    challenge = Occlusion(stride=60, candidates=2, steps=1)

    def break_off(done: int, total: int, figures: object) -> None:
        if done == total // 2 + 1:
            raise BrokenOff

    whole, scores = train_recognizer(
        faces, glasses, config, tmp_path / "whole", start=start, challenge=challenge
    )
    with pytest.raises(BrokenOff):
        train_recognizer(
            faces, glasses, config, tmp_path / "broken", start=start, challenge=challenge,
            progress=break_off,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="had challenge"):
        train_recognizer(
            faces, glasses, config, tmp_path / "broken", start=start, resume=True,
            challenge=Occlusion(stride=60, candidates=2, steps=2),
        )  # fmt: skip
    resumed, _ = train_recognizer(
        faces, glasses, config, tmp_path / "broken", start=start, challenge=challenge, resume=True
    )
    torch.set_num_threads(threads)
    assert torch.equal(resumed(photos), whole(photos))
    assert scores.photos == 2
    assert whole.record["challenge"]["kind"] == "Occlusion"  # type: ignore[index]
    assert read_json(tmp_path / "whole" / "config.json")["config"]["challenge"]["steps"] == 1  # type: ignore[index]


@pytest.mark.usefixtures("small")
def test_growing_faces_are_no_canvas_for_it(tmp_path: Path) -> None:
    faces = synthetic_faces(SyntheticConfig(identities=2, photos=2))
    config = RecognizerTraining(arch="of", sizes=(96,))
    with pytest.raises(ConfigError, match="leave out --sizes"):
        train_recognizer(faces, draw_frames(4), config, tmp_path, challenge=Occlusion())


def test_masked_photos_are_filled_in_one_of_the_regions_or_two(generator: torch.Generator) -> None:
    masking = Masking(shift=8, parts=2, filling="grey")
    faces = torch.full((1, 3, 224, 224), 0.9)
    labels = torch.zeros(1, dtype=torch.int64)
    regions = masking.regions()
    filled = MaskedPhotos(masking=masking)(Corner(0, 0), faces, labels, rng=generator)
    held = filled[0, 0] == 0.5
    assert any(torch.equal(held, one | other) for one in regions for other in regions)
