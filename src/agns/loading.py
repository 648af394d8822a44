"""From names and paths to victims and faces."""

from pathlib import Path

from agns.data.face_folder import FaceSelection
from agns.data.face_folder import load_faces as read_faces
from agns.data.faces import FaceSet
from agns.models.recognizer import Recognizer, load_recognizer
from agns.models.sharing import locate_weights
from agns.models.shipped import shipped_weights
from agns.types import Progress, silent


def load(source: Path | str | None = None) -> Recognizer:
    """Load a recogniser.

    Args:
        source: A file, a folder of `save_pretrained`, or owner/name on the Hugging Face hub; None
            for the OF10 of drawn faces that comes with agns.

    Returns:
        In evaluation mode; what its file says of its training lies in `record`.

    Raises:
        ConfigError: There is none of these, or the repository is not open.
        WeightsError: It holds no recogniser that agns can read, or the download failed.
    """
    if source is None:
        return load_recognizer(shipped_weights("of10_synthetic"))[0]
    return load_recognizer(locate_weights(Path(source)))[0]


def load_faces(
    root: Path | str,
    *,
    names: tuple[str, ...] = (),
    center_crop: int | None = None,
    skip_unreadable: bool = False,
    progress: Progress = silent,
) -> FaceSet:
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
    selection = FaceSelection(
        names=names, center_crop=center_crop, skip_unreadable=skip_unreadable, to_split=False
    )
    return read_faces(Path(root), selection, progress=progress)
