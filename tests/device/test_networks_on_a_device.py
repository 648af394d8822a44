"""Networks, attacks and trainings where a GPU is, beside what the processor comes to.

They are skipped where there is no GPU; AGNS_TEST_DEVICE=cpu runs them on the processor.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from agns.attack.agn import AGN
from agns.attack.goals import Dodge
from agns.attack.pixel_descent import CCS16
from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.evaluation.controls import logits_wearing
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.layout import device_of
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.shipped import shipped_weights
from agns.models.start import load_start
from agns.models.victim import class_of, freeze
from agns.training.head import train_head
from agns.training.metric import MetricTraining, train_metric
from agns.training.parallel import Machines, running
from agns.training.precision import choose_device
from agns.training.recipe import RecognizerTraining
from agns.training.recognizer import train_recognizer
from agns.training.run import Provenance
from agns.types import Pixels

pytestmark = pytest.mark.gpu

NEVER = 1e-9


@pytest.fixture(scope="module")
def device() -> torch.device:
    named = os.environ.get("AGNS_TEST_DEVICE")
    if named is None and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return choose_device(named or "cuda")


@pytest.fixture(scope="module")
def people() -> FaceSet:
    """Photos that the shipped recogniser was not trained on."""
    return synthetic_faces(SyntheticConfig(identities=8, photos=4, first_photo=80))


@pytest.fixture(scope="module")
def glasses() -> Pixels:
    return draw_frames(48)


def shipped(device: torch.device) -> Recognizer:
    return freeze(Recognizer.read(shipped_weights("of10_synthetic")).to(device))


def machines(device: torch.device) -> Machines:
    return Machines(accelerator="cuda" if device.type == "cuda" else "cpu")


@pytest.mark.parametrize("arch", ["of10", "vgg10"])
def test_a_recogniser_says_on_a_device_what_it_says_on_the_processor(
    arch: str, device: torch.device, people: FaceSet
) -> None:
    draws = torch.Generator().manual_seed(0)
    recognizer = build_recognizer(arch, tuple("abcdefghij"), rng=draws).eval()
    faces = people.faces(torch.arange(4))
    with torch.no_grad():
        here = recognizer(faces)
        there = recognizer.to(device)(faces)
    assert there.device.type == "cpu"
    # Convolutions may round to TF32 there.
    assert float((here - there).abs().max()) < 1e-2 * float(here.abs().max())


def test_the_gradient_at_a_face_points_where_the_processors_does(
    device: torch.device, people: FaceSet
) -> None:
    gradients = []
    for place in (torch.device("cpu"), device):
        leaf = people.faces(torch.arange(4)).requires_grad_()
        (gradient,) = torch.autograd.grad(shipped(place)(leaf)[:, 0].sum(), leaf)
        gradients.append(gradient.flatten(1))
    assert float(functional.cosine_similarity(*gradients).min()) > 0.99


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_attack_on_a_device_brings_the_probability_down(
    precision: str, device: torch.device, people: FaceSet, glasses: Pixels
) -> None:
    victim = shipped(device)
    subject = class_of(victim, people.identities[0])
    photos = people.faces(people.places_of(people.identities[0])[:2])
    before = victim(photos).softmax(1)[:, subject].mean()
    found = AGN(batch=4, samples=4, precision=precision).run(
        victim,
        photos,
        Dodge(subject=subject, stop=NEVER),
        frames=glasses,
        nets=(
            Generator.read(shipped_weights("generator")).to(device),
            Discriminator.read(shipped_weights("discriminator")).to(device),
        ),
    )
    assert (found.iterations, found.stopped_because) == (12, "used up the eyeglasses")
    assert found.frames.device.type == "cpu"
    assert found.probability < 0.9 * float(before)
    worn = logits_wearing(victim, photos, found.frames[:1])[0].softmax(1)[:, subject]
    assert float(worn.mean()) == pytest.approx(found.probability, abs=0.02)
    torch.testing.assert_close(found.generator(found.latents), found.frames, atol=0.01, rtol=0.01)


def test_pixels_descend_on_a_device(device: torch.device, people: FaceSet) -> None:
    victim = shipped(device)
    subject = class_of(victim, people.identities[0])
    photos = people.faces(people.places_of(people.identities[0])[:2])
    found = replace(CCS16(), steps=3).run(victim, photos, Dodge(subject=subject, stop=NEVER))
    assert found.history[-1]["probability"] < found.history[0]["probability"]


def test_the_discriminator_judges_on_a_device_as_on_the_processor(
    device: torch.device, glasses: Pixels
) -> None:
    generator = Generator.read(shipped_weights("generator"))
    discriminator = Discriminator.read(shipped_weights("discriminator"))
    latents = sample_latents(8, rng=torch.Generator().manual_seed(0))
    with torch.no_grad():
        here = discriminator.judge_among(generator(latents), from_pixels(glasses[:16]))
        there = discriminator.to(device).judge_among(
            generator.to(device)(latents), from_pixels(glasses[:16])
        )
    torch.testing.assert_close(here, there.cpu(), atol=0.02, rtol=0.02)


def test_a_recogniser_trains_on_a_device_and_goes_on_to_the_same_figures(
    device: torch.device, people: FaceSet, glasses: Pixels, tmp_path: Path
) -> None:
    config = RecognizerTraining(arch="of", epochs=2, batch=8)

    class Cut(Exception):
        pass

    def cut(done: int, total: int, figures: object) -> None:
        if done == total // 2 + 1:
            raise Cut

    with running(machines(device)) as fabric:
        _, whole = train_recognizer(people, glasses, config, tmp_path / "whole", fabric=fabric)
        with pytest.raises(Cut):
            train_recognizer(people, glasses, config, tmp_path / "cut", fabric=fabric, progress=cut)
        trained, resumed = train_recognizer(
            people, glasses, config, tmp_path / "cut", fabric=fabric, resume=True
        )
    assert device_of(trained).type == "cpu"
    # A GPU adds up in an order of its own each time.
    assert resumed.photos == whole.photos
    assert abs(resumed.accuracy - whole.accuracy) <= 1 / 4


def test_a_head_trains_on_a_backbone_on_a_device(
    device: torch.device, people: FaceSet, glasses: Pixels, tmp_path: Path
) -> None:
    config = RecognizerTraining(
        arch="of", epochs=30, batch=8, frozen=True, frames_per_photo=1, rate=1e-2
    )
    start = load_start(shipped_weights("of10_synthetic"))
    _, scores = train_head(
        people, glasses, config, tmp_path / "run", start=start, about=Provenance(), device=device
    )
    assert scores.accuracy > 0.6


def test_an_embedding_trains_on_a_device(
    device: torch.device, people: FaceSet, glasses: Pixels, tmp_path: Path
) -> None:
    config = MetricTraining(epochs=1, identities=3, photos=2)
    with running(machines(device)) as fabric:
        backbone, _, curve = train_metric(
            people, glasses, config, tmp_path / "run", fabric=fabric, about=Provenance()
        )
    assert device_of(backbone).type == "cpu"
    assert len(curve["false_acceptance"]) > 1
