import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from agns.data.face_folder import FaceSelection, load_faces
from agns.data.faces import FaceSet, faces_from_pixels, read_classes, write_classes
from agns.errors import ConfigError, DataError

Album = Callable[..., Path]

ORIENTATION = 274


def counts(faces: FaceSet) -> dict[str, int]:
    return {name: len(faces.places_of(name)) for name in faces.identities}


def noisy(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    PilImage.fromarray(noise).save(path)


def test_identities_are_sorted_and_so_are_their_photos(album: Album) -> None:
    root = album(Zoe=2, Ann=10)
    faces = load_faces(root)
    assert faces.identities == ("Ann", "Zoe")
    assert faces.labels.tolist() == [0] * 10 + [1] * 2
    names = ["1", "10", *"23456789"]
    assert faces.photos[:10] == tuple(f"Ann/{name}.png" for name in names)


def test_pixels_are_those_of_the_files_channel_by_channel(album: Album) -> None:
    root = album(Ann=2)
    noisy(root / "Ann" / "1.png")
    faces = load_faces(root)
    for pixels, photo in zip(faces.pixels, faces.photos, strict=True):
        expected = np.asarray(PilImage.open(root / photo))
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), expected)


def test_faces_are_the_chosen_photos_in_unit_range(album: Album) -> None:
    chosen = load_faces(album(Ann=2, Bob=2)).faces(torch.tensor([3, 0]))
    assert chosen.dtype == torch.float32
    assert chosen[0, :, 7, 9].tolist() == pytest.approx([1 / 255, 2 / 255, 1])
    assert chosen[1, :, 7, 9].tolist() == pytest.approx([0, 1 / 255, 1])


def test_an_inner_folder_aligned_stands_in_for_the_raw_photos(album: Album) -> None:
    root = album(Ann=3, Bob=2)
    (root / "Ann" / "aligned").mkdir()
    for name in ("1.png", "2.png"):
        (root / "Ann" / name).rename(root / "Ann" / "aligned" / name)
    assert load_faces(root).photos[:2] == ("Ann/aligned/1.png", "Ann/aligned/2.png")


def test_hidden_files_and_other_kinds_are_passed_over(album: Album) -> None:
    root = album(Ann=2)
    for name in ("Ann/notes.txt", "Ann/._1.png", "list.csv"):
        (root / name).write_text("not a picture")
    (root / ".git").mkdir()
    assert counts(load_faces(root)) == {"Ann": 2}


def test_the_case_of_an_ending_does_not_matter(album: Album) -> None:
    root = album(Ann=1)
    PilImage.new("RGB", (224, 224)).save(root / "Ann" / "B.JPEG")
    assert load_faces(root).photos == ("Ann/1.png", "Ann/B.JPEG")


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (FaceSelection(identities=1), ["Cid"]),
        (FaceSelection(identities=2), ["Bob", "Cid"]),
        (FaceSelection(identities=3), ["Bob", "Cid", "Dan"]),
        (FaceSelection(minimum_photos=3), ["Bob", "Cid", "Dan"]),
        (FaceSelection(minimum_photos=1), ["Ann", "Bob", "Cid", "Dan", "Eve"]),
        (FaceSelection(minimum_photos=4, identities=1), ["Cid"]),
        (FaceSelection(names=("Eve", "Bob")), ["Bob", "Eve"]),
        (FaceSelection(exclude=("Ann", "Dan")), ["Bob", "Cid", "Eve"]),
        (FaceSelection(exclude=("Ann",), exclude_most=2), ["Dan", "Eve"]),
        (FaceSelection(exclude_most=1, identities=1), ["Bob"]),
    ],
)
def test_a_selection_takes_the_most_photographed_the_well_photographed_or_the_named(
    album: Album, selection: FaceSelection, chosen: list[str]
) -> None:
    root = album(Ann=1, Bob=3, Cid=4, Dan=3, Eve=2)
    assert list(load_faces(root, selection).identities) == chosen


def test_a_center_crop_of_the_canvas_size_only_cuts(album: Album) -> None:
    root = album(Ann=2)
    wide = np.random.default_rng(0).integers(0, 256, (230, 301, 3), dtype=np.uint8)
    PilImage.fromarray(wide).save(root / "Ann" / "1.png")
    faces = load_faces(root, FaceSelection(center_crop=224))
    expected = wide[3:227, 38:262].transpose(2, 0, 1)
    assert np.array_equal(faces.pixels[0].numpy(), expected)


def test_a_center_crop_is_resized_to_the_canvas(album: Album) -> None:
    root = album(Ann=2)
    framed = PilImage.new("RGB", (140, 120), "red")
    framed.paste((0, 128, 0), (30, 20, 110, 100))
    framed.save(root / "Ann" / "1.png")
    faces = load_faces(root, FaceSelection(center_crop=80))
    assert (faces.pixels[0] == torch.tensor([0, 128, 0])[:, None, None]).all()


