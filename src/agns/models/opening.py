"""Victims and embeddings by name: a file, a folder, a hub's repository, or the user's own code."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from agns.errors import ConfigError
from agns.object_reference import call_reference, is_reference, names_code

if TYPE_CHECKING:
    import torch

    from agns.defence.defended import Defended
    from agns.models.embedder import Embedder
    from agns.models.gallery import Gallery
    from agns.models.recognizer import Recognizer
    from agns.models.victim import Classifier, Victim

_READERS = {"agns-defence-1": ("agns.defence.methods", "read_defended")}
"""Who reads what files of rooms above this one hold, by what they call themselves; imported when
such a file is opened."""
_ENROL = "enrol people by `agns enrol` first, and name the gallery's file"


def load(source: Path | str | None = None) -> "Recognizer | Gallery | Classifier | Defended":
    """Load a recogniser or a gallery, defended or not.

    Args:
        source: A file, a folder of `save_pretrained`, owner/name on the Hugging Face hub, or the
            description of another system's network (.yaml); None for the OF10 of drawn faces that
            comes with agns.

    Returns:
        In evaluation mode; what its file says of how it came about lies in `record`.

    Raises:
        ConfigError: There is none of these, or the repository is not open.
        WeightsError: It holds no recogniser that agns can read, or the download failed.
    """
    from agns.models.description import SUFFIXES, ask_description, read_description
    from agns.models.embedder import is_mobilefacenet
    from agns.models.gallery import Gallery
    from agns.models.gallery_file import FORMAT
    from agns.models.recognizer import Recognizer
    from agns.models.victim import Classifier
    from agns.storage import read_metadata

    if not isinstance(source, str | Path | None):
        raise ConfigError(f"a recogniser is loaded by its path or name, got {source!r:.80}")
    if source is not None and Path(source).suffix in SUFFIXES:
        made = read_description(Path(source))
        if isinstance(made, Classifier):
            return made
        raise ConfigError(f"{source} describes an embedding: {_ENROL}")
    if names_code(source):
        raise ConfigError(f"{source} names a function of yours: call it, what it makes is a victim")
    path = None if str(source) == "dlib" and not Path("dlib").exists() else _weights(source)
    if path is None or is_mobilefacenet(path):
        raise ConfigError(f"{source} is an embedding: {_ENROL}")
    if bare := ask_description(path):
        raise bare
    kind = read_metadata(path).get("format")
    if kind in _READERS:
        module, name = _READERS[kind]
        defended: Defended = getattr(importlib.import_module(module), name)(path)
        return defended
    if kind == FORMAT:
        return Gallery.read(path, lambda named: _embedder_of_file(named, path))
    return Recognizer.read(path)


def _embedder_of_file(source: str, path: Path) -> "Embedder":
    """The embedding that a gallery's file names, which may not be code: files start none."""
    if is_reference(source):
        raise ConfigError(
            f"{path} was made with {source}, and agns runs no code that a file names: read it in a "
            "function of yours, agns.Gallery.read(path, lambda _: embedder), and name that one"
        )
    return load_embedder(source, beside=path.parent)


def load_embedder(source: Path | str, *, beside: Path | None = None) -> "Embedder":
    """Load an embedding.

    Args:
        source: `dlib`, which comes with `agns[dlib]`; `package.module:function` that makes an
            `Embedder`; MobileFaceNet's `.tflite` file; the description of another system's
            network (.yaml); or the file of a backbone that agns trained.
        beside: The folder of the file that names it, to look there, too. Nothing runs code then.

    Raises:
        ConfigError: There is none of that name, or the function makes something else.
        WeightsError: Its file cannot be read.
    """
    from agns.models.backbone import Backbone
    from agns.models.description import SUFFIXES, ask_description, read_description
    from agns.models.embedder import (
        Embedder,
        dlib_embedder,
        is_mobilefacenet,
        mobilefacenet_embedder,
    )
    from agns.models.gallery_file import FORMAT, read_told
    from agns.models.record import plain
    from agns.storage import read_metadata

    source = str(source)
    if source == "dlib":
        return dlib_embedder()
    if names_code(source):
        made = call_reference(source)
        if not isinstance(made, Embedder):
            raise ConfigError(f"{source} should make an Embedder, and made {_kind(made)}")
        return made.eval()
    path = Path(source)
    if not path.exists() and beside is not None and (beside / path.name).exists():
        path = beside / path.name
    if not path.exists():
        raise ConfigError(
            f"there is no file {source}: name an embedding's, dlib, or package.module:function"
        )
    if path.suffix in SUFFIXES:
        described = read_description(path, runs_code=beside is None)
        if isinstance(described, Embedder):
            return described
        raise ConfigError(f"{path} describes a recogniser, and no embedding (embedding: true)")
    if is_mobilefacenet(path):
        return mobilefacenet_embedder(path)
    if bare := ask_description(path, embedding=True):
        raise bare
    if read_metadata(path).get("format") == FORMAT:
        told, _, _ = read_told(path)
        source = plain(told.embedder.source)[:200]
        named = "the function that makes it" if is_reference(source) else source
        raise ConfigError(f"{path} holds a gallery: name its embedding, {named}")
    # A backbone takes canonical faces itself.
    return Embedder(Backbone.read(path), name=path.name, unit=True).eval()


def open_victim(source: Path | str | None, place: "torch.device") -> "Victim":
    """A victim on a device.

    Args:
        source: As for `load`; or `package.module:function` that makes a `Victim`.
        place: The device.

    Raises:
        ConfigError: There is no such module or name, or it makes no victim.
        WeightsError: The file cannot be read.
    """
    return make_victim(str(source), place) if names_code(source) else load(source).to(place)


def _weights(source: Path | str | None) -> Path:
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights

    return shipped_weights("of10_synthetic") if source is None else locate_weights(Path(source))


def _kind(made: object) -> str:
    """What something is, with its article."""
    name = type(made).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def make_victim(reference: str, place: "torch.device", *inner: "Victim") -> "Victim":
    """What the user's own function or class makes, on a device, and in evaluation mode."""
    from torch import nn

    from agns.models.victim import Victim, refuses, task_of

    made = call_reference(reference, *inner)
    if not isinstance(made, Victim):
        lacks = " and ".join(
            what
            for what, name in (("identities", "identities"), ("a call", "__call__"))
            if not hasattr(made, name)
        )
        raise ConfigError(
            f"{reference} should make a victim, with identities and logits for faces, and made "
            f"{_kind(made)}, which lacks {lacks}"
        )
    # Casts lose that a module is a victim too.
    moved: object = made.to(place).eval() if isinstance(made, nn.Module) else made
    # Logits of a gallery behind a defence are still read by its threshold, and those of a victim
    # that refuses faces still have nobody's as the last.
    told: dict[str, object] = {}
    for one in inner:
        if task_of(one) != "closed-set":
            told["task"] = task_of(one)
        if refuses(one) and tuple(made.identities) == tuple(one.identities):
            told["refuses"] = True
    for name, value in told.items():
        if not hasattr(moved, name):
            try:
                setattr(moved, name, value)
            except AttributeError as error:
                raise ConfigError(
                    f"{reference} is put before a victim whose `{name}` is {value!r}: give it an "
                    f"attribute `{name}`"
                ) from error
    assert isinstance(moved, Victim)
    return moved
