"""MATLAB's .mat files, of either format, told by their header."""

from pathlib import Path

from agns.errors import WeightsError
from agns.file_kinds import HDF5
from agns.models.importing.mat5 import read_mat5
from agns.models.importing.mat73 import read_mat73
from agns.models.importing.matvalues import MatFile


def is_mat(path: Path) -> bool:
    """Whether a file is a .mat file of MATLAB 5 or later, of either format."""
    return _format(path) is not None


def load_mat(path: Path) -> MatFile:
    """Read a .mat file.

    Raises:
        WeightsError: It is none, is damaged, or declares absurd sizes; or it is of the format
            7.3, and h5py is missing.
    """
    kind = _format(path)
    if kind is None:
        raise WeightsError(f"{path} is no .mat file of MATLAB 5 or later")
    try:
        return read_mat5(path) if kind == "5" else read_mat73(path)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error


def _format(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as opened:
        head = opened.read(520)
    if head[512:520] == HDF5:
        return "7.3" if head.startswith(b"MATLAB") else None
    if len(head) >= 128 and head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return "5"
    return "7.3" if head.startswith(HDF5) and _marked(path) else None


def _marked(path: Path) -> bool:
    """Whether an HDF5 file without MATLAB's header has MATLAB's marks in it all the same."""
    try:
        import h5py
    except ImportError:
        return False
    try:
        with h5py.File(path, "r") as opened:
            return any(
                isinstance(opened.get(name, getlink=True), h5py.HardLink)
                and "MATLAB_class" in opened[name].attrs
                for name in opened
            )
    except (OSError, KeyError, RuntimeError, TypeError):
        return False
