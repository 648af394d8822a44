"""Attack every identity of a face folder, over settings, and report success beside stealth.

    .venv/bin/python benchmarks/attacks.py --recognizer RUN/recognizer.safetensors \\
        --faces DIR --out results/attacks

Each subject dodges, and impersonates the next identity in order. Every attack is a full one, as
`agns attack` runs it, with its results in a folder of its own; a run that was stopped goes on
where it was.
"""

import argparse
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.frame import frame_mask
from agns.attack.agn import AGN
from agns.attack.attack import Attack
from agns.attack.methods import METHODS
from agns.attack.pixels import FreePixels
from agns.cli.console import bar, prepare
from agns.cli.face_options import FaceOptions, open_faces, open_glasses
from agns.data.faces import FaceSet
from agns.errors import AttackError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec, build_goal
from agns.evaluation.controls import logits_wearing
from agns.evaluation.metrics import measure_success
from agns.evaluation.plots import draw_tradeoff
from agns.evaluation.prepared_attack import run_attack
from agns.images import read_image, tile, write_image
from agns.loading import load_setup, load_victim, recorded_crop
from agns.storage import read_json, versions, write_json

SUMMARY_HEAD = """\
| goal | setting | met the stop value | held-out success | benign frames | median seconds | \
median iterations | D score | of benign | in the middle 90 % | variation | nearest real |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def run_all(
    setup: AttackSetup,
    faces: FaceSet,
    goal: str,
    method: Attack,
    out: Path,
    *,
    seed: int,
    control_frames: int,
    craft: int,
    subjects: int,
) -> list[Mapping[str, object]]:
    identities = setup.recognizer.identities
    results = []
    for place, subject in enumerate(identities[:subjects]):
        target = identities[(place + 1) % len(identities)]
        folder = out / subject
        if not (folder / "result.json").is_file():
            experiment = AttackSpec(
                goal=goal,
                subject=subject,
                target=None if goal == "dodge" else target,
                seed=seed,
                control_frames=control_frames,
                craft=craft,
            )
            shown = bar(f"{out.name} {goal} {subject}")
            try:
                run_attack(setup, faces, experiment, method, folder, bar=shown)
            except AttackError as error:
                print(f"{subject}: {error}")
                continue
        results.append(read_json(folder / "result.json"))
    return results


def summarise(results: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Means and medians over subjects, each subject weighing the same."""

    def figure(result: Mapping[str, object], *names: str) -> float:
        value: object = result
        for name in names:
            assert isinstance(value, Mapping)
            value = value[name]
        assert isinstance(value, int | float)
        return float(value)

    def median(*names: str) -> float:
        return statistics.median(figure(result, *names) for result in results)

    def mean(*names: str) -> float:
        return statistics.fmean(figure(result, *names) for result in results)

    return {
        "attacks": len(results),
        "met_stop_value": round(sum(figure(r, "reached_stop_value") for r in results)),
        "held_out_success": mean("held_out", "success_rate"),
        "benign_success": mean("controls", "benign", "success_rate"),
        "untrained_generator_success": mean("controls", "untrained_generator", "success_rate"),
        "noise_success": mean("controls", "noise", "success_rate"),
        "median_seconds": median("seconds"),
        "median_iterations": median("iterations"),
        "discriminator_score": median("stealth", "discriminator_score"),
        "discriminator_percentile": median("stealth", "discriminator_percentile"),
        "within_benign_90": mean("stealth", "within_benign_90"),
        "total_variation": median("stealth", "total_variation"),
        "total_variation_percentile": median("stealth", "total_variation_percentile"),
        "nearest_real": median("stealth", "nearest_real"),
        "nearest_real_percentile": median("stealth", "nearest_real_percentile"),
        "benign": results[0]["benign_stealth"],
    }


SUBJECT_HEAD = """\
| goal | setting | subject | target | iterations | seconds | craft probability | met the stop \
value | held-out success | 95 % interval | benign frames | D score | of benign | variation |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def as_subject_row(setting: str, result: Mapping[str, Any]) -> str:
    r, held, stealth = result, result["held_out"], result["stealth"]
    low, high = held["interval"]
    return (
        f"| {r['goal']} | {setting} | {r['subject']} | {r['target'] or '-'} | {r['iterations']} "
        f"| {r['seconds']:.1f} | {r['craft']['mean_probability']:.3f} "
        f"| {'yes' if r['reached_stop_value'] else 'no'} "
        f"| {held['success_rate']:.0%} of {held['images']} | {low:.0%} to {high:.0%} "
        f"| {r['controls']['benign']['success_rate']:.0%} "
        f"| {stealth['discriminator_score']:.3f} | {stealth['discriminator_percentile']:.0%} "
        f"| {stealth['total_variation']:.3f} ({stealth['total_variation_percentile']:.0%}) |\n"
    )


LIMIT_HEAD = """\
| goal | setting | subject | target | stop value | the attack's craft probability \
| with pixels optimised | held-out success of those |
|---|---|---|---|---|---|---|---|
"""


def limit_row(setup: AttackSetup, faces: FaceSet, setting: str, result: Mapping[str, Any]) -> str:
    """What a frame comes to whose pixels are optimised for an attack's own craft photos."""
    r = result
    experiment = AttackSpec(
        goal=r["goal"], subject=r["subject"], target=r["target"], seed=r["seed"]
    )
    goal = build_goal(experiment, setup.recognizer)
    places = {name: place for place, name in enumerate(faces.photos)}
    craft, held_out = (
        faces.faces(torch.tensor([places[name] for name in r["photos"][side]]))
        for side in ("craft", "held_out")
    )
    with bar(f"pixels {r['goal']} {r['subject']}") as progress:
        found = FreePixels().run(setup.victim, craft, goal, progress=progress)
    best = found.frames[:1]
    success = measure_success(goal, logits_wearing(setup.victim, held_out, best))
    assert success.success_rate is not None
    return (
        f"| {r['goal']} | {setting} | {r['subject']} | {r['target'] or '-'} | {r['stop_value']} "
        f"| {r['craft']['mean_probability']:.3f} | {found.probability:.3f} "
        f"| {success.success_rate:.0%} of {success.images} |\n"
    )


