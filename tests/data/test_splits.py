from collections.abc import Callable

import pytest
import torch
from tests.data.test_twins import saved_anew

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.splits import Split, craft_held_out_split, stratified_split
from agns.errors import ConfigError, DataError


def people(**pictures: str) -> FaceSet:
    """Faces with one photo for each letter; an identity's equal letters are equal pictures."""
    labels: list[int] = []
    photos: list[str] = []
    pixels = torch.zeros(sum(map(len, pictures.values())), 3, 224, 224, dtype=torch.uint8)
    for label, (name, letters) in enumerate(pictures.items()):
        for number, letter in enumerate(letters):
            pixels[len(photos), :2, 0, 0] = torch.tensor([label, ord(letter)])
            labels.append(label)
            photos.append(f"{name}/{number:03d}.png")
    return faces_from_pixels(pixels, torch.tensor(labels), list(pictures), photos)


def letters(count: int) -> str:
    return "".join(chr(ord("A") + index) for index in range(count))


def named(faces: FaceSet, places: torch.Tensor, identity: str) -> set[str]:
    """The photos of one identity at these places."""
    chosen = faces.subset(places)
    return {chosen.photos[index] for index in chosen.places_of(identity).tolist()}


def sizes(faces: FaceSet, places: torch.Tensor) -> list[int]:
    return [len(named(faces, places, identity)) for identity in faces.identities]


def same(one: Split, other: Split) -> bool:
    return torch.equal(one.first, other.first) and torch.equal(one.second, other.second)


@pytest.fixture(scope="module")
def crowd() -> FaceSet:
    return people(Ann=letters(20), Bob=letters(10), Cid=letters(3), Dan=letters(2))


def test_a_split_holds_out_the_fraction_of_each_identity(crowd: FaceSet) -> None:
    split = stratified_split(crowd, held_fraction=0.3)
    assert sizes(crowd, split.second) == [6, 3, 1, 1]


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_each_identity_is_on_both_sides_of_a_split(crowd: FaceSet, fraction: float) -> None:
    split = stratified_split(crowd, held_fraction=fraction)
    assert min(sizes(crowd, split.first)) >= 1
    assert min(sizes(crowd, split.second)) >= 1


def test_every_photo_is_on_one_side_of_a_split_in_ascending_order(crowd: FaceSet) -> None:
    split = stratified_split(crowd)
    assert sorted([*split.first.tolist(), *split.second.tolist()]) == list(range(len(crowd)))
    for side in (split.first, split.second):
        assert side.tolist() == sorted(side.tolist())


def test_splits_follow_the_seed(crowd: FaceSet) -> None:
    assert same(stratified_split(crowd, seed=4), stratified_split(crowd, seed=4))
    assert not same(stratified_split(crowd, seed=4), stratified_split(crowd, seed=5))
    first, again, other = (craft_held_out_split(crowd, subject="Ann", seed=n) for n in (4, 4, 5))
    assert same(first, again)
    assert not same(first, other)


def test_splits_are_the_same_in_every_process(crowd: FaceSet) -> None:
    """Python salts the hashes of strings anew in each process."""
    split = craft_held_out_split(crowd, subject="Ann")
    assert split.first.tolist() == [0, 1, 3, 4, 5, 15, 16, 17, 18, 19]
    assert stratified_split(crowd).second.tolist() == [1, 15, 16, 17, 21, 26, 30, 33]


def test_the_held_out_photos_are_not_the_same_places_for_everybody() -> None:
    faces = people(Ann=letters(20), Bob=letters(20))
    held = stratified_split(faces).second
    assert (held[held < 20]).tolist() != (held[held >= 20] - 20).tolist()


@pytest.mark.parametrize("crowded", [False, True])
def test_an_identity_is_split_alike_whoever_stands_beside_it(crowded: bool) -> None:
    alone = people(Bob=letters(20))
    beside = people(Ann=letters(7), Bob=letters(20), Cid=letters(3)) if crowded else alone
    order = torch.randperm(len(beside), generator=torch.Generator().manual_seed(1))
    beside = beside.subset(order)
    for split in (stratified_split, lambda faces: craft_held_out_split(faces, subject="Bob")):
        expected, found = split(alone), split(beside)
        assert named(beside, found.first, "Bob") == named(alone, expected.first, "Bob")
        assert named(beside, found.second, "Bob") == named(alone, expected.second, "Bob")


@pytest.mark.parametrize(
    "pictures", ["AAAAAAAABC", "AABBCCDDEE", "AAAAAAB", "AAABBB", "ABBBBBBBBB"]
)
@pytest.mark.parametrize(
    "split",
    [
        stratified_split,
        lambda faces, seed: stratified_split(faces, held_fraction=0.6, seed=seed),
        lambda faces, seed: craft_held_out_split(faces, subject="Ann", seed=seed),
    ],
)
def test_copies_of_a_picture_stay_on_one_side(split: Callable[..., Split], pictures: str) -> None:
    faces = people(Ann=pictures)
    for seed in range(10):
        sides = split(faces, seed=seed)
        first = {pictures[place] for place in sides.first.tolist()}
        second = {pictures[place] for place in sides.second.tolist()}
        assert first
        assert second
        assert first.isdisjoint(second)
        assert first | second == set(pictures)