def test_a_cropped_folder_and_an_uncropped_one_do_not_share_pixels(album: Album) -> None:
    root = album(Ann=2)
    noisy(root / "Ann" / "1.png")
    whole = load_faces(root)
    assert not torch.equal(load_faces(root, FaceSelection(center_crop=100)).pixels, whole.pixels)


def test_grey_transparent_and_turned_photos_become_upright_colour(album: Album) -> None:
    root = album(Ann=2)
    PilImage.new("L", (224, 224), 77).save(root / "Ann" / "grey.png")
    PilImage.new("RGBA", (224, 224), (9, 8, 7, 100)).save(root / "Ann" / "clear.png")
    exif = PilImage.Exif()
    exif[ORIENTATION] = 6
    stored = PilImage.new("RGB", (224, 224))
    stored.putpixel((0, 223), (255, 255, 255))
    stored.save(root / "Ann" / "turned.png", exif=exif)
    faces = load_faces(root)
    clear, grey, turned = faces.pixels[2:]
    assert (grey == 77).all()
    assert clear[:, 5, 5].tolist() == [9, 8, 7]
    assert turned.nonzero().tolist() == [[channel, 0, 0] for channel in range(3)]


def test_a_photo_of_the_size_of_labeled_faces_in_the_wild_gives_its_centre(album: Album) -> None:
    root = album(Ann=2)
    wild = PilImage.new("RGB", (250, 250), "red")
    wild.paste((0, 128, 0), (65, 65, 185, 185))
    wild.save(root / "Ann" / "1.png")
    assert (load_faces(root).pixels[0] == torch.tensor([0, 128, 0])[:, None, None]).all()


def test_decoding_reports_its_progress_and_more_workers_change_nothing(album: Album) -> None:
    root = album(Ann=2, Bob=2)
    reports: list[tuple[int, int]] = []
    alone = load_faces(root, workers=1, cache=root.with_name("one"))
    together = load_faces(
        root,
        workers=3,
        cache=root.with_name("other"),
        progress=lambda done, total, figures: reports.append((done, total)),
    )
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.equal(together.pixels, alone.pixels)
    assert together.photos == alone.photos


def test_a_subset_keeps_its_photos_digests_and_every_class(album: Album) -> None:
    faces = load_faces(album(Ann=2, Bob=2))
    part = faces.subset(torch.tensor([3, 2]))
    assert part.photos == ("Bob/2.png", "Bob/1.png")
    assert part.digests == (faces.digests[3], faces.digests[2])
    assert torch.equal(part.pixels, faces.pixels[[3, 2]])
    assert part.labels.tolist() == [1, 1]
    assert counts(part) == {"Ann": 0, "Bob": 2}


def test_asking_for_somebody_else_is_refused(album: Album) -> None:
    with pytest.raises(ConfigError, match="there is no identity 'Bod' in these faces"):
        load_faces(album(Ann=2, Bob=2)).places_of("Bod")


def test_equal_pictures_have_equal_digests_and_others_do_not(album: Album) -> None:
    root = album(Ann=3)
    (root / "Ann" / "copy.png").write_bytes((root / "Ann" / "2.png").read_bytes())
    first, second, third, copy = load_faces(root).digests
    assert copy == second
    assert len({first, second, third}) == 3


def test_classes_are_written_as_json_from_zero_upwards(tmp_path: Path) -> None:
    write_classes(tmp_path / "classes.json", ["Ann", "Zoë"])
    written = json.loads((tmp_path / "classes.json").read_text(encoding="utf-8"))
    assert written == {"0": "Ann", "1": "Zoë"}


def test_faces_in_memory_are_labelled_as_those_in_files(album: Album) -> None:
    read = load_faces(album(Ann=2, Bob=2))
    given = faces_from_pixels(read.pixels, read.labels, read.identities, read.photos)
    assert given.digests == read.digests
    assert given.places_of("Bob").tolist() == [2, 3]


