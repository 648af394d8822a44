"""Masked victims: settings, files, galleries enrolled anew, and logits that say what is decided."""

import copy
from pathlib import Path

import pytest
import torch
from tests.attack.conftest import build_narrow_gan
from tests.defence.conftest import NAMES, Blocks

import agns
from agns.accessory.placement import FIXED
from agns.attack.goals import resolve_goal, taken_for
from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.simulation.drawn_frames import draw_frames
from agns.defence.certificate import two_rounds
from agns.defence.enrolling import enrol_masked
from agns.defence.filling import fill
from agns.defence.masking import ENROLLED_MASKED, Masked, Masking, thresholds_of
from agns.defence.methods import DefenceFile, defend
from agns.errors import ConfigError, WeightsError
from agns.loading import load_victim
from agns.models.black_box import answering
from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.victim import Classifier
from agns.storage import load_tensors, save_tensors
from agns.types import Faces

SEVERAL = Masking(filling="mean", shift=10, parts=2)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="give a shift, or 1 part"):
        Masking(parts=2)
    with pytest.raises(ConfigError, match="turn must lie"):
        Masking(turn=50)


@pytest.mark.parametrize("task", ["closed-set", "open-set", "verification"])
def test_logits_say_what_is_decided_in_two_rounds(
    task: str, photos: Faces, generator: torch.Generator
) -> None:
    embedder = Embedder(Blocks(8, generator), size=56).eval()
    enrolled = {name: photos[at : at + 1] for at, name in enumerate(NAMES)}
    with torch.no_grad():
        threshold = float(Gallery(embedder, enrolled).distances(photos).median())
    inner = Gallery(embedder, enrolled, task=task, threshold=threshold).eval()  # type: ignore[arg-type]
    victim = SEVERAL.around(inner).eval()
    decided, _ = two_rounds(victim.decisions(photos))
    with torch.no_grad():
        logits = victim(photos)
    if task == "verification":
        assert torch.equal((logits > 0).long().flatten(), decided)
        return
    for identity in range(3):
        took = taken_for(logits, identity, victim.task)
        assert torch.equal(took, decided == identity)


def test_an_attack_that_knows_several_regions_has_a_gradient(
    classifier: Classifier, photos: Faces
) -> None:
    victim = SEVERAL.around(classifier).eval()
    leaf = photos.clone().requires_grad_()
    victim(leaf).sum().backward()
    assert leaf.grad is not None
    # Some region shows what another hides.
    hidden = victim.get_buffer("regions").any(0) & ~victim.get_buffer("regions").all(0)
    assert bool(leaf.grad[..., hidden].any())
    one = Masking().around(classifier).eval()
    leaf = photos.clone().requires_grad_()
    one(leaf).sum().backward()
    assert leaf.grad is not None
    assert not bool(leaf.grad[..., one.get_buffer("regions")[0]].any())


def test_attacks_run_on_a_blind_victim_and_change_nothing(
    classifier: Classifier, photos: Faces, generator: torch.Generator
) -> None:
    victim = Masking().around(classifier).eval()
    nets = build_narrow_gan(rng=generator)
    subject = NAMES[int(victim(photos[:1]).argmax())]
    frames = draw_frames(8)
    attacks = (
        agns.PGD(steps=3),
        agns.CCS16(steps=2),
        agns.AGN(batch=4, samples=4, check_every=2, precision="fp32"),
    )
    for attack in attacks:
        found = attack.run(
            victim, photos[:1], agns.Dodge(subject, stop=1e-9), frames=frames, nets=nets
        )
        with torch.no_grad():
            worn = FIXED.wear(photos[:1], found.frames[:1], torch.tensor([0]))
            assert torch.equal(victim(worn), victim(photos[:1]))
        assert bool(found.frames.isfinite().all())


def test_operating_points_of_a_gallery_masked_in_one_region_are_its_own(
    gallery: Gallery, classifier: Classifier
) -> None:
    # Thresholds of comparisons that are not masked say nothing of masked ones.
    assert thresholds_of(Masking().around(gallery)) is None
    anew = copy.copy(gallery)
    anew.record = {**gallery.record, ENROLLED_MASKED: True}
    masked = Masking().around(anew)
    assert thresholds_of(masked) is masked.victim
    assert thresholds_of(gallery) is gallery
    assert thresholds_of(SEVERAL.around(gallery)) is None
    assert thresholds_of(classifier) is None


