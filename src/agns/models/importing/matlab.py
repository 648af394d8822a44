"""MATLAB's .mat files: the original's eyeglass networks and recognisers, and MatConvNet's nets.

`gen.mat` or `discrim.mat` of the original; or a file of MatConvNet with a network in the variable
`net`, or with the fields of one as its variables.
"""

from collections.abc import Sequence
from pathlib import Path

from agns.errors import WeightsError
from agns.models.importing.dagnn import read_dagnn
from agns.models.importing.imported import GAN, OPENFACE, VGG, Imported
from agns.models.importing.matfile import is_mat, load_mat
from agns.models.importing.matgan import read_gan
from agns.models.importing.matvalues import MatFile
from agns.models.importing.simplenn import read_simplenn

KIND = "MATLAB file (.mat)"
ARCHS = (*GAN, *VGG, *OPENFACE)
recognises = is_mat


def read(path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
    """Build a network from a .mat file.

    Raises:
        ConfigError: The names are another number than the classes.
        WeightsError: The file is damaged, holds another network, or does not fit.
    """
    content = load_mat(path)
    if arch in GAN:
        if "matrices" not in content.variables:
            raise WeightsError(f"{path} lacks the cell array matrices, where a {arch} lies")
        return read_gan(content, path, arch)
    network = _network(content)
    if network is None:
        held = ", ".join(content.variables) or "nothing"
        raise WeightsError(f"{path} holds no network of MatConvNet, but {held}")
    # Only a network that is a graph keeps its parameters apart from its layers.
    if "params" in network:
        if arch in VGG:
            raise WeightsError(f"{path} holds a DagNN, as OpenFace is saved, and {arch} is none")
        return read_dagnn(network, path, arch, identities)
    if arch not in VGG:
        raise WeightsError(f"{path} holds a SimpleNN, as VGG is saved, and {arch} is none")
    return read_simplenn(network, path, arch, identities)


def _network(content: MatFile) -> dict[str, object] | None:
    """The structure of a network, wherever the file keeps it."""
    for value in (content.variables.get("net"), content.variables, *content.objects):
        if isinstance(value, dict) and "layers" in value:
            return value
    return None
