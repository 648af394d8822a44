"""What frames lose on the way from a raw photo: by resampling, or by a new alignment.

    python benchmarks/end_to_end.py CELL ... --recognizer GALLERY --faces DIR --out FILE

Each CELL holds the results of an attack on a gallery with operating points, whose photos
`agns align` aligned. Its frame is worn on the held-out photos in several ways; success is told at
each point, mean over attacks of one kind.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from agns.accessory.frame import place
from agns.accessory.placement import lay_over
from agns.cli.attack_folder import AttackFolder, open_attack
from agns.cli.console import bar, prepare
from agns.data.aligned_folder import RECORD, aligned_by
from agns.data.alignment import align, alignment
from agns.data.alignment_jobs import raw_photos
from agns.data.landmark_finding import choose_finder, landmarker_model, load_landmarker
from agns.data.landmarks import Choice, Landmarker, chosen_faces
from agns.evaluation.metrics import measure_success
from agns.geometry import resize
from agns.images import read_image, to_pixels
from agns.models.gallery import Gallery
from agns.storage import read_json, versions, write_json

STILL = torch.eye(3)
ASIDE = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
"""One pixel of the canvas to the right."""


@torch.no_grad()
def faces_seen(
    photo: Tensor, canvas: Tensor, find: Landmarker, choice: Choice
) -> dict[str, Tensor]:
    """What the recogniser sees of a photo, by how the frame is worn in it."""

    def laid(over: Tensor, homography: Tensor) -> Tensor:
        return lay_over(over[None], canvas, homography[None])[0]

    before = chosen_faces(find(photo), photo, choice)[0]
    face = align(photo, before)
    seen = {"aligned before": laid(face, STILL), "one pixel aside": laid(face, ASIDE)}
    large = resize(photo[None], (2 * photo.shape[1], 2 * photo.shape[2]))[0].clamp(0, 1)
    # A pixel's centre is at a whole number: the first of two lies at -1/4 of one's width.
    for name, picture, old in (("", photo, before), ("twice as large, ", large, 2 * before + 0.5)):
        back = torch.linalg.inv(alignment(old))
        worn = to_pixels(laid(picture, back)[None])[0].float() / 255
        found = find(worn)
        if not len(found):
            raise SystemExit("a face is not found again: leave out this attack")
        new = found[(found.mean(1) - old.mean(0)).norm(dim=-1).argmin()]
        seen[f"{name}in the photo, old landmarks"] = align(worn, old)
        seen[f"{name}new landmarks, not in the photo"] = laid(
            align(picture, new), alignment(new) @ back
        )
        seen[f"{name}end to end"] = align(worn, new)
    return seen


def measure(attack: AttackFolder, faces: Path, find: Landmarker) -> dict[str, dict[str, float]]:
    """Success of one attack's frame by how it is worn, and at each false-accept rate."""
    victim = attack.victim.recognizer
    if not isinstance(victim, Gallery) or not victim.points:
        raise SystemExit("--recognizer must be a gallery with operating points")
    canvas = place(attack.frame)
    _, choice = aligned_by(faces)
    ways = defaultdict(list)
    for photo in raw_photos(faces / RECORD, attack.held_out.photos):
        for way, face in faces_seen(read_image(photo), canvas, find, choice).items():
            ways[way].append(face)
    success: dict[str, dict[str, float]] = {}
    for way, seen in ways.items():
        with torch.no_grad():
            logits = victim(torch.stack(seen))
        success[way] = {
            f"{point.false_accept_rate:g}": measure_success(
                attack.goal, victim.logits_at(logits, point)
            ).success_rate or 0.0
            for point in victim.points
        }  # fmt: skip
    return success


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=Path, nargs="+")
    parser.add_argument("--recognizer", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True, help="the attacks' own")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"{given.out} is already there")
    prepare()
    finder = choose_finder(aligned_by(given.faces)[0])
    with bar("Downloading") as progress:
        find = load_landmarker(finder, landmarker_model(finder, None, progress=progress))
    kinds = defaultdict(list)
    with bar("Wearing, finding, recognising") as progress:
        for number, cell in enumerate(given.cells, 1):
            told = read_json(cell / "result.json")
            attack = open_attack(
                cell, given.recognizer, given.faces, "cpu", seed=0, writes="end_to_end_parts.json"
            )
            kinds[f"{told['goal']}, {told['method']}"].append(measure(attack, given.faces, find))
            progress(number, len(given.cells), {})
    means = {
        kind: {
            way: {
                rate: sum(one[way][rate] for one in attacks) / len(attacks) for rate in rates
            }
            for way, rates in attacks[0].items()
        }
        for kind, attacks in kinds.items()
    }  # fmt: skip
    counts = {kind: len(attacks) for kind, attacks in kinds.items()}
    own = {"recognizer": str(given.recognizer), "finder": finder, "attacks": counts}
    write_json(given.out, {**own, "success": means, "versions": versions()})
    print(given.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
