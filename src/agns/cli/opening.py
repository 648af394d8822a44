"""Opening what a campaign's plan names, and photos of everybody."""

import functools
from typing import TYPE_CHECKING

from agns.cli.console import bar, workers
from agns.cli.face_options import (
    SYNTHETIC_FRESH_PHOTOS,
    SYNTHETIC_TRAINING_PHOTOS,
    FaceOptions,
    open_faces,
    open_glasses,
    open_subject,
)
from agns.loading import load_setup, load_victim, recorded_crop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agns.data.faces import FaceSet
    from agns.evaluation.campaign.cells import Cell
    from agns.evaluation.campaign.ledger import Begun
    from agns.evaluation.campaign.plan import Plan, PlanVictim
    from agns.evaluation.campaign.running import Opened


def known_identities(victim: "PlanVictim") -> tuple[str, ...]:
    """The identities that a victim knows and that have photos."""
    from agns.data.face_folder import list_identities

    identities = load_victim(victim.file, defence=victim.defence).recognizer.identities
    if victim.faces is None:
        return identities
    listed = list_identities(victim.faces)
    return tuple(name for name in identities if listed.get(name))


def open_for_campaign(
    victim: "PlanVictim", plan: "Plan", device: str = "auto", begun: "Begun | None" = None
) -> "Opened":
    """A victim with what attacks on it need; see `agns.evaluation.campaign.running.Opened`.

    Photos come as the campaign was begun with them, under the names that they had.
    """
    from agns.data.known_photos import as_recorded

    opened = load_victim(victim.file, device, defence=victim.defence)
    options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))

    # Attacks of one subject come together.
    @functools.lru_cache(maxsize=1)
    def photos(subject: str) -> "FaceSet":
        if subject:
            found = open_subject(options, subject, opened.recognizer.identities)
        else:
            found = open_crowd(options, opened.recognizer.identities)
        rows = (begun or {}).get((victim.name, subject))
        return found if rows is None else as_recorded(found, rows, f"attacks on {victim.name}")

    return load_setup(opened, open_glasses(None, count=plan.frames)), photos


def begin_photos(
    plan: "Plan", cells: "Sequence[Cell]", known: "Mapping[str, Sequence[str]]", begun: "Begun"
) -> "Begun":
    """Which photos a campaign is begun with, or those that it was begun with.

    Args:
        plan: Names the face folders; drawn faces are the same anywhere.
        cells: Whose photos they are.
        known: By each victim's name, the identities that it knows and that have photos.
        begun: What was entered before.

    Raises:
        ConfigError: The folders hold other photos by now.
    """
    import dataclasses

    from agns.data.known_photos import as_recorded, rows_of
    from agns.errors import AgnsError, ConfigError
    from agns.evaluation.campaign.cells import UNIVERSAL

    entered = dict(begun)
    for victim in plan.recognizers:
        if victim.faces is None:
            continue
        opened = load_victim(victim.file)
        options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))
        own = [cell for cell in cells if plan.transfer or cell.recognizer == victim.name]
        people = ["" if cell.goal == UNIVERSAL else cell.subject for cell in own]
        people += [subject for name, subject in begun if name == victim.name]
        for subject in dict.fromkeys(people):
            before = begun.get((victim.name, subject))
            if before is None and subject and subject not in known[victim.name]:
                continue
            try:
                if subject:
                    faces = open_faces(dataclasses.replace(options, names=(subject,)))
                else:
                    faces = open_crowd(options, opened.recognizer.identities)
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
    victim: "PlanVictim", plan: "Plan", device: str, begun: "Begun | None" = None
) -> "Opened":
    """The same on a Dask worker; of a local cluster's, each takes the next GPU."""
    from distributed import get_worker

    name = get_worker().name
    # A local cluster's workers are numbered; others bear names, and see the GPU meant for them.
    place = in_turn(device, name) if type(name) is int else device
    return open_for_campaign(victim, plan, place, begun)


def in_turn(device: str, number: int) -> str:
    """The device of one of several processes: where it is left open which GPU, the next one."""
    import torch

    gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    return f"cuda:{number % gpus}" if gpus else device


def open_crowd(options: FaceOptions, known: tuple[str, ...]) -> "FaceSet":
    """Photos of everybody whom the recogniser knows; drawn ones that none was trained on.

    Raises:
        ConfigError: Fewer than two of them have photos.
    """
    import dataclasses

    from agns.data.face_folder import list_identities
    from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
    from agns.errors import ConfigError

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
