"""The parts of a physical attack: finding marks, and laying frames over the worn one.

    .venv/bin/python benchmarks/marks.py --faces DIR --photos DIR --out FILE

Marks are looked for in simulated photos of drawn faces and of those of `--faces`, where the truth
is known, and on the latter as they are, where there are none. `--photos` are real ones of a worn
frame.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import silhouette
from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import MARKS, marked_frame
from agns.accessory.wear import wear
from agns.cli.console import bar, prepare
from agns.cli.face_options import FaceOptions, open_faces
from agns.data.faces import FaceSet
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.camera import Scene, photograph, scene_homography
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.errors import MarksNotFound
from agns.geometry import transform_points, warp
from agns.storage import versions, write_json
from agns.types import Progress


def simulated(
    faces: FaceSet, count: int, rng: torch.Generator, progress: Progress
) -> dict[str, float | None]:
    """How far the worst mark of each simulated photo is from where it should be."""
    frame, mask = marked_frame()
    errors: list[float] = []
    missed = 0
    for number in range(count):
        turn, other, roll, blur, bright = torch.rand(5, generator=rng).tolist()
        scene = Scene(
            yaw=50 * turn - 25, pitch=24 * other - 12, roll=40 * roll - 20, blur=blur, quality=60
        )
        face = faces.faces(torch.randint(len(faces), (1,), generator=rng))
        worn = (wear(face, frame, mask) * (0.5 + bright)).clamp(0, 1)
        photo = photograph(worn, scene, rng=rng)[0]
        truth = transform_points(torch.tensor(MARKS), scene_homography(scene))
        try:
            errors.append(float((find_marks(photo).centres - truth).norm(dim=1).max()))
        except MarksNotFound:
            missed += 1
        progress(number + 1, count, {})
    off = torch.tensor(errors or [torch.inf])
    return {
        "photos": count,
        "found": 1 - missed / count,
        "worst_mark_within_a_pixel": float((off <= 1).sum()) / count,
        "median_worst_error": float(off.median()) if errors else None,
    }


def made_up(faces: FaceSet, progress: Progress) -> dict[str, int]:
    """On how many bare faces seven marks are seen."""
    seen = 0
    for place in range(len(faces)):
        try:
            find_marks(faces.faces(torch.tensor([place]))[0])
            seen += 1
        except MarksNotFound:
            pass
        progress(place + 1, len(faces), {})
    return {"photos": len(faces), "with_marks": seen}


def worn_ones(folder: Path, pairs: int) -> dict[str, object]:
    """How long frames take to be worn, and how much of the real frame stays visible."""
    marked = load_marked_photos(folder, "Somebody_Unknown", skip_unmarked=True)
    everybody = torch.arange(len(marked.faces))
    photos = marked.faces.faces(everybody)
    frames = torch.rand(pairs, 3, 64, 176, generator=torch.Generator().manual_seed(0))
    which = torch.arange(pairs) % len(photos)
    marked.placement.wear(photos, frames[:64], which[:64])
    started = time.perf_counter()
    for part in torch.arange(pairs).split(64):
        marked.placement.wear(photos, frames[part], which[part])
    seconds = time.perf_counter() - started

    homographies = marked.placement.homographies
    assert homographies is not None
    shapes = silhouette().expand(len(photos), 1, -1, -1).contiguous()
    covered = warp(shapes, homographies, (224, 224))
    beside = functional.max_pool2d(covered, 9, 1, 4)[:, 0] > 0.5
    left = {
        name: (looks & beside & (covered[:, 0] < 0.5)).flatten(1).sum(1)
        / (looks & beside).flatten(1).sum(1)
        for name, looks in (("frame", _frame_coloured(photos)), ("marks", _green(photos)))
    }
    return {
        "pairs": pairs,
        "seconds": round(seconds, 2),
        "left_visible_at_most": [round(share, 3) for share in left["frame"].tolist()],
        "of_the_marks": [round(share, 3) for share in left["marks"].tolist()],
    }


def _green(photos: Tensor) -> Tensor:
    red, green, blue = photos.unbind(1)
    return green - torch.maximum(red, blue) > 0.08


def _frame_coloured(photos: Tensor) -> Tensor:
    """Green, or dark without the warmth of skin: parts of brows, hair and temples are so too."""
    red, _, blue = photos.unbind(1)
    return _green(photos) | ((photos.mean(1) < 0.38) & (blue >= red - 0.02))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, help="bare, aligned faces")
    parser.add_argument("--photos", type=Path, help="real photos of the worn frame, aligned")
    parser.add_argument("--count", type=int, default=1000, help="simulated photos, and pairs worn")
    parser.add_argument("--unmarked", type=int, default=1000, help="bare faces at most")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if min(given.count, given.unmarked) < 1:
        parser.error("--count and --unmarked must be at least 1")
    prepare()
    rng = torch.Generator().manual_seed(0)
    figures: dict[str, object] = {"versions": versions()}
    with bar("Drawing faces") as progress:
        drawn = synthetic_faces(SyntheticConfig(identities=20, photos=10), progress=progress)
    with torch.no_grad(), bar("Photos of drawn faces") as progress:
        figures["drawn"] = simulated(drawn, given.count, rng, progress)
    if given.faces is not None:
        faces = open_faces(FaceOptions(root=given.faces))
        with torch.no_grad(), bar("Photos of real faces") as progress:
            figures["real"] = simulated(faces, given.count, rng, progress)
        chosen = torch.randperm(len(faces), generator=rng)[: given.unmarked]
        with torch.no_grad(), bar("Bare faces") as progress:
            figures["bare"] = made_up(faces.subset(chosen.sort().values), progress)
    if given.photos is not None:
        with torch.no_grad():
            figures["worn"] = worn_ones(given.photos, given.count)
    write_json(given.out, figures)
    print(given.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