def test_a_split_passes_over_identities_without_photos(crowd: FaceSet) -> None:
    part = crowd.of("Bob")
    assert sizes(part, stratified_split(part).second) == [0, 2, 0, 0]


def test_identities_with_few_photos_may_keep_them_all() -> None:
    faces = people(Ann=letters(20), Bob=letters(4), Cid="A", Dan="AAAAAAAA")
    split = stratified_split(faces, held_fraction=0.1, at_least=0)
    assert sizes(faces, split.second) == [2, 0, 0, 0]
    assert sizes(faces, split.first) == [18, 4, 1, 8]


@pytest.mark.parametrize(
    ("subject", "craft", "crafted"),
    [("Ann", 16, 10), ("Ann", 4, 4), ("Bob", 5, 5), ("Cid", 16, 1), ("Dan", 16, 1)],
)
def test_at_most_half_the_photos_are_crafted_on(
    crowd: FaceSet, subject: str, craft: int, crafted: int
) -> None:
    split = craft_held_out_split(crowd, subject=subject, craft=craft)
    places = crowd.places_of(subject).tolist()
    assert len(split.first) == crafted
    assert sorted([*split.first.tolist(), *split.second.tolist()]) == places


@pytest.mark.parametrize("fraction", [0, 1, -0.2, float("nan")])
def test_a_fraction_that_leaves_a_side_empty_is_refused(crowd: FaceSet, fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"held_fraction must lie in \(0, 1\), got"):
        stratified_split(crowd, held_fraction=fraction)


def test_crafting_on_nothing_is_refused(crowd: FaceSet) -> None:
    with pytest.raises(ConfigError, match="craft must be at least 1, got 0"):
        craft_held_out_split(crowd, subject="Ann", craft=0)


def test_an_unknown_subject_is_refused_with_the_nearest_one(crowd: FaceSet) -> None:
    with pytest.raises(ConfigError, match="no identity 'Boob' in these faces: did you mean Bob"):
        craft_held_out_split(crowd, subject="Boob")


@pytest.mark.parametrize("pictures", ["A", "AAA"])
def test_one_picture_alone_cannot_be_split(pictures: str) -> None:
    faces = people(Ann=letters(4), Bob=pictures)
    said = "at least two different photos of Bob to split, found 1"
    with pytest.raises(DataError, match=said):
        stratified_split(faces)
    with pytest.raises(DataError, match=said):
        craft_held_out_split(faces, subject="Bob")


def test_crafting_on_fewer_photos_than_any_picture_has_copies_is_refused() -> None:
    with pytest.raises(DataError, match="has at least 3 copies, too many to craft on 2"):
        craft_held_out_split(people(Ann="AAABBBB"), subject="Ann", craft=2)


def test_crafting_is_done_on_photos_seen_in_training_where_there_are_any(crowd: FaceSet) -> None:
    own = crowd.places_of("Ann").tolist()
    seen = {crowd.digests[place] for place in own[::3]}
    split = craft_held_out_split(crowd, subject="Ann", craft=3, seen=seen)
    assert len(split.first) == 3
    assert {crowd.digests[place] for place in split.first.tolist()} <= seen
    unseen = [place for place in own if crowd.digests[place] not in seen]
    assert split.second.tolist() == unseen


@pytest.fixture(scope="module")
def twice() -> FaceSet:
    """Eight photos of somebody drawn, then each of them saved anew."""
    return saved_anew(synthetic_faces(SyntheticConfig(identities=1, photos=8)))


@pytest.mark.parametrize("seed", range(3))
def test_a_photo_saved_anew_stays_on_the_side_of_the_photo(twice: FaceSet, seed: int) -> None:
    for split in (
        stratified_split(twice, held_fraction=0.4, seed=seed),
        craft_held_out_split(twice, subject="Synthetic_000", seed=seed),
    ):
        sides = [{place % 8 for place in side.tolist()} for side in (split.first, split.second)]
        assert all(sides)
        assert sides[0].isdisjoint(sides[1])


def test_a_photo_saved_anew_of_one_trained_on_is_not_held_out(twice: FaceSet) -> None:
    seen = set(twice.digests[:5])
    split = craft_held_out_split(twice, subject="Synthetic_000", seen=seen)
    assert split.second.tolist() == [5, 6, 7, 13, 14, 15]


def test_a_subject_seen_in_training_altogether_leaves_nothing_to_score(crowd: FaceSet) -> None:
    with pytest.raises(DataError, match="trained on all"):
        craft_held_out_split(crowd, subject="Ann", seen=set(crowd.digests))
