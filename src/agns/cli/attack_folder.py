"""The results of an attack, opened again: its frame, its goal, and the photos that it held out."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import say
from agns.cli.face_options import FaceOptions, open_subject
from agns.loading import load_victim
from agns.models.record import recorded_crop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agns.attack.goals import Goal
    from agns.data.faces import FaceSet
    from agns.loading import LoadedVictim
    from agns.types import Frames


SAME = 0.05
"""Two mean probabilities on the same photos whose log-odds are nearer come from the same
recogniser, on whatever device."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackFolder:
    """What `agns attack` wrote, and the victim and faces that are given with it."""

    victim: "LoadedVictim"
    goal: "Goal"
    frame: "Frames"
    """The best one, (1, 3, 64, 176)."""
    held_out: "FaceSet"
    """In the order of `photos`."""
    photos: "Sequence[str]"
    """Names of the held-out photos, as the attack knew them."""
    title: str
    """Who does what."""
    warnings: "Sequence[str]"
    """Why figures may be of something else than the attack's own."""


def open_attack(
    result: Path,
    recognizer: Path | str | None,
    faces: Path | None,
    device: str,
    *,
    seed: int,
    writes: str,
    defence: str | None = None,
    scores: bool = True,
) -> AttackFolder:
    """Open the results of an attack together with a victim and faces, its own as a rule.

    Whoever `scores` is warned where the victim does not answer as when it was attacked.

    Raises:
        ConfigError: There are no results, what is measured (`writes`) is there already, the attack
            was physical, the victim was trained on photos that the attack held out, or these are
            not among the faces.
        DataError: The results are damaged.
    """
    import torch

    from agns.data.twins import were_seen
    from agns.errors import ConfigError
    from agns.evaluation.attack_spec import AttackSpec, build_goal
    from agns.images import read_image
    from agns.models.record import photos_seen
    from agns.models.victim import freeze

    if (result / writes).exists():
        raise ConfigError(f"{result} already holds {writes}: move it away to measure anew")
    report, held_out = _read_result(result)
    victim = load_victim(recognizer, device, defence=defence)
    victim = victim._replace(recognizer=freeze(victim.recognizer))
    subject, target = str(report["subject"]), report["target"]
    experiment = AttackSpec(
        goal="dodge" if target is None else "impersonate",
        subject=subject,
        target=None if target is None else str(target),
        seed=seed,
    )
    goal = build_goal(experiment, victim.recognizer)
    options = FaceOptions(
        root=faces, center_crop=_center_crop(report, victim.metadata), to_split=False
    )
    own = open_subject(options, subject, victim.recognizer.identities)
    chosen = _places(own, held_out, report, result)
    were = were_seen(own, photos_seen(victim.metadata)).tolist()
    if known := [own.photos[place] for place in chosen if were[place]]:
        raise ConfigError(
            f"{victim.name} knows {known[0]}, which the attack held out: give the "
            "attack's own recogniser with --recognizer"
        )
    warnings = []
    if (before := report.get("recognizer")) not in (None, victim.name):
        warnings.append(f"the attack was made on {before}, and is scored here on {victim.name}.")
    kept = own.subset(torch.tensor(chosen))
    if before == victim.name and scores and _answers_anew(report, victim, goal, kept):
        warnings.append(
            f"on these photos without a frame {before} answers otherwise than when it was "
            "attacked: it was trained or enrolled anew, these are other photos of the same names, "
            "or it answers at random."
        )
    for warning in warnings:
        say(f"Warning: {warning}")
    return AttackFolder(
        victim=victim,
        goal=goal,
        frame=read_image(result / "frame.png", size=(64, 176))[None],
        held_out=kept,
        photos=held_out,
        title=f"{subject} dodges" if target is None else f"{subject} as {target}",
        warnings=warnings,
    )


def _answers_anew(
    report: "Mapping[str, object]", victim: "LoadedVictim", goal: "Goal", held_out: "FaceSet"
) -> bool:
    """Whether a victim's mean probability on bare photos is another than the report's."""
    import torch

    from agns.evaluation.evaluate import recognize_photos
    from agns.evaluation.metrics import measure_success
    from agns.models.black_box import answering

    told = report.get("held_out_without_frame")
    before = told.get("mean_probability") if isinstance(told, dict) else None
    if not isinstance(before, float | int):
        return False
    faces = held_out.faces(torch.arange(len(held_out)))
    bare = recognize_photos(answering(victim.recognizer), faces)
    now = measure_success(goal, bare.logits).mean_probability
    if now is None:
        return False
    # Near 1 a float32 is a step of 6e-8; near 0 it is as fine as anywhere.
    odds = torch.tensor([now, before], dtype=torch.float64).clamp(1e-30, 1 - 1e-6).logit()
    return bool((odds[0] - odds[1]).abs() > SAME)


def _center_crop(report: "Mapping[str, object]", metadata: "Mapping[str, object]") -> int | None:
    """How the attack's photos were cut: as it was told, or as the victim's own were."""
    config = report.get("config")
    told = config.get("center_crop") if isinstance(config, dict) else None
    return told if isinstance(told, int) else recorded_crop(metadata)


def _places(
    own: "FaceSet", held_out: "Sequence[str]", report: "Mapping[str, object]", result: Path
) -> list[int]:
    """Where the held-out photos are: by their digests, or in older results by their names.

    Raises:
        ConfigError: Some are not there.
    """
    from agns.data.faces import composed
    from agns.errors import ConfigError

    names, digests = list(map(composed, held_out)), report.get("held_out_digests")
    wanted, signs = names, own.photos
    if isinstance(digests, list) and len(digests) == len(names):
        wanted, signs = list(map(str, digests)), own.digests
    left, found, missing = list(range(len(own))), [], []
    for sign, name in zip(wanted, names, strict=True):
        # Pictures of one photo count as it, and are told apart by their names.
        alike = [place for place in left if signs[place] == sign]
        if not alike:
            missing.append(name)
            continue
        found.append(min(alike, key=lambda place: (own.photos[place] != name, place)))
        left.remove(found[-1])
    if missing:
        raise ConfigError(
            f"{len(missing)} of the {len(held_out)} photos that {result} was scored on are not "
            f"among these faces, {missing[0]} being one: give the folder of the attack with --faces"
        )
    return found


def _read_result(directory: Path) -> "tuple[Mapping[str, object], list[str]]":
    """The content of an attack's `result.json`, and the photos that it held out.

    Raises:
        ConfigError: There is none, or the attack was physical.
        DataError: It is not one.
    """
    from agns.errors import ConfigError, DataError
    from agns.storage import read_json

    path = directory / "result.json"
    if not path.is_file():
        raise ConfigError(f"{directory} holds no result.json of an attack")
    report = read_json(path)
    if not {"goal", "subject", "target", "photos"} <= report.keys():
        raise DataError(f"{path} is not the result of an attack")
    if report.get("physical"):
        raise ConfigError(
            f"{directory} is a physical attack, whose photos wear the marked frame already: the "
            "camera needs bare faces"
        )
    photos = report["photos"]
    listed = photos.get("held_out") if isinstance(photos, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(n, str) for n in listed):
        raise DataError(f"{path} lists no held-out photos")
    return report, listed
