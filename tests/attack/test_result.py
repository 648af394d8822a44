"""What an attack leaves on disk, read back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from agns.accessory.frame import place
from agns.attack.agn import AGN
from agns.attack.goals import Dodge, Objective
from agns.attack.result import AttackResult, save_result
from agns.images import to_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer
from agns.storage import load_tensors, read_json
from agns.types import Faces, Frames, Logits, Pixels

HISTORY = [
    {"discriminator": -0.7, "recognizer": 1.5, "loss": 1.3, "probability": 0.9},
    {"discriminator": -0.8, "recognizer": 0.5, "loss": 1.2, "probability": 0.7},
]


@pytest.fixture
def outcome(gan: tuple[Generator, Discriminator], generator: torch.Generator) -> AttackResult:
    latents = sample_latents(3, rng=generator)
    with torch.no_grad():
        frames = gan[0](latents)
    return AttackResult(
        generator=gan[0],
        latents=latents,
        frames=frames,
        probability=0.7,
        met=False,
        iterations=2,
        seconds=1.5,
        stopped_because="used up the eyeglasses",
        history=HISTORY,
    )


def read(path: Path) -> np.ndarray:
    return np.asarray(PilImage.open(path)).transpose(2, 0, 1)


def bytes_of(frames: Frames) -> np.ndarray:
    return to_pixels(frames).numpy()


def test_frames_are_written_best_first(tmp_path: Path, outcome: AttackResult) -> None:
    save_result(outcome, tmp_path)
    frames = bytes_of(outcome.frames)
    np.testing.assert_array_equal(read(tmp_path / "frame.png"), frames[0])
    for rank in range(3):
        np.testing.assert_array_equal(
            read(tmp_path / "frames" / f"{rank + 1:02d}.png"), frames[rank]
        )


def test_frames_that_an_unfinished_attack_left_are_gone(
    tmp_path: Path, outcome: AttackResult
) -> None:
    save_result(outcome, tmp_path)
    first = replace(outcome, latents=outcome.latents[:1], frames=outcome.frames[:1])
    save_result(first, tmp_path)
    assert len(list((tmp_path / "frames").iterdir())) == 2


def test_every_frame_is_written_where_it_sits_on_a_face(
    tmp_path: Path, outcome: AttackResult
) -> None:
    save_result(outcome, tmp_path)
    placed = bytes_of(place(outcome.frames))
    np.testing.assert_array_equal(read(tmp_path / "frame_on_canvas.png"), placed[0])
    for rank in range(3):
        written = read(tmp_path / "frames" / f"{rank + 1:02d}_on_canvas.png")
        np.testing.assert_array_equal(written, placed[rank])


def test_latents_and_history_are_read_back_as_they_were(
    tmp_path: Path, outcome: AttackResult
) -> None:
    save_result(outcome, tmp_path)
    tensors, _ = load_tensors(tmp_path / "latents.safetensors")
    assert torch.equal(tensors["latents"], outcome.latents)
    assert read_json(tmp_path / "history.json") == {"steps": HISTORY}


class Backwards(Dodge):
    """A goal whose objective leads away from it, so that the first look is the best."""

    def loss(self, logits: Logits, objective: Objective) -> torch.Tensor:
        return -super().loss(logits, objective)


class Overflowing(Dodge):
    """A goal whose objective is no number."""

    def loss(self, logits: Logits, objective: Objective) -> torch.Tensor:
        return super().loss(logits, objective) * float("nan")


def interrupt(done: int, total: int, figures: object) -> None:
    if done == 1:
        raise KeyboardInterrupt


def carry_on(done: int, total: int, figures: object) -> None:
    pass


@pytest.mark.parametrize(
    "reason", ["reached the stop value", "used up the eyeglasses", "interrupted", "not finite"]
)
def test_all_steps_and_what_redraws_the_frame_are_saved_however_the_attack_ended(
    tmp_path: Path,
    whole_gan: tuple[Generator, Discriminator],
    victim: Recognizer,
    photos: Faces,
    glasses: Pixels,
    reason: str,
) -> None:
    stop = 1 - 1e-6 if reason == "reached the stop value" else 1e-6
    kind = Overflowing if reason == "not finite" else Backwards
    attack = AGN(batch=4, samples=4, generator_rate=1e-3, kappa=0)
    ended = attack.run(
        victim,
        photos,
        kind(subject=0, stop=stop),
        frames=glasses[:8],
        nets=whole_gan,
        progress=interrupt if reason == "interrupted" else carry_on,
    )
    assert ended.stopped_because == reason
    save_result(ended, tmp_path)
    latents = load_tensors(tmp_path / "latents.safetensors")[0]["latents"]
    with torch.no_grad():
        generator = Generator.read(tmp_path / "generator.safetensors")
        redrawn = bytes_of(attack.draw(generator, latents))
    written = read(tmp_path / "frame.png").astype(int)
    assert np.abs(redrawn[0].astype(int) - written).max() <= 1
    steps = read_json(tmp_path / "history.json")["steps"]
    assert isinstance(steps, list)
    assert len(steps) == ended.iterations
