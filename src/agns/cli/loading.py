"""Loading what a campaign's plan names, and photos of everybody."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from agns.campaign.jobs import UNIVERSAL, Job
from agns.campaign.ledger import Begun
from agns.campaign.plan import Plan, PlanVictim
from agns.campaign.running import Opened
from agns.cli.console import bar, workers
from agns.cli.face_options import (
    SYNTHETIC_FRESH_PHOTOS,
    SYNTHETIC_TRAINING_PHOTOS,
    FaceOptions,
    open_faces,
    open_glasses,
    open_subject,
)
from agns.data.face_folder import list_identities
from agns.data.faces import FaceSet
from agns.data.known_photos import as_recorded, rows_of
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.twins import were_seen
from agns.errors import AgnsError, ConfigError
from agns.loading import LoadedVictim, attacked_crop, load_setup, load_victim
from agns.models.record import photos_seen, recorded_crop
from agns.models.victim import people_known


def known_identities(victim: PlanVictim) -> tuple[str, ...]:
    """The identities that a victim knows and that have photos."""
    identities = people_known(load_victim(victim.file, defence=victim.defence).recognizer)
    if victim.faces is None:
        return identities
    listed = list_identities(victim.faces)
    return tuple(name for name in identities if listed.get(name))


def open_for_campaign(
    victim: PlanVictim, plan: Plan, device: str = "auto", begun: Begun | None = None
) -> Opened:
    """A victim with what attacks on it need; see `agns.campaign.running.Opened`.

    Photos come as the campaign was begun with them, under the names that they had.
    """
    opened = load_victim(victim.file, device, defence=victim.defence)
    options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))

    # Attacks of one subject come together.
    @functools.lru_cache(maxsize=1)
    def photos(subject: str) -> FaceSet:
        if subject:
            found = open_subject(options, subject, opened.recognizer.identities)
        else:
            found = open_everybody(options, people_known(opened.recognizer))
        rows = (begun or {}).get((victim.name, subject))
        return found if rows is None else as_recorded(found, rows, f"attacks on {victim.name}")

    return load_setup(opened, open_glasses(None, count=plan.frames)), photos


def begin_photos(
    plan: Plan, jobs: Sequence[Job], known: Mapping[str, Sequence[str]], begun: Begun
) -> Begun:
    """Which photos a campaign is begun with, or those that it was begun with.

    Args:
        plan: Names the face folders; drawn faces are the same anywhere.
        jobs: Whose photos they are.
        known: By each victim's name, the identities that it knows and that have photos.
        begun: What was entered before.

    Raises:
        ConfigError: The folders hold other photos by now.
    """
    entered = dict(begun)
    for victim in plan.recognizers:
        if victim.faces is None:
            continue
        opened = load_victim(victim.file)
        options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))
        own = [job for job in jobs if plan.transfer or job.recognizer == victim.name]
        people = ["" if job.goal == UNIVERSAL else job.subject for job in own]
        people += [subject for name, subject in begun if name == victim.name]
        for subject in dict.fromkeys(people):
            before = begun.get((victim.name, subject))
            if before is None and subject and subject not in known[victim.name]:
                continue
            try:
                if subject:
                    faces = open_faces(dataclasses.replace(options, names=(subject,)))
                else:
                    faces = open_everybody(options, people_known(opened.recognizer))
            except AgnsError as error:
                if before is not None:
                    raise ConfigError(
                        f"{victim.faces} does not hold the photos any more that attacks on "
                        f"{victim.name} were begun with: {error}"
                    ) from error
                # Its attacks will say why they cannot be made.
                continue
            rows = entered.setdefault((victim.name, subject), rows_of(faces))
            as_recorded(faces, rows, f"the campaign against {victim.name}")
    return entered


def open_on_worker(
    victim: PlanVictim, plan: Plan, device: str, begun: Begun | None = None
) -> Opened:
    """The same on a Dask worker; of a local cluster's, each takes the next GPU."""
    from distributed import get_worker

    name = get_worker().name
    # A local cluster's workers are numbered; others bear names, and see the GPU meant for them.
    place = in_turn(device, name) if type(name) is int else device
    return open_for_campaign(victim, plan, place, begun)


def in_turn(device: str, number: int) -> str:
    """The device of one of several processes: where it is left open which GPU, the next one."""
    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return f"cuda:{number % gpus}" if gpus else device


def open_everybody(options: FaceOptions, known: tuple[str, ...]) -> FaceSet:
    """Photos of everybody whom the recogniser knows; drawn ones that none was trained on.

    Raises:
        ConfigError: Fewer than two of them have photos.
    """
    if options.root is None:
        config = SyntheticConfig(
            identities=len(known),
            photos=SYNTHETIC_FRESH_PHOTOS,
            first_photo=SYNTHETIC_TRAINING_PHOTOS,
        )
        with bar(f"Drawing {len(known)} people") as progress:
            return synthetic_faces(config, workers=workers(), progress=progress)
    listed = list_identities(options.root)
    names = tuple(name for name in known if listed.get(name))
    if len(names) < 2:
        raise ConfigError(
            f"{options.root} holds {len(names)} of the recogniser's {len(known)} identities, but a "
            "universal attack needs two: name the recogniser of these faces with --recognizer"
        )
    # Who has too few photos to split is left out of the attack, and told.
    return open_faces(dataclasses.replace(options, names=names, to_split=False))


def open_fresh(recognizer: Path | None, options: FaceOptions) -> tuple[LoadedVictim, FaceSet]:
    """A victim, and photos of its people that it was neither trained on nor enrolled with."""
    victim = load_victim(recognizer)
    crop = attacked_crop(victim, options.center_crop)
    photos = open_everybody(
        dataclasses.replace(options, center_crop=crop), people_known(victim.recognizer)
    )
    fresh = (~were_seen(photos, photos_seen(victim.metadata))).nonzero()[:, 0]
    return victim, photos.subset(fresh)
