"""What frames made for one person do for other people, beside a frame for many.

    python benchmarks/universal.py UNIVERSAL ... --ones CELL ... --recognizer GALLERY --faces DIR \\
        --out FILE

Each UNIVERSAL holds the results of a universal attack on a gallery, each CELL those of an attack on
the same gallery by which one person dodges. Of those made for the people that a universal attack
crafted with, one is chosen by the rule that chose the universal attack's frames, on the same craft
photos; it and the mean of all are scored on the same people and photos as the universal frame.
"""

import argparse
from pathlib import Path

import torch

from agns.attack.coverage import choose_greedily, dodges, worth_to_subjects
from agns.cli.console import bar, prepare
from agns.data.faces import FaceSet
from agns.data.splits import Split
from agns.evaluation.statistics import mean_interval
from agns.evaluation.universal_score import Participants, classes_of, score_frames
from agns.images import read_image
from agns.loading import load_faces
from agns.models.gallery import Gallery
from agns.models.opening import load
from agns.models.victim import freeze
from agns.storage import read_json, versions, write_json
from agns.types import Frames


def participants_of(told: dict, faces: FaceSet) -> Participants:
    """Who took part in a universal attack, and their photos by name."""
    places = {name: place for place, name in enumerate(faces.photos)}
    splits = {
        name: Split(
            *(torch.tensor([places[one] for one in photos[side]]) for side in ("own", "held_out"))
        )
        for name, photos in told["photos"].items()
    }
    return Participants(groups=told["subjects"], splits=splits, left_out=[])


def unseen_rates(
    victim: Gallery, faces: FaceSet, people: Participants, frame: Frames
) -> dict[str, dict[str, float]]:
    """For each false-accept rate, each unseen person's share of recognised photos that dodge."""
    found: dict[str, dict[str, float]] = {}
    for name in people.groups["unseen"]:
        alone = Participants(
            groups={"unseen": [name]}, splits={name: people.splits[name]}, left_out=[]
        )
        score = score_frames(victim, faces, alone, {"attack": frame}, (1,))
        for at in score.operating_points:
            rate = at.points[0].recognized.success_rate
            if rate is not None:
                found.setdefault(f"{at.false_accept_rate:g}", {})[name] = rate
    return found


def summary(rates: list[float]) -> dict[str, object]:
    """The mean over people, and its interval."""
    rng = torch.Generator().manual_seed(0)
    low, high = mean_interval([[rate] for rate in rates], rng=rng)
    return {"success": sum(rates) / len(rates), "interval": [low, high], "people": len(rates)}


@torch.no_grad()
def measure(
    victim: Gallery, faces: FaceSet, universal: Path, ones: dict[str, Frames]
) -> dict[str, object]:
    """One universal attack's first frame, and frames of one person each, on its unseen people."""
    told = read_json(universal / "result.json")
    people = participants_of(told, faces)
    crafted = torch.cat([people.splits[name].first for name in people.groups["craft"]])
    labels = classes_of(victim, faces, crafted)
    made = torch.cat([ones[name] for name in people.groups["craft"]])
    worth = worth_to_subjects(dodges(victim, faces.faces(crafted), labels, made), labels)
    (chosen,) = choose_greedily(worth, 1)
    frames = {
        "for many": read_image(universal / "frames" / "01.png", size=(64, 176))[None],
        **{name: ones[name] for name in people.groups["craft"]},
    }
    rates = {name: unseen_rates(victim, faces, people, frame) for name, frame in frames.items()}
    best = people.groups["craft"][chosen]
    points = {}
    for point, many in rates["for many"].items():
        alone = [rates[name][point] for name in people.groups["craft"]]
        mean = {one: sum(some[one] for some in alone) / len(alone) for one in many}
        points[point] = {
            "for many": summary(list(many.values())),
            "for one, chosen": summary(list(rates[best][point].values())),
            "for one, mean": summary(list(mean.values())),
            "for many above the chosen": summary(
                [rate - rates[best][point][name] for name, rate in many.items()]
            ),
            "for many above the mean": summary([rate - mean[name] for name, rate in many.items()]),
        }
    return {"seed": told["seed"], "chosen was made for": best, "at": points}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("universal", type=Path, nargs="+")
    parser.add_argument("--ones", type=Path, nargs="+", required=True)
    parser.add_argument("--recognizer", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True, help="the attacks' own")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"{given.out} is already there")
    prepare()
    victim = freeze(load(given.recognizer))
    if not isinstance(victim, Gallery) or not victim.points:
        parser.error("--recognizer must be a gallery with operating points")
    faces = load_faces(given.faces, names=victim.identities)
    ones = {
        read_json(cell / "result.json")["subject"]: read_image(
            cell / "frame.png", size=(64, 176)
        )[None]
        for cell in given.ones
    }  # fmt: skip
    runs = []
    with bar("Scoring") as progress:
        for number, universal in enumerate(given.universal, 1):
            runs.append(measure(victim, faces, universal, ones))
            progress(number, len(given.universal), {})
    own = {"recognizer": str(given.recognizer), "frames for one": len(ones)}
    write_json(given.out, {**own, "runs": runs, "versions": versions()})
    print(given.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