def test_a_file_is_read_back_around_its_own_victim_or_another(
    tmp_path: Path, photos: Faces, classifier: Classifier
) -> None:
    victim = agns.load()
    masked = Masking(filling="mean").around(victim).eval()
    path = tmp_path / "defence.safetensors"
    masked.write(path, victim=victim, source="")
    read = agns.load(path)
    assert isinstance(read, Masked)
    assert read.record["defence"] == "masking"
    with torch.no_grad():
        assert torch.equal(read(photos[:1]), masked(photos[:1]))
        around = defend(classifier, str(path), torch.device("cpu"))
        region = masked.get_buffer("regions")[0]
        assert torch.equal(around(photos), classifier(fill(photos, region, "mean")))
    opened = load_victim(None, "cpu", defence="masking")
    assert isinstance(opened.recognizer, Masked)
    assert opened.name.endswith("behind masking")


def test_a_black_box_answers_with_its_defence_one_query_a_face(
    photos: Faces, classifier: Classifier
) -> None:
    box = agns.BlackBox(classifier, budget=9, decisions_only=True)
    defended = defend(box, "masking", torch.device("cpu"))
    assert isinstance(defended, agns.BlackBox)
    assert isinstance(answering(defended), Masked)
    assert (defended.budget, defended.decisions_only) == (9, True)
    defended(photos)
    assert defended.queries == len(photos)


def test_damaged_files_are_refused(tmp_path: Path, classifier: Classifier) -> None:
    path = tmp_path / "defence.safetensors"
    Masking().around(classifier).write(path, victim=classifier, source="x.safetensors")
    with pytest.raises(ConfigError, match="no"):
        agns.load(path)
    tensors, metadata = load_tensors(path)
    for changed in ({"kind": '"spell"'}, {"settings": "{"}, {"victim": "[]"}):
        save_tensors(path, tensors, {**metadata, **changed})
        with pytest.raises(WeightsError, match="unusable defence"):
            DefenceFile.read(path)
    for regions in (torch.zeros(1, 5, 5), torch.zeros(0, 224, 224)):
        save_tensors(path, {"regions": regions}, metadata)
        with pytest.raises(WeightsError, match="unusable defence"):
            DefenceFile.read(path).around(classifier)
    save_tensors(path, tensors, {**metadata, "settings": '{"filling": "gold"}'})
    with pytest.raises(WeightsError, match="no filling 'gold'"):
        DefenceFile.read(path).around(classifier)


def people(photos: int, generator: torch.Generator) -> FaceSet:
    """Fourteen people of coarse colours of their own."""
    names = [f"Person {at:02d}" for at in range(14)]
    own = torch.rand(14, 1, 3, 8, 8, generator=generator)
    noise = torch.rand(14, photos, 3, 8, 8, generator=generator)
    pixels = (255 * (0.7 * own + 0.3 * noise)).round().to(torch.uint8).flatten(0, 1)
    return faces_from_pixels(
        pixels.repeat_interleave(28, 2).repeat_interleave(28, 3),
        torch.arange(14).repeat_interleave(photos),
        names,
        [f"{name}/{photo}" for name in names for photo in range(photos)],
    )


def test_a_gallery_is_enrolled_and_calibrated_anew_with_masked_photos(
    generator: torch.Generator,
) -> None:
    faces = people(6, generator)
    embedder = Embedder(Blocks(8, generator), name="blocks", size=56).eval()
    both = faces.subset(torch.tensor([0, 1, 6, 7]))
    enrolled = FaceSet(pixels=both.pixels, labels=both.labels, identities=faces.identities[:2],
                       photos=both.photos, digests=both.digests)  # fmt: skip
    others = faces.subset(torch.arange(12, len(faces)))
    others = FaceSet(pixels=others.pixels, labels=others.labels - 2,
                     identities=faces.identities[2:], photos=others.photos,
                     digests=others.digests)  # fmt: skip
    gallery = Gallery(embedder, enrolled).calibrate(others, rates=(0.1,), at=0.1, templates=2)
    masking = Masking(filling="mean")
    anew = enrol_masked(gallery, faces, masking)
    assert anew.identities == gallery.identities
    assert anew.threshold != gallery.threshold
    assert anew.embedder is gallery.embedder
    assert anew.record[ENROLLED_MASKED] is True
    masked = masking.around(anew).eval()
    with torch.no_grad():
        filled = fill(enrolled.faces(torch.arange(2)), masking.regions()[0], "mean")
        template = embedder(filled).mean(0)
        assert torch.allclose(anew.get_buffer("templates")[0], template, atol=1e-5)
        # Whoever is enrolled is believed; a claim by somebody else is not.
        logits = masked(faces.faces(torch.tensor([2, 3, 8, 9])))
    goal = resolve_goal(agns.Dodge("Person 00"), masked)
    assert goal.task == "verification"
    assert int((logits[:2, 0] > 0).sum() + (logits[2:, 1] > 0).sum()) >= 3
    with pytest.raises(ConfigError, match="those of Person 00 are not among these faces"):
        enrol_masked(gallery, others, masking)
