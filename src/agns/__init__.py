"""Adversarial generative nets: how far eyeglasses can fool a face recogniser.

`__all__` is what may be relied on; everything else may change.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agns.attack.agn import AGN
    from agns.attack.attack import Attack, FrameAttack
    from agns.attack.cmaes import CMAES
    from agns.attack.goals import Dodge, Impersonate
    from agns.attack.pixel_descent import CCS16, PGD
    from agns.attack.result import AttackResult
    from agns.attack.span import Span
    from agns.attack.square import Square
    from agns.attack.transfer import Transfer
    from agns.data.faces import FaceSet
    from agns.errors import AgnsError
    from agns.evaluation.evaluate import evaluate
    from agns.evaluation.score import AttackScore
    from agns.loading import load_faces
    from agns.models.black_box import BlackBox
    from agns.models.embedder import Embedder
    from agns.models.gallery import Gallery
    from agns.models.opening import load, load_embedder
    from agns.models.recognizer import Recognizer
    from agns.models.victim import Classifier, Victim

__version__ = "0.1.0"

_ROOMS = {
    "AGN": "attack.agn",
    "AgnsError": "errors",
    "Attack": "attack.attack",
    "AttackResult": "attack.result",
    "AttackScore": "evaluation.score",
    "BlackBox": "models.black_box",
    "CCS16": "attack.pixel_descent",
    "CMAES": "attack.cmaes",
    "Classifier": "models.victim",
    "Dodge": "attack.goals",
    "Embedder": "models.embedder",
    "FaceSet": "data.faces",
    "FrameAttack": "attack.attack",
    "Gallery": "models.gallery",
    "Impersonate": "attack.goals",
    "PGD": "attack.pixel_descent",
    "Recognizer": "models.recognizer",
    "Span": "attack.span",
    "Square": "attack.square",
    "Transfer": "attack.transfer",
    "Victim": "models.victim",
    "evaluate": "evaluation.evaluate",
    "load": "models.opening",
    "load_embedder": "models.opening",
    "load_faces": "loading",
}
"""Where each public name lives: it is imported when it is first asked for, and PyTorch with it."""

__all__ = [
    "AGN",
    "CCS16",
    "CMAES",
    "PGD",
    "AgnsError",
    "Attack",
    "AttackResult",
    "AttackScore",
    "BlackBox",
    "Classifier",
    "Dodge",
    "Embedder",
    "FaceSet",
    "FrameAttack",
    "Gallery",
    "Impersonate",
    "Recognizer",
    "Span",
    "Square",
    "Transfer",
    "Victim",
    "__version__",
    "evaluate",
    "load",
    "load_embedder",
    "load_faces",
]


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'agns' has no attribute {name!r}")
    found = getattr(importlib.import_module(f"agns.{_ROOMS[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
