"""Opening what a campaign's plan names."""

import functools
from typing import TYPE_CHECKING

from agns.cli.attack import open_apparatus
from agns.cli.options import FaceOptions, open_subject, open_victim, recorded_crop

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
    return tuple(name for name in identities if name in listed)


def open_for_campaign(victim: "Victim", plan: "Plan", device: str = "auto") -> "Opened":
    """A victim with what attacks on it need, and a subject's photos by the subject's name."""
    opened = open_victim(victim.file, device)
    options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))

    # Attacks of one subject come together.
    @functools.lru_cache(maxsize=1)
    def photos(subject: str) -> "FaceSet":
        return open_subject(options, subject, opened.recognizer.identities)

    return open_apparatus(opened, None, None, None, count=plan.frames), photos