@pytest.mark.parametrize(
    ("labels", "photos", "said"),
    [
        ([0, 0], ["a"], "got 2 pictures, 2 labels and 1 names"),
        ([0, 1], ["a", "b"], "labels from 0 to 0, got 0 to 1"),
        ([-1, 0], ["a", "b"], "got -1 to 0"),
        ([0, 0], ["a", "a"], "the same photo name"),
    ],
)
def test_labels_that_do_not_fit_the_pictures_are_refused(
    labels: list[int], photos: list[str], said: str
) -> None:
    pixels = torch.zeros(2, 3, 224, 224, dtype=torch.uint8)
    with pytest.raises(DataError, match=said):
        faces_from_pixels(pixels, torch.tensor(labels), ["Ann"], photos)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"exclude": ("Bib",)}, "no identity 'Bib' .* did you mean Bob"),
        ({"exclude": ("Bob",), "names": ("Bob",)}, "Bob is both to be taken and to be left out"),
        ({"exclude_most": 1, "names": ("Ann",)}, "Ann is both to be taken and to be left out"),
        ({"exclude_most": -1}, "exclude_most must be at least 0"),
    ],
)
def test_leaving_out_what_cannot_be_is_refused(
    album: Album, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_faces(album(Ann=2, Bob=2), FaceSelection(**changes))


def test_classes_written_are_read_back_in_their_order(tmp_path: Path) -> None:
    names = tuple(f"P{number}" for number in range(12))
    write_classes(tmp_path / "classes.json", names)
    assert read_classes(tmp_path / "classes.json") == names


@pytest.mark.parametrize("content", ["{}", '{"1": "Ann"}', '{"0": "Ann", "2": "Bob"}', "[]", "{"])
def test_classes_with_gaps_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "classes.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"classes\.json"):
        read_classes(path)
    with pytest.raises(ConfigError, match="no file of classes"):
        read_classes(tmp_path / "none.json")


def test_a_decomposed_folder_name_and_a_composed_one_are_one_identity(album: Album) -> None:
    root = album(**{"Jose\u0301": 2, "Zoe": 2})
    faces = load_faces(root, FaceSelection(names=("Jos\u00e9",)))
    assert faces.identities == ("Jos\u00e9",)
    assert faces.photos == ("Jos\u00e9/1.png", "Jos\u00e9/2.png")
    assert len(faces.places_of("Jose\u0301")) == 2


def test_an_identity_is_left_out_by_either_form_of_its_name(album: Album) -> None:
    root = album(**{"Jos\u00e9": 2, "Zoe": 2})
    assert load_faces(root, FaceSelection(exclude=("Jose\u0301",))).identities == ("Zoe",)


def test_two_forms_of_one_folder_name_are_refused(album: Album) -> None:
    root = album(**{"Jose\u0301": 2, "Jos\u00e9": 2})
    if len(list(root.iterdir())) < 2:
        pytest.skip("this file system takes both for one name")
    with pytest.raises(DataError, match="two folders called 'Jos\u00e9', which differ only in"):
        load_faces(root)


def test_classes_are_read_in_composed_form(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"0": "Jose\u0301"}', encoding="utf-8")
    assert read_classes(tmp_path / "classes.json") == ("Jos\u00e9",)


def test_what_pictures_are_of_is_found_by_either_form_of_their_names(album: Album) -> None:
    root = album(Ann=2)
    (root / "Ann" / "1.png").rename(root / "Ann" / "e\u0301.png")
    rows = [{"photo": "\u00e9.png", "digest": "what it is of"}]
    (root / "Ann" / "photographs.json").write_text(json.dumps({"photographs": rows}))
    assert "what it is of" in load_faces(root).digests


def test_a_picture_that_takes_anothers_name_is_told_apart_where_photos_are_cut(
    album: Album,
) -> None:
    root = album(Ann=2)
    own = load_faces(root).digests
    rows = [
        {"photo": f"{number}.png", "digest": f"of {number}", "picture": picture}
        for number, picture in enumerate(own, 1)
    ]
    (root / "Ann" / "photographs.json").write_text(json.dumps({"photographs": rows}))
    assert load_faces(root, FaceSelection(center_crop=80)).digests == ("of 1", "of 2")
    PilImage.new("RGB", (224, 224), (9, 9, 9)).save(root / "Ann" / "1.png")
    with pytest.raises(DataError, match=r"1\.png is not the picture of this name"):
        load_faces(root, FaceSelection(center_crop=80))


def test_one_photo_is_enough_where_nothing_is_split(album: Album) -> None:
    root = album(Ann=1, Bob=2, Cid=0)
    faces = load_faces(root, FaceSelection(to_split=False))
    assert counts(faces) == {"Ann": 1, "Bob": 2}
    assert [one.name for one in faces.left_out] == ["Cid"]


def test_an_identity_none_of_whose_photos_decode_is_left_out_where_nothing_is_split(
    album: Album,
) -> None:
    root = album(Ann=1, Bob=1)
    (root / "Ann" / "1.png").write_text("not a picture")
    faces = load_faces(root, FaceSelection(to_split=False, skip_unreadable=True))
    assert (faces.identities, faces.labels.tolist()) == (("Bob",), [0])
    assert faces.without_photos == ("Ann",)
