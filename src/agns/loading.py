"""From names and paths to victims, faces and nets: what the command line and campaigns share."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agns.errors import AgnsError, ConfigError
from agns.object_reference import load_object, names_code

if TYPE_CHECKING:
    import torch

    from agns.data.faces import FaceSet
    from agns.evaluation.attack_setup import AttackSetup
    from agns.models.embedder import Embedder
    from agns.models.gallery import Gallery
    from agns.models.recognizer import Recognizer
    from agns.models.victim import Victim
    from agns.types import Glasses, Progress


class LoadedVictim(NamedTuple):
    """A victim, and what is known of it."""

    recognizer: "Victim"
    name: str
    """Where it comes from."""
    metadata: Mapping[str, object]
    """What its file says beside the weights."""


def load(source: Path | str | None = None) -> "Recognizer | Gallery":
    """Load a recogniser or a gallery.

    Args:
        source: A file, a folder of `save_pretrained`, or owner/name on the Hugging Face hub; None
            for the OF10 of drawn faces that comes with agns.

    Returns:
        In evaluation mode; what its file says of how it came about lies in `record`.

    Raises:
        ConfigError: There is none of these, or the repository is not open.
        WeightsError: It holds no recogniser that agns can read, or the download failed.
    """
    from agns.models.gallery import FORMAT, Gallery
    from agns.models.recognizer import Recognizer
    from agns.storage import read_metadata

    path = _weights(source)
    if read_metadata(path).get("format") == FORMAT:
        return Gallery.read(path, lambda named: load_embedder(named, beside=path.parent))
    return Recognizer.read(path)


def load_embedder(source: str, *, beside: Path | None = None) -> "Embedder":
    """Load an embedding.

    Args:
        source: `dlib`, which comes with `agns[dlib]`; `package.module:function` that makes an
            `Embedder`; MobileFaceNet's `.tflite` file; or the file of a backbone that agns trained.
        beside: A folder to look for its file in, too.

    Raises:
        ConfigError: There is none of that name, or the function makes something else.
        WeightsError: Its file cannot be read.
    """
    from agns.models.backbone import Backbone
    from agns.models.embedder import Embedder, dlib_embedder, mobilefacenet_embedder

    if source == "dlib":
        return dlib_embedder()
    if names_code(source):
        made = _made(source)
        if not isinstance(made, Embedder):
            raise ConfigError(f"{source} should make an Embedder, and made a {type(made).__name__}")
        return made.eval()
    path = Path(source)
    if not path.exists() and beside is not None and (beside / path.name).exists():
        path = beside / path.name
    if not path.exists():
        raise ConfigError(
            f"there is no embedding {source!r}: name dlib, a file, or package.module:function"
        )
    if path.suffix == ".tflite":
        return mobilefacenet_embedder(path)
    # A backbone takes canonical faces itself.
    return Embedder(Backbone.read(path), name=path.name, unit=True).eval()


def load_victim(
    source: Path | str | None, device: str = "cpu", *, defence: str | None = None
) -> LoadedVictim:
    """Load what is to be attacked.

    Args:
        source: As for `load`; or `package.module:function` that makes a `Victim`.
        device: Where it runs: `cpu`, `cuda`, `cuda:1`; `auto` takes a GPU where there is one.
        defence: `package.module:Name` of what is called with the victim, and gives the victim that
            is attacked in its place.

    Raises:
        ConfigError: There is no such device, module or name, or it makes no victim.
        WeightsError: The file cannot be read.
    """
    import torch

    from agns.training.precision import choose_device

    place = choose_device(device)
    if place.type == "cuda":
        # Convolutions would round to ten bits: figures are to differ in their last digits alone.
        torch.backends.cudnn.allow_tf32 = False
    victim: Victim
    if names_code(source):
        victim = _made_victim(str(source), place)
        name, metadata = str(source), getattr(victim, "record", {})
    else:
        loaded = load(source)
        victim, name = loaded.to(place), _weights(source).name if source is None else str(source)
        metadata = loaded.record
    if defence is not None:
        victim = _made_victim(defence, place, victim)
        name = f"{name} behind {defence}"
    return LoadedVictim(victim, name, metadata)


def _weights(source: Path | str | None) -> Path:
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights

    return shipped_weights("of10_synthetic") if source is None else locate_weights(Path(source))


def _made(reference: str, *inner: object) -> object:
    """What the user's own function or class makes."""
    make = load_object(reference)
    if not callable(make):
        raise ConfigError(f"{reference} should be a function or a class")
    try:
        return make(*inner)
    except AgnsError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{reference} failed with {type(error).__name__}: {error} ({where.filename}, line "
            f"{where.lineno})"
        ) from error


def _made_victim(reference: str, place: "torch.device", *inner: "Victim") -> "Victim":
    """What the user's own function or class makes, on a device."""
    from torch import nn

    from agns.models.victim import Victim

    made = _made(reference, *inner)
    if not isinstance(made, Victim):
        raise ConfigError(
            f"{reference} should make a victim, with identities and logits for faces, and made a "
            f"{type(made).__name__}"
        )
    # Casts lose that a module is a victim too.
    moved: object = made.to(place) if isinstance(made, nn.Module) else made
    assert isinstance(moved, Victim)
    return moved


def attacked_crop(victim: LoadedVictim, told: int | None) -> int | None:
    """The central square that an attack's photos are cut to.

    Raises:
        ConfigError: It is not that of the photos that the victim was trained on, whose digests
            would then be unknown.
    """
    from agns.models.record import photos_seen

    recorded = recorded_crop(victim.metadata)
    if told not in (None, recorded) and photos_seen(victim.metadata):
        raise ConfigError(
            f"{victim.name} was trained on photos cut to {recorded or 'nothing'}: of photos cut to "
            f"{told} nobody could tell which it has seen, so leave out --center-crop"
        )
    return recorded if told is None else told


def recorded_crop(metadata: Mapping[str, object]) -> int | None:
    """The central square that a recogniser's training photos were cut to, if its file tells."""
    crop = metadata.get("center_crop")
    return crop if isinstance(crop, int) else None


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
    from agns.types import silent

    selection = FaceSelection(
        names=names, center_crop=center_crop, skip_unreadable=skip_unreadable, to_split=False
    )
    return read_faces(Path(root), selection, progress=progress or silent)
