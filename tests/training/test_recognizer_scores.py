"""Scores of recognisers, against direct computation."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from agns.accessory.frame import place, silhouette
from agns.data.faces import FaceSet
from agns.images import from_pixels
from agns.models.recognizer import Recognizer, build_recognizer
from agns.training.recognizer_scores import balanced_accuracy, classify, score_recognizer
from agns.types import Pixels

pytestmark = pytest.mark.usefixtures("small_openface")


@pytest.fixture(scope="module")
def recognizer(small_openface: None, faces: FaceSet) -> Recognizer:
    return build_recognizer("of", faces.identities, rng=torch.Generator().manual_seed(3)).eval()


def judged(recognizer: Recognizer, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([recognizer(image[None]) for image in images]).softmax(1)


def relabelled(faces: FaceSet, labels: list[int]) -> FaceSet:
    return replace(faces.subset(torch.arange(len(labels))), labels=torch.tensor(labels))


def test_every_photo_is_classified_in_its_place(recognizer: Recognizer, faces: FaceSet) -> None:
    logits = classify(recognizer, faces, batch=7)
    expected = judged(recognizer, faces.faces(torch.arange(24)))
    torch.testing.assert_close(logits.softmax(1), expected, atol=1e-5, rtol=0)


def test_balanced_accuracy_is_the_mean_of_each_identitys_own() -> None:
    labels = torch.tensor([0, 0, 0, 0, 2, 2])
    predicted = torch.tensor([0, 0, 0, 1, 2, 0])
    assert balanced_accuracy(predicted, labels) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_scores_without_a_frame_are_those_of_single_photos(
    recognizer: Recognizer, faces: FaceSet, glasses: Pixels
) -> None:
    probabilities = judged(recognizer, faces.faces(torch.arange(9)))
    first = probabilities.argmax(1).tolist()
    labels = [*first[:6], *((label + 1) % 3 for label in first[6:])]
    scores = score_recognizer(recognizer, relabelled(faces, labels), glasses, seed=0, wearings=1)

    assert scores.photos == 9
    assert scores.accuracy == pytest.approx(6 / 9)
    shares = [
        sum(right == label for right, own in zip(first, labels, strict=True) if own == label)
        / labels.count(label)
        for label in set(labels)
    ]
    assert scores.balanced_accuracy == pytest.approx(sum(shares) / len(shares))
    own = sorted(float(row[label]) for row, label in zip(probabilities, labels, strict=True))
    assert scores.median_true_probability == pytest.approx(own[4], abs=1e-5)


def test_naive_dodging_is_the_share_not_recognised_wearing_the_frame(
    recognizer: Recognizer, faces: FaceSet, glasses: Pixels
) -> None:
    own = faces.faces(torch.arange(24))
    # The one frame there is, so that every photo tries on the same.
    frame, mask = place(from_pixels(glasses[4:5])), silhouette()
    worn = judged(recognizer, own * (1 - mask) + frame * mask).argmax(1)
    bare = judged(recognizer, own).argmax(1)
    labels = [*bare[:12].tolist(), *((label + 1) % 3 for label in bare[12:].tolist())]
    fooled = worn != torch.tensor(labels)
    scores = score_recognizer(
        recognizer, relabelled(faces, labels), glasses[4:5], seed=0, wearings=2
    )
    assert scores.naive_dodging == pytest.approx(float(fooled.float().mean()))
    assert scores.naive_dodging_recognized == pytest.approx(float(fooled[:12].float().mean()))


def test_frames_are_chosen_by_the_seed(
    recognizer: Recognizer, faces: FaceSet, glasses: Pixels
) -> None:
    few = faces.subset(torch.tensor([0, 9, 17]))
    seen: list[Tensor] = []
    hook = recognizer.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for seed in (1, 1, 2):
        score_recognizer(recognizer, few, glasses, seed=seed, wearings=1)
    hook.remove()
    # Each scoring sees the bare photos, then the photos with frames.
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[1], seen[5])


def test_a_recogniser_that_is_never_right_has_nothing_to_dodge(
    recognizer: Recognizer, faces: FaceSet, glasses: Pixels
) -> None:
    first = judged(recognizer, faces.faces(torch.arange(3))).argmax(1).tolist()
    wrong = relabelled(faces, [(label + 1) % 3 for label in first])
    scores = score_recognizer(recognizer, wrong, glasses, seed=0, wearings=1)
    assert (scores.accuracy, scores.naive_dodging_recognized) == (0, 0)


def test_fewer_bits_are_for_photos_in_frames_alone(
    recognizer: Recognizer, faces: FaceSet, glasses: Pixels
) -> None:
    seen: list[torch.dtype] = []
    first = next(part for part in recognizer.modules() if isinstance(part, nn.Conv2d))
    hook = first.register_forward_hook(lambda *passed: seen.append(passed[2].dtype))
    score_recognizer(
        recognizer, faces.subset(torch.arange(3)), glasses, seed=0, wearings=2,
        rounding=lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    )  # fmt: skip
    hook.remove()
    assert seen == [torch.float32, torch.bfloat16, torch.bfloat16]
