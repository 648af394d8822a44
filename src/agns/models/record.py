"""A network's record, which tells how its weights came about, and what is shown of it."""

import json
from collections.abc import Iterator, Mapping


def photos_seen(record: Mapping[str, object]) -> frozenset[str]:
    """Digests of the photos that a victim knows, as far as its record tells.

    A network was trained on them, or its defence, or people of a gallery are enrolled with them.
    """
    names = ("training_photos", "defence_photos", "enrolled_photos")
    return frozenset().union(*(_listed(record, name) for name in names))


def photos_enrolled(record: Mapping[str, object]) -> frozenset[str]:
    """Digests of the photos that a gallery's people are enrolled with."""
    return _listed(record, "enrolled_photos")


def photos_of_threshold(record: Mapping[str, object]) -> frozenset[str]:
    """Digests of the photos whose comparisons a gallery's threshold comes from."""
    return _listed(record, "threshold_photos")


def recorded_crop(record: Mapping[str, object]) -> int | None:
    """The central square that a network's training photos were cut to, if its file tells."""
    crop = record.get("center_crop")
    return crop if isinstance(crop, int) else None


def _listed(record: Mapping[str, object], name: str) -> frozenset[str]:
    listed = record.get(name)
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()


def recorded(record: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """A record's short entries, as pairs of words: all but the recipe and the scores."""
    for name, value in sorted(record.items()):
        words = plain(name.replace("_", " "))
        if name in ("recipe", "scores"):
            continue
        if name.endswith("_photos") and isinstance(value, list):
            yield words, f"{len(value):,}, known by their digests"
        elif name == "imported" and isinstance(value, dict):
            yield words, plain(f"from {value.get('source')}, {value.get('kind')}")
        elif isinstance(value, str | int | float):
            yield words, _figure(value)


def figures(record: Mapping[str, object], name: str) -> Iterator[tuple[str, str]]:
    """What stands under `name` in a record, as pairs of words: its scores, or its recipe."""
    entries = record.get(name)
    for entry, value in entries.items() if isinstance(entries, dict) else ():
        yield plain(str(entry).replace("_", " ")), _figure(value)


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(value if isinstance(value, str) else json.dumps(value))


def plain(text: str) -> str:
    """Text of a file on one line, without what would steer a terminal."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
