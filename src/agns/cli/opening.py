"""Opening what a campaign's plan names, and photos of everybody."""

import functools
from typing import TYPE_CHECKING

from agns.cli.attack import open_apparatus
from agns.cli.console import bar, workers
from agns.cli.options import (
    SYNTHETIC_FRESH_PHOTOS,
    SYNTHETIC_TRAINING_PHOTOS,
    FaceOptions,
    open_faces,
    open_subject,
    open_victim,
    recorded_crop,
)

if TYPE_CHECKING:
    from agns.data.faces import FaceSet
    from agns.evaluation.campaign.plan import Plan, Victim
    from agns.evaluation.campaign.running import Opened


def known_identities(victim: "Victim") -> tuple[str, ...]:
    """The identities that a victim knows and that have photos."""
    from agns.data.selection import list_identities

    identities = open_victim(victim.file).recognizer.identities
    if victim.faces is None:
        return identities
    listed = list_identities(victim.faces)
    return tuple(name for name in identities if listed.get(name))


def open_for_campaign(victim: "Victim", plan: "Plan", device: str = "auto") -> "Opened":
    """A victim with what attacks on it need; see `agns.evaluation.campaign.running.Opened`."""
    opened = open_victim(victim.file, device)
    options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))

    # Attacks of one subject come together.
    @functools.lru_cache(maxsize=1)
    def photos(subject: str) -> "FaceSet":
        if not subject:
            return open_crowd(options, opened.recognizer.identities)
        return open_subject(options, subject, opened.recognizer.identities)

    return open_apparatus(opened, None, None, None, count=plan.frames), photos


def open_on_worker(victim: "Victim", plan: "Plan", device: str) -> "Opened":
    """The same on a Dask worker; of a local cluster's, each takes the next GPU."""
    from distributed import get_worker

    name = get_worker().name
    # A local cluster's workers are numbered; others bear names, and see the GPU meant for them.
    return open_for_campaign(victim, plan, in_turn(device, name) if type(name) is int else device)


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

    from agns.data.selection import list_identities
    from agns.data.synthetic import SyntheticConfig, synthetic_faces
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
