"""The controls' frames, and faces that wear them."""

import pytest
import torch

from agns.accessory.frame import FRAME_COLUMNS, FRAME_ROWS, silhouette
from agns.data.faces import FaceSet
from agns.evaluation.controls import CONTROLS, control_frames, logits_wearing
from agns.images import from_pixels
from agns.models.recognizer import Recognizer
from agns.types import Frames, Pixels


@pytest.fixture
def controls(glasses: Pixels, generator: torch.Generator) -> dict[str, Frames]:
    return control_frames(glasses, count=5, rng=generator)


def test_each_control_has_as_many_frames_as_asked_for(controls: dict[str, Frames]) -> None:
    assert tuple(controls) == CONTROLS
    for frames in controls.values():
        assert frames.shape == (5, 3, 64, 176)
        assert frames.dtype == torch.float32
        assert 0 <= float(frames.min()) < float(frames.max()) <= 1
        assert len({frame.numpy().tobytes() for frame in frames}) > 1


@pytest.mark.parametrize("control", CONTROLS)
def test_a_single_frame_can_be_had(glasses: Pixels, control: str) -> None:
    frames = control_frames(glasses, count=1, rng=torch.Generator().manual_seed(0))
    assert frames[control].shape == (1, 3, 64, 176)


def test_benign_frames_are_real_ones(controls: dict[str, Frames], glasses: Pixels) -> None:
    real = from_pixels(glasses)
    for frame in controls["benign"]:
        assert bool((real == frame).flatten(1).all(1).any())


def test_noise_is_uniform(controls: dict[str, Frames]) -> None:
    noise = controls["noise"].double()
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(noise.std()) == pytest.approx(12**-0.5, abs=0.01)


def test_controls_come_from_the_generator_given(glasses: Pixels) -> None:
    drawn = []
    for hidden, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(hidden)
        draws = torch.Generator().manual_seed(seed)
        drawn.append(control_frames(glasses, count=4, rng=draws))
    for name in CONTROLS:
        assert torch.equal(drawn[0][name], drawn[1][name])
        assert not torch.equal(drawn[0][name], drawn[2][name])


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_every_face_wears_every_frame(
    recognizer: Recognizer, crowd: FaceSet, controls: dict[str, Frames], batch: int
) -> None:
    faces = crowd.faces(torch.arange(4))
    frames = controls["noise"][:3]
    logits = logits_wearing(recognizer, faces, frames, batch=batch)
    assert logits.shape == (3, 4, 3)
    on = silhouette().bool()[slice(*FRAME_ROWS), slice(*FRAME_COLUMNS)]
    for i, frame in enumerate(frames):
        for j, face in enumerate(faces):
            worn = face.clone()
            worn[:, slice(*FRAME_ROWS), slice(*FRAME_COLUMNS)][:, on] = frame[:, on]
            with torch.no_grad():
                alone = recognizer(worn[None])[0]
            torch.testing.assert_close(logits[i, j], alone, rtol=1e-3, atol=1e-3)


def test_no_faces_give_no_logits(recognizer: Recognizer, controls: dict[str, Frames]) -> None:
    logits = logits_wearing(recognizer, torch.zeros(0, 3, 224, 224), controls["noise"])
    assert logits.shape == (5, 0, 3)
