"""The trained weights, the natural set and the judges that come with the package."""

from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

from agns.errors import WeightsError

Shipped: TypeAlias = Literal[
    "generator", "discriminator", "of10_synthetic", "natural_set", "judges"
]


def shipped_weights(name: Shipped) -> Path:
    """What comes with the package; its card lies beside it as Markdown.

    Raises:
        WeightsError: The installation lacks it.
    """
    path = Path(str(files("agns") / "weights" / f"{name}.safetensors"))
    if not path.is_file():
        raise WeightsError(f"this installation of agns lacks {path}: install it again")
    return path
