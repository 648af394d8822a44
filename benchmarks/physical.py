"""Physical attacks: real photos of a worn frame, and simulated ones of a face folder's people.

    .venv/bin/python benchmarks/physical.py --recognizer RUN/recognizer.safetensors \\
        --faces DIR --photos DIR --out OUT

Each subject is photographed wearing the marked frame, on photos that the recogniser was not
trained on, and then dodges and impersonates the next identity in order. The folder `--photos` is
of somebody whom the recogniser does not know, who impersonates each of the first identities. A run
that was stopped goes on where it was.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agns.attack.agn import PHYSICAL
from agns.cli.console import bar, prepare
from agns.cli.face_options import FaceOptions, open_faces, open_glasses
from agns.data.faces import FaceSet
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.wearer import write_wearer
from agns.errors import AttackError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.prepared_attack import run_attack
from agns.loading import load_setup, load_victim
from agns.storage import read_json

HEAD = """\
| photos | goal | subject | target | iterations | seconds | craft photos | craft probability \
| met the stop value | held-out success | 95 % interval | benign frames | marked frame alone \
| D score | variation |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def photograph(setup: AttackSetup, faces: FaceSet, subject: str, out: Path, most: int) -> None:
    """Write a subject's marked photos, unless they are there."""
    if (out / "photographs.json").is_file():
        return
    write_wearer(
        out, faces, subject, seen=setup.photos_seen, most=most,
        rng=torch.Generator().manual_seed(0),
    )  # fmt: skip


def run(
    setup: AttackSetup, photos: Path, subject: str, target: str | None, out: Path
) -> Mapping[str, Any] | None:
    """One physical attack's result, from an earlier run if there is one."""
    if not (out / "result.json").is_file():
        marked = load_marked_photos(photos, subject, skip_unmarked=True)
        for sentence in marked.skipped:
            print(sentence)
        experiment = AttackSpec(
            goal="dodge" if target is None else "impersonate",
            subject=subject,
            target=target,
            physical=True,
        )
        try:
            run_attack(
                setup, marked.faces, experiment, PHYSICAL, out,
                placement=marked.placement, bar=bar(f"{subject} {target or 'dodges'}"),
            )  # fmt: skip
        except AttackError as error:
            print(f"{subject}: {error}")
            return None
    return read_json(out / "result.json")


def as_row(photos: str, result: Mapping[str, Any]) -> str:
    r, held, stealth = result, result["held_out"], result["stealth"]
    low, high = held["interval"]
    return (
        f"| {photos} | {r['goal']} | {r['subject']} | {r['target'] or '-'} | {r['iterations']} "
        f"| {r['seconds']:.1f} | {r['craft']['images']} | {r['craft']['mean_probability']:.3f} "
        f"| {'yes' if r['reached_stop_value'] else 'no'} "
        f"| {held['success_rate']:.0%} of {held['images']} | {low:.0%} to {high:.0%} "
        f"| {r['controls']['benign']['success_rate']:.0%} "
        f"| {r['held_out_without_frame']['success_rate']:.0%} "
        f"| {stealth['discriminator_score']:.3f} ({stealth['discriminator_percentile']:.0%}) "
        f"| {stealth['total_variation']:.3f} ({stealth['total_variation_percentile']:.0%}) |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recognizer", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="real photos of somebody unknown")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--subjects", type=int, help="the first so many identities alone")
    parser.add_argument("--most", type=int, default=48, help="simulated photos of each subject")
    parser.add_argument("--frames", type=int, help="drawn frames: fewer end hopeless attacks early")
    given = parser.parse_args()
    prepare()
    setup = load_setup(load_victim(given.recognizer), open_glasses(None, count=given.frames))
    identities = setup.recognizer.identities
    faces = open_faces(
        FaceOptions(root=given.faces, names=identities, center_crop=recorded_crop(setup.metadata))
    )
    chosen = identities[: given.subjects]
    rows = [HEAD]

    def add(kind: str, result: Mapping[str, Any] | None) -> None:
        if result is not None:
            rows.append(as_row(kind, result))
            print(rows[-1], end="", flush=True)
            (given.out / "summary.md").write_text("".join(rows), encoding="utf-8")

    if given.photos is not None:
        for target in chosen:
            out = given.out / f"real-as-{target}"
            add("real", run(setup, given.photos, "Somebody_Unknown", target, out))
    for place, subject in enumerate(chosen):
        photos = given.out / "photos" / subject
        photograph(setup, faces, subject, photos, given.most)
        for target in (None, identities[(place + 1) % len(identities)]):
            out = given.out / f"{subject}-{target or 'dodges'}"
            add("simulated", run(setup, photos, subject, target, out))


if __name__ == "__main__":
    main()
