import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image as PilImage


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decoded pictures go, in place of the user's own cache."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("AGNS_CACHE", str(directory))
    return directory


@pytest.fixture
def handed_over() -> Callable[..., Iterator[object]]:
    """In place of `each_in_order`: work and results go the way to other processes and back.

    Processes themselves, which take seconds to start, are tried where they are written.
    """

    def handed_over(
        work: Callable[[object], object], items: Sequence[object], *, workers: int, chunk: int = 1
    ) -> Iterator[object]:
        assert workers > 1
        for item in items:
            there, its = pickle.loads(pickle.dumps((work, item)))
            yield pickle.loads(pickle.dumps(there(its)))

    return handed_over


@pytest.fixture
def album(tmp_path: Path) -> Callable[..., Path]:
    """Makes a face folder with so many photos, 1.png upwards, of each identity, all different."""

    def fill(**counts: int) -> Path:
        root = tmp_path / "faces"
        for identity, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True)
            for number in range(1, count + 1):
                picture = PilImage.new("RGB", (224, 224), (identity, number, 255))
                picture.save(root / name / f"{number}.png")
        return root

    return fill
