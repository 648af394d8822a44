"""From names and paths to victims, faces and nets: what the command line and campaigns share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agns.errors import ConfigError

if TYPE_CHECKING:
    from agns.data.faces import FaceSet
    from agns.evaluation.attack_setup import AttackSetup
    from agns.models.victim import Victim
    from agns.types import Glasses, Progress


class LoadedVictim(NamedTuple):
    """A victim, and what is known of it."""

    recognizer: "Victim"
    name: str
    """Where it comes from."""
    metadata: Mapping[str, object]
    """What its file says beside the weights."""


def load_victim(
    source: Path | str | None, device: str = "cpu", *, defence: str | None = None
) -> LoadedVictim:
    """Load what is to be attacked.

    Args:
        source: As for `load`; or `package.module:function` that makes a `Victim`.
        device: Where it runs: `cpu`, `cuda`, `cuda:1`; `auto` takes a GPU where there is one.
        defence: What is put around it, as `agns.defence.methods.defend` takes it.

    Raises:
        ConfigError: There is no such device, module or name, or it makes no victim.
        WeightsError: The file cannot be read.
    """
    import torch

    from agns.models.opening import open_victim
    from agns.models.shipped import shipped_weights
    from agns.training.precision import choose_device

    place = choose_device(device)
    if place.type == "cuda":
        # Convolutions would round to ten bits: figures are to differ in their last digits alone.
        torch.backends.cudnn.allow_tf32 = False
    victim = open_victim(source, place)
    name = shipped_weights("of10_synthetic").name if source is None else str(source)
    metadata = getattr(victim, "record", None) or {}
    if defence is not None:
        from agns.defence.methods import defend

        victim = defend(victim, defence, place)
        name = f"{name} behind {defence}"
    return LoadedVictim(victim, name, metadata)


def attacked_crop(victim: LoadedVictim, told: int | None) -> int | None:
    """The central square that an attack's photos are cut to.

    Raises:
        ConfigError: It is not that of the photos that the victim was trained on, whose digests
            would then be unknown.
    """
    from agns.models.record import photos_seen, recorded_crop

    recorded = recorded_crop(victim.metadata)
    if told not in (None, recorded) and photos_seen(victim.metadata):
        raise ConfigError(
            f"{victim.name} was trained on photos cut to {recorded or 'nothing'}: of photos cut to "
            f"{told} nobody could tell which it has seen, so leave out --center-crop"
        )
    return recorded if told is None else told


def load_setup(
    victim: LoadedVictim,
    glasses: "Glasses",
    *,
    generator: Path | None = None,
    discriminator: Path | None = None,
) -> "AttackSetup":
    """Put what attacks need beside a victim, on its device.

    Args:
        victim: Whom they attack.
        glasses: Real 64x176 frames as bytes.
        generator: Its weights, as for `load`; None for the one that comes with agns.
        discriminator: Likewise.

    Raises:
        ConfigError: There is no such file.
        WeightsError: It cannot be read.
    """
    from agns.evaluation.attack_setup import AttackSetup
    from agns.models.dcgan import Discriminator, Generator
    from agns.models.layout import device_of
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights

    place = device_of(victim.recognizer)
    return AttackSetup(
        generator=Generator.read(locate_weights(generator or shipped_weights("generator"))).to(
            place
        ),
        discriminator=Discriminator.read(
            locate_weights(discriminator or shipped_weights("discriminator"))
        ).to(place),
        recognizer=victim.recognizer,
        recognizer_name=victim.name,
        metadata=victim.metadata,
        glasses=glasses,
    )


def load_faces(
    root: Path | str,
    *,
    names: tuple[str, ...] = (),
    center_crop: int | None = None,
    skip_unreadable: bool = False,
    progress: "Progress | None" = None,
) -> "FaceSet":
    """Read a face folder, `<root>/<Identity>/*.jpg` or of another format.

    Args:
        root: Holds a folder for each identity, of 224x224 faces in the canonical pose (`agns align`
            makes them), or of 250x250 photos of Labeled Faces in the Wild.
        names: The identities to take, in place of all of them.
        center_crop: Side in pixels of the central square that is cut out and resized.
        skip_unreadable: Leave out pictures that do not decode, in place of stopping at the first.
        progress: Told after each decoded picture.

    Raises:
        ConfigError: There is no such folder, or a named identity is not in it.
        DataError: It holds no identities, or a picture has another size.
        UnreadableImage: A picture does not decode.
    """
    from agns.data.face_folder import FaceSelection
    from agns.data.face_folder import load_faces as read_faces

    if not isinstance(root, str | Path):
        raise ConfigError(f"faces are read from a folder, named by its path, got {root!r:.80}")
    from agns.types import silent

    selection = FaceSelection(
        names=names, center_crop=center_crop, skip_unreadable=skip_unreadable, to_split=False
    )
    return read_faces(Path(root), selection, progress=progress or silent)