def on_white(frame: Float[Tensor, "3 height width"]) -> Float[Tensor, "3 height width"]:
    """What lies off the silhouette becomes white, so that black parts of a frame show."""
    return torch.lerp(torch.ones_like(frame), frame, frame_mask())


def as_row(goal: str, setting: str, summary: Mapping[str, object]) -> str:
    s = summary
    return (
        f"| {goal} | {setting} | {s['met_stop_value']} of {s['attacks']} "
        f"| {s['held_out_success']:.1%} | {s['benign_success']:.1%} | {s['median_seconds']:.1f} "
        f"| {s['median_iterations']:.0f} | {s['discriminator_score']:.3f} "
        f"| {s['discriminator_percentile']:.0%} | {s['within_benign_90']:.0%} "
        f"| {s['total_variation']:.3f} ({s['total_variation_percentile']:.0%}) "
        f"| {s['nearest_real']:.3f} ({s['nearest_real_percentile']:.0%}) |\n"
    )


def settings_of(given: argparse.Namespace) -> list[tuple[str, str, Attack]]:
    """What is to be compared: in words, as part of a folder's name, and as settings."""
    chosen: list[tuple[str, str, Attack]] = []
    for method in given.methods:
        if method != "agn":
            chosen.append((method, method, METHODS[method]))
            continue
        chosen += [
            (
                f"kappa {kappa:g}, {objective}",
                f"{objective}-{kappa:g}",
                AGN(kappa=kappa, objective=objective),
            )
            for objective in given.objectives
            for kappa in given.kappas
        ]
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recognizer", type=Path, required=True)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--goals", nargs="+", default=["dodge", "impersonate"])
    parser.add_argument("--methods", nargs="+", default=["agn"], choices=list(METHODS))
    parser.add_argument("--craft", type=int, default=16, help="craft photos of a subject at most")
    parser.add_argument("--kappas", nargs="+", type=float, default=[AGN().kappa])
    parser.add_argument("--objectives", nargs="+", default=[AGN().objective])
    parser.add_argument("--control-frames", type=int, default=32)
    parser.add_argument("--frames", type=int, help="drawn frames: fewer end hopeless attacks early")
    parser.add_argument(
        "--limits", action="store_true",
        help="where an attack falls short, optimise a frame's pixels for the same photos too",
    )  # fmt: skip
    parser.add_argument("--subjects", type=int, help="attack for the first so many alone")
    parser.add_argument("--generator", type=Path)
    parser.add_argument("--discriminator", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    prepare()
    setup = load_setup(
        load_victim(given.recognizer),
        open_glasses(None, count=given.frames),
        generator=given.generator,
        discriminator=given.discriminator,
    )
    faces = open_faces(
        FaceOptions(
            root=given.faces,
            names=setup.recognizer.identities,
            center_crop=recorded_crop(setup.metadata),
        )
    )
    summaries: dict[str, dict[str, object]] = {}
    lines, subject_lines, limit_lines = [SUMMARY_HEAD], [SUBJECT_HEAD], [LIMIT_HEAD]
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for goal in given.goals:
        for setting, name, method in settings_of(given):
            out = given.out / f"{goal}-{name}"
            results = run_all(
                setup, faces, goal, method, out,
                seed=given.seed, control_frames=given.control_frames, craft=given.craft,
                subjects=given.subjects or len(setup.recognizer.identities),
            )  # fmt: skip
            summary = summarise(results)
            summaries[f"{goal}, {setting}"] = {"settings": dataclasses.asdict(method), **summary}
            lines.append(as_row(goal, setting, summary))
            print(lines[-1], end="", flush=True)
            if isinstance(method, AGN):
                curves.setdefault(f"{goal}-{method.objective}", []).append(
                    (method.kappa, summary["held_out_success"], summary["discriminator_score"])
                )
            subject_lines += [as_subject_row(setting, result) for result in results]
            if given.limits:
                short = [r for r in results if not r["reached_stop_value"]]
                limit_lines += [limit_row(setup, faces, setting, r) for r in short]
            frames = [
                on_white(read_image(path))
                for identity in setup.recognizer.identities
                if (path := out / identity / "frame.png").is_file()
            ]
            write_image(given.out / f"{out.name}.png", tile(torch.stack(frames), columns=5))
    score = setup.scale.ranges["discriminator_score"]
    for name, points in curves.items():
        if len(points) > 1:
            draw_tradeoff(given.out / f"tradeoff-{name}.png", points, (score.low, score.high))
    write_json(given.out / "summary.json", {"summaries": summaries, "versions": versions()})
    tables = [lines, subject_lines, *([limit_lines] if len(limit_lines) > 1 else [])]
    text = "\n".join("".join(table) for table in tables)
    (given.out / "summary.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
