"""Galleries: logits about a threshold, calibrated thresholds, files, and the goals upon them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from agns.attack.closed_set import as_closed_set
from agns.attack.goals import Dodge, Impersonate, log_odds, resolve_goal, taken_for
from agns.data.faces import FaceSet, faces_from_pixels
from agns.errors import ConfigError, DataError, WeightsError
from agns.evaluation.sanity import find_seen
from agns.models.embedder import Embedder
from agns.models.gallery import LOGITS, Gallery
from agns.models.record import photos_seen
from agns.types import Faces


class Corner(nn.Module):
    """Embeds a picture as the colour of its middle, in [0, 1]."""

    def forward(self, faces: Tensor) -> Tensor:
        return faces.mean((2, 3))


def embedder(*, unit: bool = False) -> Embedder:
    return Embedder(Corner(), name="colour", size=8, unit=unit).eval()


def coloured(*colours: tuple[float, float, float]) -> Faces:
    return torch.tensor(colours).float()[:, :, None, None].expand(-1, -1, 224, 224).clone()


def people(count: int, photos: int, seed: int = 0, first: int = 0) -> FaceSet:
    """People whose photos are near to a colour of their own."""
    rng = torch.Generator().manual_seed(seed)
    own = torch.rand(count, 1, 3, generator=rng) * 200
    colours = (own + torch.rand(count, photos, 3, generator=rng) * 55).round().to(torch.uint8)
    names = [f"Person {first + number}" for number in range(count)]
    return faces_from_pixels(
        colours.flatten(0, 1)[:, :, None, None].expand(-1, -1, 224, 224).contiguous(),
        torch.arange(count).repeat_interleave(photos),
        names,
        [f"{name}/{photo}.png" for name in names for photo in range(photos)],
    )


def two(**settings: object) -> Gallery:
    enrolled = {"Ann": coloured((0.2, 0, 0), (0.4, 0, 0)), "Bob": coloured((0, 1, 0))}
    return Gallery(embedder(), enrolled, **settings)  # type: ignore[arg-type]


def test_logits_are_0_at_the_threshold_and_grow_towards_the_mean_of_the_templates() -> None:
    gallery = two(threshold=0.1)
    logits = gallery(coloured((0.3, 0, 0), (0.4, 0, 0), (0.5, 0, 0)))
    assert gallery.task == "verification"
    assert torch.allclose(logits[:, 0], torch.tensor([LOGITS, 0.0, -LOGITS]), atol=1e-4)


def test_the_nearest_template_counts_where_the_rule_says_so() -> None:
    gallery = two(rule="best", threshold=0.1)
    apart = gallery.distances(coloured((0.4, 0, 0), (0.3, 0, 0)))
    assert torch.allclose(apart[:, 0], torch.tensor([0.0, 0.1]), atol=1e-6)


def test_a_claim_is_judged_alone_and_an_open_set_by_who_comes_first() -> None:
    near_both = coloured((0.3, 0, 0))
    for task, accepted in (("verification", True), ("open-set", False)):
        enrolled = {"Ann": coloured((0.4, 0, 0)), "Bob": coloured((0.31, 0, 0))}
        gallery = Gallery(embedder(), enrolled, task=task, threshold=0.2)  # type: ignore[arg-type]
        goal = resolve_goal(Impersonate("Ann", subject="Bob"), gallery)
        assert goal.task == task
        assert bool(goal.succeeded(gallery(near_both))) is accepted
        assert (
            bool(resolve_goal(Dodge("Ann"), gallery).succeeded(gallery(near_both))) is not accepted
        )
    # Nobody is near enough, though somebody comes first.
    far = gallery(coloured((0, 0, 1)))
    assert bool(resolve_goal(Dodge("Bob"), gallery).succeeded(far))
    assert not bool(resolve_goal(Impersonate("Bob"), gallery).succeeded(far))


def test_gradients_reach_the_face_also_where_it_is_a_template() -> None:
    gallery = two(rule="best", threshold=0.1)
    faces = coloured((0.4, 0, 0), (0.5, 0.1, 0)).requires_grad_()
    gallery(faces)[:, 0].sum().backward()
    assert faces.grad is not None
    assert bool(faces.grad.isfinite().all())
    assert bool(faces.grad[1].any())


def test_thresholds_accept_the_share_of_impostors_that_they_are_calibrated_for() -> None:
    others = people(12, 9, first=2)
    gallery = Gallery(embedder(), people(2, 3, seed=1)).calibrate(others, at=0.1, rates=(0.1, 0.02))
    loose, strict = gallery.points
    assert gallery.threshold == loose.threshold > strict.threshold
    assert loose.comparisons == 12 * 11 * 6
    accepted, count = 0, 0
    for own in others.identities:
        one = Gallery(
            embedder(), {own: others.faces(others.places_of(own)[:3]), "x": coloured((0, 0, 0))}
        )
        for other in others.identities:
            if other != own:
                apart = one.distances(others.faces(others.places_of(other)[3:]))[:, 0]
                accepted, count = (
                    accepted + int((apart < loose.threshold).sum()),
                    count + len(apart),
                )
    assert count == loose.comparisons
    assert accepted / count == pytest.approx(0.1, abs=0.002)
    logits = gallery(coloured((0.5, 0.5, 0.5)))
    assert torch.allclose(
        gallery.at(0.02)(coloured((0.5, 0.5, 0.5))), gallery.logits_at(logits, strict)
    )
    with pytest.raises(ConfigError, match="no operating point at a false-accept rate of 0: it has"):
        gallery.at(0.0)


def test_an_open_sets_threshold_accepts_the_share_of_strangers_that_it_says() -> None:
    others = people(40, 7, first=4)
    gallery = Gallery(embedder(), people(4, 3, seed=1))
    claims = gallery.calibrate(others, at=0.1, rates=(0.1,))
    named = gallery.calibrate(others, at=0.1, rates=(0.1,), task="open-set")
    # Of 39 others, nine crowds of four.
    assert named.points[0].comparisons == 40 * 4 * 9
    assert claims.threshold is not None
    assert named.threshold is not None
    assert named.threshold < claims.threshold
    rates = []
    for first in range(0, 40, 4):
        names = others.identities[first : first + 4]
        crowd = {name: others.faces(others.places_of(name)[:3]) for name in names}
        strangers = [
            others.faces(others.places_of(name)[3:]) for name in others.identities
            if name not in names
        ]  # fmt: skip
        for threshold in (named.threshold, claims.threshold):
            open_set = Gallery(embedder(), crowd, task="open-set", threshold=threshold)
            rates.append(float((open_set(torch.cat(strangers)) > 0).any(1).float().mean()))
    # Other crowds than those that it was calibrated on.
    assert 0.06 < sum(rates[::2]) / 10 < 0.16
    assert 0.2 < sum(rates[1::2]) / 10
    with pytest.raises(DataError, match=r"an open set of 4 people needs .* more than 4 others"):
        gallery.calibrate(people(4, 30, first=4), at=0.5, task="open-set")


def test_people_without_a_photo_beside_their_templates_give_no_thresholds() -> None:
    gallery = Gallery(embedder(), people(2, 3))
    with pytest.raises(DataError, match="the photos of 4 people who are not enrolled make 0"):
        gallery.calibrate(people(4, 3, seed=1, first=5), at=0.5)
    with pytest.raises(DataError, match=r"two people or more .* 4 photos or more"):
        gallery.calibrate(people(4, 3, seed=1, first=5), at=0.5, templates=4)


def test_photos_that_set_the_threshold_are_known_and_told() -> None:
    others = people(12, 9, first=5)
    gallery = Gallery(embedder(), people(3, 4)).calibrate(others, at=0.1, rates=(0.1,))
    assert gallery.record["threshold_photos"] == sorted(others.digests)
    both = {"crafted": (), "craft": None}
    (told,) = find_seen(others.subset(torch.arange(9)), gallery.record, **both)  # type: ignore[arg-type]
    assert told.startswith("The threshold comes from comparisons with 9 of the 9 photos")
    assert find_seen(people(1, 4, seed=7), gallery.record, **both) == []  # type: ignore[arg-type]


def test_rates_that_no_number_of_comparisons_carries_are_refused() -> None:
    gallery, others = Gallery(embedder(), people(2, 3)), people(4, 5, first=5, seed=1)
    assert [
        point.false_accept_rate
        for point in gallery.calibrate(others, at=0.5, rates=(0.5, 1e-4)).points
    ] == [0.5]
    with pytest.raises(
        DataError,
        match=r"0.0001 needs 100,000 impostor comparisons.* 24: take a rate of 0.42 or more",
    ):
        gallery.calibrate(others, at=1e-4, rates=(1e-4, 0.5))
    with pytest.raises(ConfigError, match="who are not enrolled, and Person 1 is"):
        gallery.calibrate(people(4, 5, first=1), at=0.5)


def test_a_gallery_is_read_as_it_was_written_and_only_with_its_embedding(tmp_path: Path) -> None:
    path = tmp_path / "gallery.safetensors"
    gallery = Gallery(embedder(), people(3, 4), rule="best").calibrate(
        people(12, 9, first=5), at=0.1, rates=(0.1, 0.02)
    )
    gallery.write(path, source="colour")
    again = Gallery.read(path, lambda source: embedder())
    faces = coloured((0.5, 0.2, 0.1))
    assert torch.equal(again(faces), gallery(faces))
    assert again.points == gallery.points
    assert (again.task, again.rule, again.identities) == (
        "verification",
        "best",
        gallery.identities,
    )
    assert again.record["enrolled_photos"] == sorted(people(3, 4).digests)
    other = Embedder(nn.Sequential(Corner(), nn.Linear(3, 3)), size=8)
    with pytest.raises(WeightsError, match="another embedding than colour is now"):
        Gallery.read(path, lambda source: other)

    def lacking(source: str) -> Embedder:
        raise ConfigError(f"there is no embedding {source!r}")

    told = r"gallery.safetensors compares by the embedding colour: there is no embedding 'colour'"
    with pytest.raises(ConfigError, match=told):
        Gallery.read(str(path), lacking)


def test_a_damaged_gallery_is_refused_in_a_sentence(tmp_path: Path) -> None:
    from agns.storage import load_tensors, save_tensors

    path = tmp_path / "gallery.safetensors"
    two(threshold=0.1).write(path, source="colour")
    tensors, metadata = load_tensors(path)
    for name, text in (
        ("threshold", "-1"),
        ("identities", '["Ann"]'),
        ("rule", '"worst"'),
        ("task", "0"),
        ("rule", "[" * 200_000),
    ):
        save_tensors(path, tensors, {**metadata, name: text})
        with pytest.raises(WeightsError, match="unusable gallery"):
            Gallery.read(path, lambda source: embedder())
    templates = tensors["templates"]
    for changed in (
        {"owners": torch.tensor([1, 0])},
        {"owners": torch.tensor([0, 10**8])},
        {"owners": torch.tensor([-1, 0])},
        {"owners": torch.tensor([0.0, 1.0])},
        {"owners": torch.tensor(0)},
        {"templates": templates.to(torch.float8_e4m3fn)},
        {"templates": templates[:, :2].contiguous()},
        {"templates": templates * torch.nan},
        {"templates": templates[:1].contiguous()},
    ):
        save_tensors(path, {**tensors, **changed}, metadata)
        with pytest.raises(WeightsError, match="unusable gallery"):
            Gallery.read(path, lambda source: embedder())
    point = {"false_accept_rate": 5, "threshold": 0.1, "comparisons": 1, "people": 2}
    save_tensors(path, tensors, {**metadata, "operating_points": json.dumps([point])})
    with pytest.raises(WeightsError, match="an operating point is none"):
        Gallery.read(path, lambda source: embedder())


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least two people"):
        Gallery(embedder(), {"Ann": coloured((0, 0, 0))})
    with pytest.raises(ConfigError, match="needs a threshold"):
        two(task="open-set")
    with pytest.raises(ConfigError, match="a distance above 0"):
        two(threshold=0.0)
    with pytest.raises(ConfigError, match="a distance above 0"):
        two(threshold=math.inf)
    for rule in ("mean", "best"):
        with pytest.raises(ConfigError, match="Bob is to be enrolled without a photo"):
            Gallery(embedder(), {"Ann": coloured((0, 0, 0)), "Bob": torch.rand(0, 3, 224, 224)},
                    rule=rule)  # fmt: skip
    with pytest.raises(ConfigError, match=r"no operating point .*: it has none"):
        two(threshold=0.1).at(0.01)


def test_as_a_closed_set_a_threshold_decides_the_same() -> None:
    faces = coloured((0.3, 0, 0), (0.4, 0, 0), (0, 1, 0), (0, 0.7, 0), (0, 0, 1))
    for task in ("verification", "open-set", "closed-set"):
        enrolled = {"Ann": coloured((0.4, 0, 0)), "Bob": coloured((0, 0.9, 0))}
        gallery = Gallery(embedder(), enrolled, task=task, threshold=0.15)  # type: ignore[arg-type]
        for goal in (Dodge("Bob"), Impersonate("Bob", subject="Ann")):
            own = resolve_goal(goal, gallery)
            victim, plain = as_closed_set(gallery, own)
            logits = victim(faces)
            assert logits.shape == (5, len(victim.identities))
            assert plain.task == "closed-set"
            assert torch.equal(plain.succeeded(logits), own.succeeded(gallery(faces)))
            expected = own.class_probability(gallery(faces))
            assert torch.allclose(plain.class_probability(logits), expected)
            assert torch.allclose(log_odds(logits, plain), log_odds(gallery(faces), own))


def test_photos_of_the_enrolled_are_known_and_the_rest_fresh() -> None:
    photos = people(2, 4)
    gallery = Gallery(embedder(), photos.subset(torch.tensor([0, 4])))
    assert photos_seen(gallery.record) == {photos.digests[0], photos.digests[4]}
    assert photos_seen({"training_photos": ["a"], "enrolled_photos": ["b"]}) == {"a", "b"}


def test_a_comparison_just_on_the_threshold_is_refused() -> None:
    for task in ("verification", "open-set"):
        assert not bool(taken_for(torch.zeros(1, 2), 0, task).any())
        assert bool(taken_for(torch.tensor([[1e-3, 0.0]]), 0, task).all())
    assert bool(taken_for(torch.zeros(1, 2), 0, "closed-set").all())


def test_equally_near_comparisons_do_not_exceed_a_rate() -> None:
    coarse = people(6, 6)
    # A few colours, so that many comparisons are equally near.
    coarse = replace(coarse, pixels=coarse.pixels // 100 * 100)
    (point,) = two().calibrate(coarse, rates=(0.5,), at=0.5, templates=2).points
    colours = coarse.pixels[:, :, 0, 0].float() / 255
    own = colours.reshape(6, 6, 3)
    apart = torch.cdist(own[:, 2:].flatten(0, 1), own[:, :2].mean(1))
    impostors = apart[torch.arange(6).repeat_interleave(4)[:, None] != torch.arange(6)]
    assert len(impostors) == point.comparisons
    below = (impostors < point.threshold - 1e-5).float().mean()
    assert 0.1 < float(below) <= 0.5
    # The next distance would be too many.
    at_most = (impostors <= impostors[impostors > point.threshold].min() + 1e-5).float().mean()
    assert float(at_most) > 0.5


def test_photos_that_people_are_enrolled_with_give_no_thresholds_under_other_names() -> None:
    enrolled = people(2, 4)
    gallery = Gallery(embedder(), enrolled)
    others = replace(people(4, 4, seed=1), identities=("W", "X", "Y", "Z"))
    alias = replace(enrolled, identities=("V", "U"))
    both = faces_from_pixels(
        torch.cat([others.pixels, alias.pixels]),
        torch.cat([others.labels, alias.labels + 4]),
        (*others.identities, *alias.identities),
        (*(f"a/{name}" for name in others.photos), *(f"b/{name}" for name in alias.photos)),
    )
    gallery.calibrate(others, rates=(0.5,), at=0.5, templates=2)
    with pytest.raises(ConfigError, match="8 of these photos"):
        gallery.calibrate(both, rates=(0.5,), at=0.5, templates=2)
